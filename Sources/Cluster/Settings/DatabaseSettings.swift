package import ServiceShell

/// Where the database is.
package struct DatabaseSettings: SettingsGroup {
    package var host: String
    package var port: Int
    package var database: String
    package var username: String
    package var password: SecretValue?
    package var tls: StoreTLS
    /// A PEM file; empty: the system's authorities.
    package var authorities: String
    package var pool: Int

    /// A server's address as it may be written.
    struct Server: Hashable, Sendable {
        let host: String
        let port: Int
    }

    enum Keys {
        static let server = Setting(
            "DB_URI",
            allowed: "HOST:PORT, or @tcp(HOST:PORT)/ as the older gateway had it",
            default: Server(host: "mysql", port: 3306),
            shownAs: "mysql:3306",
            "Where MySQL or MariaDB is.",
            parse: { DatabaseSettings.server($0) },
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
        static let pool = Setting.count("DB_POOL", in: 1...64, default: 8, "How many connections to the database.")
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
        let server = reader.read(Keys.server)
        self.host = server.host
        self.port = server.port
        self.database = reader.read(Keys.database)
        self.username = reader.read(Keys.username)
        self.password = reader.read(Keys.password)
        self.tls = reader.read(Keys.tls)
        self.authorities = reader.read(Keys.authorities)
        self.pool = reader.read(Keys.pool)
    }

    package var address: String {
        "\(self.host.contains(":") ? "[\(self.host)]" : self.host):\(self.port)"
    }

    static func server(_ text: String) -> Server? {
        var rest = text[...]
        if rest.hasPrefix("@") { rest = rest.dropFirst() }
        if rest.hasPrefix("tcp(") {
            rest = rest.dropFirst("tcp(".count)
            if rest.hasSuffix("/") { rest = rest.dropLast() }
            guard rest.hasSuffix(")") else { return nil }
            rest = rest.dropLast()
        }
        guard let (host, port) = Numbers.hostAndPort(rest), !host.isEmpty, port > 0 else { return nil }
        return Server(host: host, port: port)
    }
}
