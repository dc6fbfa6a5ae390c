import Cloud

/// A password that cannot be printed.
package struct RedisPassword: Sendable, Equatable {
    private let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// The password itself, for the login and nothing else.
    func reveal() -> String { self.text }
}

extension RedisPassword: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Where Redis is, and how to talk to it.
package struct RedisConfiguration: Sendable, Equatable {
    package enum Encryption: Sendable, Equatable {
        case off
        /// TLS, with the server's name or address checked against its certificate.
        /// - Parameter authorities: a file in PEM with whom to trust; nil: whom the machine trusts.
        case tls(authorities: String?)
    }

    /// How the settings are called, so that errors can name the one to look at.
    package struct SettingNames: Sendable, Equatable {
        package var address: String
        package var username: String
        package var password: String
        package var database: String
        package var authorities: String

        package init(
            address: String = "redis.address", username: String = "redis.username",
            password: String = "redis.password", database: String = "redis.database",
            authorities: String = "redis.tls.ca"
        ) {
            self.address = address
            self.username = username
            self.password = password
            self.database = database
            self.authorities = authorities
        }
    }

    package var host: String
    package var port: Int
    /// A user of the access control list (Redis 6 and later); nil: the default user.
    package var username: String?
    package var password: RedisPassword?
    package var database: Int
    package var encryption: Encryption
    /// What all keys and channels begin with, so that several installations can share one server.
    package var keyPrefix: String
    /// What the connections are called in `CLIENT LIST`.
    package var clientName: String
    package var settings: SettingNames
    package var limits: RedisLimits

    package init(
        host: String = "127.0.0.1", port: Int = 6379, username: String? = nil, password: RedisPassword? = nil,
        database: Int = 0, encryption: Encryption = .off, keyPrefix: String = "cg:",
        clientName: String = "coap-gateway", settings: SettingNames = SettingNames(),
        limits: RedisLimits = RedisLimits()
    ) {
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.database = database
        self.encryption = encryption
        self.keyPrefix = keyPrefix
        self.clientName = clientName
        self.settings = settings
        self.limits = limits
    }

    var target: String { "\(self.host):\(self.port)" }
}

/// The bounds of one connection.
package struct RedisLimits: Sendable, Equatable {
    /// Commands without an answer; more are refused.
    package var outstanding = 65_536
    /// The bytes of one command; a longer one is refused.
    package var commandBytes = 65_536
    /// The bytes of one answer; a longer one ends the connection.
    package var replyBytes = 4 * 1024 * 1024
    /// For connecting, and again for the login.
    package var opening: Duration = .seconds(2)
    /// Nothing was answered for so long, while something was asked: what else is asked fails at once.
    package var stall: Duration = .milliseconds(500)
    /// Nothing was answered for so long: the connection is given up.
    package var giveUp: Duration = .seconds(5)
    /// Nothing was asked for so long: ask for a sign of life.
    package var idle: Duration = .seconds(5)
    /// How long a sign-in or a request waits for an answer.
    package var hurried: Duration = RouteTimes.claimLimit
    /// How long everything else does.
    package var unhurried: Duration = .seconds(2)

    package init() {}
}
