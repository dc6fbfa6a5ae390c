import RedisStore
package import ServiceShell

/// Whether a connection to a store is encrypted.
package enum StoreTLS: String, CaseIterable, Sendable {
    case off
    /// Encrypted, and the server's certificate is checked.
    case verify
}

/// Where Redis is.
package struct RedisSettings: SettingsGroup {
    /// `host:port`; nil: there is none.
    package var address: String?
    /// `nil`: the default user.
    package var username: String?
    package var password: SecretValue?
    package var database: Int
    package var tls: StoreTLS
    /// A PEM file; empty: the system's authorities.
    package var authorities: String

    enum Keys {
        static let address = Setting.hostAndPort(
            "CACHE_URI",
            default: "",
            "Where Redis is. coap-interface and northbound need it, registry only gains speed from it.",
        ).workedOut(shownAs: "(redis:6379; registry: none)")
        static let username = Setting.word(
            "CACHE_USERNAME",
            default: "",
            "The user to log in to Redis as.",
        ).workedOut(shownAs: "(the default user)")
        static let password = Setting.password("CACHE_PASSWORD", "The password for Redis.")
        static let database = Setting.count(
            "CACHE_NUMBER", in: 0...1023, default: 0, "The number of the Redis database.")
        static let tls = Setting.choice("CACHE_TLS", default: StoreTLS.off, "Whether Redis is spoken to over TLS.")
        static let authorities = Setting.path(
            "CACHE_CA",
            default: "",
            "The authorities that Redis' certificate may come from, PEM; none: the system's.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.address.declaration,
        Keys.username.declaration,
        Keys.password.declaration,
        Keys.database.declaration,
        Keys.tls.declaration,
        Keys.authorities.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.address = reader.read(Keys.address)
        self.username = reader.read(Keys.username)
        self.password = reader.read(Keys.password)
        self.database = reader.read(Keys.database)
        self.tls = reader.read(Keys.tls)
        self.authorities = reader.read(Keys.authorities)
    }

    /// For programs that cannot do without: what the Service is called in a cluster.
    package var requiredAddress: String { self.address ?? "redis:6379" }

    /// - Parameters:
    ///   - clientName: what Redis lists our connections as.
    ///   - address: `host:port`.
    func configuration(clientName: String, address: String) -> RedisConfiguration {
        // What the setting lets through is of this form.
        let (host, port) = Numbers.hostAndPort(address) ?? (address, 6379)
        let authorities = self.authorities.isEmpty ? nil : self.authorities
        return RedisConfiguration(
            host: host, port: port, username: self.username,
            password: self.password.map { RedisPassword(String(decoding: $0.reveal(), as: UTF8.self)) },
            database: self.database, encryption: self.tls == .off ? .off : .tls(authorities: authorities),
            clientName: clientName,
            settings: .init(
                address: "CACHE_URI", username: "CACHE_USERNAME", password: "CACHE_PASSWORD",
                database: "CACHE_NUMBER", authorities: "CACHE_CA"))
    }
}

extension DependencyWatch.Probe {
    /// Whether commands have a chance.
    static func redis(_ client: RedisClient) -> Self {
        Self("redis") {
            switch client.health.state {
            case .connected: nil
            case .unavailable(let reason): reason
            }
        }
    }
}
