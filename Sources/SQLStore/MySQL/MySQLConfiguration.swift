/// A database user's password. Cannot be printed.
package struct MySQLPassword: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// The text itself, for the server and nobody else.
    package func reveal() -> String { self.text }

    /// Not even a hash: passwords of databases are often guessable.
    package var description: String { "password" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, unlabeledChildren: [self.description]) }
}

/// How a connection to the server is protected.
package enum MySQLTransport: Hashable, Sendable {
    /// In clear.
    case plain
    /// TLS, whoever the server is: keeps listeners out, not impostors.
    case encrypted
    /// TLS with a server whose certificate comes from one of these authorities and carries the configured host name.
    ///
    /// - Parameter authorities: a PEM file, or a directory as `c_rehash` makes it.
    case verified(authorities: String)
}

/// How to reach a MySQL or MariaDB server.
package struct MySQLConfiguration: Sendable {
    package static let poolSizes = 2...256

    package var address: MySQLAddress
    package var database: String
    package var user: String
    package var password: MySQLPassword
    package var transport: MySQLTransport
    /// Connections in all, 2…256: a quarter of them only reads.
    package var poolSize: Int
    /// For one connection to be made, login included; less when its call has less time left.
    package var connectTimeout: Duration
    /// After this long the server itself ends a statement, so that it does not work for nobody. Not shorter than the
    /// store's own timeout.
    package var statementTimeout: Duration

    package init(
        address: MySQLAddress,
        database: String,
        user: String,
        password: MySQLPassword,
        transport: MySQLTransport = .plain,
        poolSize: Int = 8,
        connectTimeout: Duration = .seconds(3),
        statementTimeout: Duration = .seconds(5),
    ) {
        self.address = address
        self.database = database
        self.user = user
        self.password = password
        self.transport = transport
        self.poolSize = min(max(poolSize, Self.poolSizes.lowerBound), Self.poolSizes.upperBound)
        self.connectTimeout = connectTimeout
        self.statementTimeout = statementTimeout
    }
}
