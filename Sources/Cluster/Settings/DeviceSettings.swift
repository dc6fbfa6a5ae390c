package import Certificates
package import Cloud
package import CoAP
package import CoAPInterface
package import CoAPTransport
import NIOCore
package import ServiceShell

/// How devices and clients are served over CoAP.
package struct DeviceSettings: SettingsGroup {
    /// CoAP over TCP; nil: no such listener.
    package var port: Int?
    /// CoAP over TLS. Nil: wherever there is a certificate, on the port of RFC 8323 §8.2.
    package var securePort: ListenerPort?
    /// CoAP over WebSocket, without and with TLS; nil: no such listener.
    package var webSocketPort: Int?
    package var secureWebSocketPort: Int?
    /// Who says with the PROXY protocol on whose behalf it connects.
    package var proxies: ProxySources
    /// What clients dial, if it is not where we listen.
    package var publicEndpoints: PublicEndpoints
    /// In bytes; announced in our CSM (RFC 8323 §5.3.1).
    package var maxMessageSize: Int
    package var maxConnections: Int
    /// TLS handshakes worked on at once; nil: by the number of event loops.
    package var handshakes: Int?
    /// Identity requests put to the registry at once; nil: by the number of event loops.
    package var signInRequests: Int?
    /// Connections one source may open in a second; nil: any number.
    package var sourceRate: Int?
    /// Idle time before the first Ping.
    package var keepaliveTime: Duration
    /// Time between Pings that stay unanswered.
    package var keepaliveInterval: Duration
    /// Pings that may stay unanswered before the connection counts as lost.
    package var keepaliveRetry: Int
    /// What is kept of what devices say.
    package var storedState: StoredStateMode
    /// RFC 8323 §5.3: whether a peer must send its CSM first.
    package var csmStrict: Bool

    enum Keys {
        static let port = Setting.listener(
            "COAP_PORT", default: .port(5683), "The port of CoAP over TCP, for devices.")
        static let securePort = Setting.listener(
            "COAPS_PORT", default: .port(5684), "The port of CoAP over TLS, for devices. It needs a certificate.",
        ).workedOut(shownAs: "(5684 if there is a certificate, else off)")
        static let webSocketPort = Setting.listener(
            "COAP_WS_PORT", default: .off, "The port of CoAP over WebSocket, at /.well-known/coap.")
        static let secureWebSocketPort = Setting.listener(
            "COAPS_WS_PORT", default: .off, "The same over TLS. It needs a certificate.")
        static let proxies = Setting.list(
            "PROXY_PROTOCOL_FROM",
            allowed: "IP addresses and networks such as 10.0.0.0/8, with commas, at most \(ProxySources.maximum)",
            "From where CoAP connections begin with a PROXY protocol header, version 1 or 2. It is required of these.",
            isGood: { ProxySources($0) != nil })
        static let publicEndpoint = Setting.coapEndpoints(
            "PUBLIC_ENDPOINT",
            shownAs: "(coap+tcp://BIND_ADDRESS:COAP_PORT)",
            "Where CoAP clients reach the gateway, if that is not where it listens. Links carry it.",
        )
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
        static let handshakes = Setting.count(
            "HANDSHAKES",
            in: 1...4096,
            default: 2,
            "How many TLS handshakes are worked on at once; others wait in order, 5 s at most.",
        ).workedOut(shownAs: "(2 × EVENT_LOOPS)")
        static let signInRequests = Setting.count(
            "SIGN_IN_REQUESTS",
            in: 1...4096,
            default: 64,
            "How many sign-ups, sign-ins and refreshes the registry is asked at once; others wait, 1.5 s at most.",
        ).workedOut(shownAs: "(64 × EVENT_LOOPS)")
        static let sourceRate = Setting.count(
            "SOURCE_RATE",
            in: 1...1000,
            default: 1,
            "How many connections a second one IPv4 address or IPv6 /64 may open; ten times that at once.",
        ).workedOut(shownAs: "(any number)")
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
        static let storedState = Setting.choice(
            "STORED_STATE",
            default: StoredStateMode.passive,
            "What is kept of what devices say, to be read while they are offline: what clients observe, all that can "
                + "be observed, or nothing.",
        )
        static let csmStrict = Setting.toggle(
            "CSM_STRICT",
            default: false,
            "Refuse peers whose first message is no CSM, as RFC 8323 has it. Some devices send none.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.port.declaration,
        Keys.securePort.declaration,
        Keys.webSocketPort.declaration,
        Keys.secureWebSocketPort.declaration,
        Keys.proxies.declaration,
        Keys.publicEndpoint.declaration,
        Keys.maxMessageSize.declaration,
        Keys.maxConnections.declaration,
        Keys.handshakes.declaration,
        Keys.signInRequests.declaration,
        Keys.sourceRate.declaration,
        Keys.keepaliveTime.declaration,
        Keys.keepaliveInterval.declaration,
        Keys.keepaliveRetry.declaration,
        Keys.storedState.declaration,
        Keys.csmStrict.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.port = reader.read(Keys.port).number
        self.securePort = reader.read(Keys.securePort)
        self.webSocketPort = reader.read(Keys.webSocketPort).number
        self.secureWebSocketPort = reader.read(Keys.secureWebSocketPort).number
        // What is not good was refused by the reader.
        self.proxies = ProxySources(reader.read(Keys.proxies)) ?? ProxySources()
        self.publicEndpoints = PublicEndpoints(reader.read(Keys.publicEndpoint)) ?? PublicEndpoints()
        self.maxMessageSize = reader.read(Keys.maxMessageSize)
        self.maxConnections = reader.read(Keys.maxConnections)
        self.handshakes = reader.read(Keys.handshakes)
        self.signInRequests = reader.read(Keys.signInRequests)
        self.sourceRate = reader.read(Keys.sourceRate)
        self.keepaliveTime = reader.read(Keys.keepaliveTime)
        self.keepaliveInterval = reader.read(Keys.keepaliveInterval)
        self.keepaliveRetry = reader.read(Keys.keepaliveRetry)
        self.storedState = reader.read(Keys.storedState)
        self.csmStrict = reader.read(Keys.csmStrict)
    }

    /// Where CoAP over TLS is served if there is a certificate; nil: nowhere.
    package var securePortWithCertificate: Int? { (self.securePort ?? .port(Self.defaultSecurePort)).number }

    private static let defaultSecurePort = 5684

    /// The listeners, with what they show.
    /// - Parameter certificates: nil: those with TLS are left out.
    package func listeners(_ certificates: ServerCertificates?) -> [DevicePort] {
        var listeners: [DevicePort] = []
        if let port = self.port { listeners.append(DevicePort(.tcp, port: port)) }
        if let certificates, let port = self.securePortWithCertificate {
            listeners.append(DevicePort(.tls(certificates), port: port))
        }
        if let port = self.webSocketPort { listeners.append(DevicePort(.webSocket, port: port)) }
        if let certificates, let port = self.secureWebSocketPort {
            listeners.append(DevicePort(.secureWebSocket(certificates), port: port))
        }
        return listeners
    }

    /// Notes what does not fit together: a port with TLS that nothing is there to be shown at, or no port at all.
    package func check(hasCertificate: Bool, _ reader: inout SettingsReader) {
        if !hasCertificate {
            let asked = [
                self.securePort?.number.map { _ in "COAPS_PORT" },
                self.secureWebSocketPort.map { _ in "COAPS_WS_PORT" },
            ].compactMap { $0 }
            for name in asked {
                reader.reject(
                    "\(name): is set, and there is no certificate; set TLS_CERTIFICATE and TLS_CERTIFICATE_KEY")
            }
        }
        let isServed =
            self.port != nil || self.webSocketPort != nil
            || (hasCertificate && (self.securePortWithCertificate != nil || self.secureWebSocketPort != nil))
        if !isServed {
            reader.reject("COAP_PORT: is off as all other ports for devices are; give one of them")
        }
    }

    /// How TLS handshakes are spread over time.
    package func handshakeLimits(eventLoops: Int) -> HandshakeLimits {
        HandshakeLimits(slots: self.handshakes ?? 2 * eventLoops)
    }

    /// How identity requests are spread over time.
    package func signInLimits(eventLoops: Int) -> SignInQueue.Limits {
        SignInQueue.Limits(concurrent: self.signInRequests ?? 64 * eventLoops)
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
