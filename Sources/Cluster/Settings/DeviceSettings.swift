package import CoAP
import NIOCore
package import ServiceShell

/// How devices and clients are served over CoAP.
package struct DeviceSettings: SettingsGroup {
    package var port: Int
    /// What clients dial, if it is not where we listen.
    package var publicEndpoint: String?
    /// In bytes; announced in our CSM (RFC 8323 §5.3.1).
    package var maxMessageSize: Int
    package var maxConnections: Int
    /// Idle time before the first Ping.
    package var keepaliveTime: Duration
    /// Time between Pings that stay unanswered.
    package var keepaliveInterval: Duration
    /// Pings that may stay unanswered before the connection counts as lost.
    package var keepaliveRetry: Int
    /// RFC 8323 §5.3: whether a peer must send its CSM first.
    package var csmStrict: Bool

    enum Keys {
        static let port = Setting.port("COAP_PORT", default: 5683, "The port of CoAP over TCP, for devices.")
        static let publicEndpoint = Setting.coapEndpoint(
            "PUBLIC_ENDPOINT",
            "Where CoAP clients reach the gateway, if that is not where it listens. Links carry it.",
        ).workedOut(shownAs: "(coap+tcp://BIND_ADDRESS:COAP_PORT)")
        static let maxMessageSize = Setting.size(
            "MAX_MESSAGE_SIZE",
            in: 1152...16_777_216,
            default: 262_144,
            "The largest CoAP message taken from a peer.",
        )
        static let maxConnections = Setting.count(
            "MAX_CONNECTIONS",
            in: 1...1_000_000,
            default: 10_000,
            "How many CoAP connections are taken at a time.",
        )
        static let keepaliveTime = Setting.seconds(
            "KEEPALIVE_TIME",
            in: 1...86_400,
            default: 60,
            "How long a connection may be silent before it is pinged.",
        )
        static let keepaliveInterval = Setting.seconds(
            "KEEPALIVE_INTERVAL",
            in: 1...3600,
            default: 10,
            "The time between pings that stay unanswered.",
        )
        static let keepaliveRetry = Setting.count(
            "KEEPALIVE_RETRY",
            in: 0...100,
            default: 3,
            "How many pings may stay unanswered before the connection is closed.",
        )
        static let csmStrict = Setting.toggle(
            "CSM_STRICT",
            default: false,
            "Refuse peers whose first message is no CSM, as RFC 8323 has it. Some devices send none.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.port.declaration,
        Keys.publicEndpoint.declaration,
        Keys.maxMessageSize.declaration,
        Keys.maxConnections.declaration,
        Keys.keepaliveTime.declaration,
        Keys.keepaliveInterval.declaration,
        Keys.keepaliveRetry.declaration,
        Keys.csmStrict.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.port = reader.read(Keys.port)
        self.publicEndpoint = reader.read(Keys.publicEndpoint)
        self.maxMessageSize = reader.read(Keys.maxMessageSize)
        self.maxConnections = reader.read(Keys.maxConnections)
        self.keepaliveTime = reader.read(Keys.keepaliveTime)
        self.keepaliveInterval = reader.read(Keys.keepaliveInterval)
        self.keepaliveRetry = reader.read(Keys.keepaliveRetry)
        self.csmStrict = reader.read(Keys.csmStrict)
    }

    /// How connections of devices and clients behave.
    package var connection: ConnectionConfiguration {
        ConnectionConfiguration(
            limits: FrameLimits(maximumMessageSize: self.maxMessageSize),
            isStrict: self.csmStrict,
            keepalive: .init(
                time: .init(self.keepaliveTime), interval: .init(self.keepaliveInterval), retry: self.keepaliveRetry))
    }
}
