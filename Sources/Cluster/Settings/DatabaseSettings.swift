package import SQLStore
package import ServiceShell

/// Where the database is.
package struct DatabaseSettings: SettingsGroup {
    package var address: MySQLAddress
    package var database: String
    package var username: String
    package var password: SecretValue?
    package var tls: StoreTLS
    /// A PEM file; empty: the system's authorities.
    package var authorities: String
    package var pool: Int

    enum Keys {
        static let server = Setting(
            "DB_URI",
            allowed: "HOST:PORT, or @tcp(HOST:PORT)/ as the older gateway had it",
            default: MySQLAddress(host: "mysql"),
            shownAs: "mysql:3306",
            "Where MySQL or MariaDB is.",
            parse: { MySQLAddress.parse($0) },
        )
        static let database = Setting.word("DB_NAME", default: "coap_gateway", "The name of the database.")
        static let username = Setting.word("DB_USERNAME", default: "coap_gateway", "The user to log in as.")
        static let password = Setting.password("DB_PASSWORD", "The password of DB_USERNAME.")
        static let tls = Setting.choice("DB_TLS", default: StoreTLS.off, "Whether the database is spoken to over TLS.")
        static let authorities = Setting.path(
            "DB_CA",
            default: "",
            "The authorities that the database's certificate may come from, PEM; none: the system's.",
        )
        static let pool = Setting.count("DB_POOL", in: 2...64, default: 8, "How many connections to the database.")
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.server.declaration,
        Keys.database.declaration,
        Keys.username.declaration,
        Keys.password.declaration,
        Keys.tls.declaration,
        Keys.authorities.declaration,
        Keys.pool.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.address = reader.read(Keys.server)
        self.database = reader.read(Keys.database)
        self.username = reader.read(Keys.username)
        self.password = reader.read(Keys.password)
        self.tls = reader.read(Keys.tls)
        self.authorities = reader.read(Keys.authorities)
        self.pool = reader.read(Keys.pool)
    }

    var configuration: MySQLConfiguration {
        MySQLConfiguration(
            address: self.address, database: self.database, user: self.username,
            password: MySQLPassword(self.password.map { String(decoding: $0.reveal(), as: UTF8.self) } ?? ""),
            transport: self.tls == .off ? .plain : .verified(authorities: self.trusted), poolSize: self.pool)
    }

    /// Debian's bundle of authorities, where none are named.
    private var trusted: String {
        self.authorities.isEmpty ? "/etc/ssl/certs/ca-certificates.crt" : self.authorities
    }
}
