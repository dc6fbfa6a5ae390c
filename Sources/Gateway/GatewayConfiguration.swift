package import Cloud
import CoAPInterface
package import Logging
import NIOCore
package import ServiceShell

/// Everything `coap-gateway` can be told at its start, read and checked before anything begins.
///
/// The keys, their defaults and bounds are the table in ``settings``, which `--help` and docs/configuration.md show.
package struct GatewayConfiguration: Sendable {
    package var httpPort: Int
    package var coapPort: Int
    package var adminPort: Int
    /// An IP address or `localhost`.
    package var bindAddress: String
    package var dataDirectory: String
    /// Whether `POST /register/user` serves everybody.
    package var registrationOpen: Bool
    /// `nil`: for ever.
    package var accessTokenLifetime: Duration?
    /// `nil`: for ever.
    package var deviceTokenLifetime: Duration?
    package var refreshReuse: IdentityConfiguration.RefreshReuse
    /// 32 bytes; `nil`: the one kept in the data directory, made there at the first start.
    package var tokenSealKey: SecretValue?
    package var tokenSealKeyPrevious: SecretValue?
    /// In bytes; announced in our CSM (RFC 8323 §5.3.1).
    package var maxMessageSize: Int
    /// The deadline a request gets at the edge, unless the client asks for another.
    package var requestTimeout: Duration
    /// Idle time before the first Ping.
    package var keepaliveTime: Duration
    /// Time between Pings that stay unanswered.
    package var keepaliveInterval: Duration
    /// Pings that may stay unanswered before the connection counts as lost.
    package var keepaliveRetry: Int
    /// RFC 8323 §5.3: whether a peer must send its CSM first.
    package var csmStrict: Bool
    package var maxConnections: Int
    package var logLevel: Logger.Level
    package var logFormat: LogFormat
    package var accessLog: AccessLog.Mode
    /// What clients dial, if it is not where we listen.
    package var publicEndpoint: String?
    package var eventLoops: Int
    /// The cloud's own UUID; `nil`: the one kept in the data directory, made there at the first start.
    package var sid: String?
    /// Where to write which ports were taken; empty: nowhere.
    package var portsFile: String
    /// To be logged once at the start: what was given and has no effect.
    package var warnings: [String]

    /// Reads every setting.
    ///
    /// - Throws: everything that is wrong at once; its `exitStatus` is the one to end with.
    package init(arguments: ProgramArguments, environment: [String: String]) throws(ConfigurationError) {
        let old = GoGatewayKeys(environment: environment)
        var reader = Self.program.reader(
            arguments: arguments,
            environment: environment,
            extra: [old.source],
            problems: old.problems,
        )
        self.warnings = old.warnings
        self.httpPort = reader.read(Keys.httpPort)
        self.coapPort = reader.read(Keys.coapPort)
        self.adminPort = reader.read(Keys.adminPort)
        self.bindAddress = reader.read(Keys.bindAddress)
        self.dataDirectory = reader.read(Keys.dataDirectory)
        let registration = reader.read(Keys.registration)
        self.registrationOpen = registration.map { $0 == .open } ?? Self.isLoopback(self.bindAddress)
        self.accessTokenLifetime = reader.read(Keys.accessTokenLifetime)
        self.deviceTokenLifetime = reader.read(Keys.deviceTokenLifetime)
        self.refreshReuse = reader.read(Keys.refreshReuse)
        self.tokenSealKey = reader.read(Keys.tokenSealKey)
        self.tokenSealKeyPrevious = reader.read(Keys.tokenSealKeyPrevious)
        self.maxMessageSize = reader.read(Keys.maxMessageSize)
        self.requestTimeout = reader.read(Keys.requestTimeout)
        self.keepaliveTime = reader.read(Keys.keepaliveTime)
        self.keepaliveInterval = reader.read(Keys.keepaliveInterval)
        self.keepaliveRetry = reader.read(Keys.keepaliveRetry)
        self.csmStrict = reader.read(Keys.csmStrict)
        self.maxConnections = reader.read(Keys.maxConnections)
        self.logLevel = reader.read(Keys.logLevel)
        self.logFormat = reader.read(Keys.logFormat)
        self.accessLog = reader.read(Keys.accessLog)
        self.publicEndpoint = reader.read(Keys.publicEndpoint)
        self.eventLoops = reader.read(Keys.eventLoops) ?? System.coreCount
        self.sid = reader.read(Keys.sid)
        self.portsFile = reader.read(Keys.portsFile)
        self.rejectSharedPorts(&reader)
        try reader.finish()
        Self.checkOrder()
    }

    /// Two listeners on one port would only be found when the second binds.
    private func rejectSharedPorts(_ reader: inout SettingsReader) {
        let ports = [("HTTP_PORT", self.httpPort), ("COAP_PORT", self.coapPort), ("ADMIN_PORT", self.adminPort)]
        for (index, one) in ports.enumerated() where one.1 != 0 {
            for other in ports[(index + 1)...] where other.1 == one.1 {
                reader.reject("\(other.0): \"\(other.1)\" is \(one.0)'s port too; give each listener its own port")
            }
        }
    }

    /// How long a stop may take: a request that came just before it may still be answered.
    package var stopTime: Duration { self.requestTimeout + .seconds(5) }

    /// What clients dial: the public endpoint, or where we listen.
    ///
    /// - Parameter port: The port that was taken for CoAP.
    package func endpoint(port: Int) -> String {
        if let publicEndpoint = self.publicEndpoint { return publicEndpoint }
        let host = self.bindAddress.contains(":") ? "[\(self.bindAddress)]" : self.bindAddress
        return "coap+tcp://\(host):\(port)"
    }

    static func isLoopback(_ address: String) -> Bool {
        if address == "localhost" || address == "::1" { return true }
        let isIPv4 = (try? SocketAddress(ipAddress: address, port: 0)).map { $0.protocol == .inet } ?? false
        return isIPv4 && address.hasPrefix("127.")
    }
}

extension GatewayConfiguration {
    /// When the reference device repeats a request.
    private static let deviceRepeats = TimeAmount.seconds(2)
    /// The longest deadline a client may ask for (`Prefer: wait=60`).
    private static let longestDeadline = TimeAmount.seconds(60)

    /// Stops the program if a change to our own sizes broke the order that other parts of it rely on.
    static func checkOrder() {
        let limits = SessionMachine.Limits()
        precondition(Self.deviceRepeats < limits.idle)
        precondition(limits.idle < limits.idleAfterUnavailable)
        precondition(Self.longestDeadline < limits.idleAfterUnavailable)
        precondition(limits.idleAfterUnavailable < limits.unsigned)
    }
}
