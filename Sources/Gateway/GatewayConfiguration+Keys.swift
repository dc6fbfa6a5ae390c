import Cloud
import Logging
package import ServiceShell

extension GatewayConfiguration {
    /// Who may register users over HTTP.
    enum Registration: String, CaseIterable, Sendable {
        case open
        case closed
    }

    /// The declarations: name, bounds, default and meaning of each setting.
    enum Keys {
        static let httpPort = Setting.port("HTTP_PORT", default: 8080, "The port of the HTTP API.")
        static let coapPort = Setting.port("COAP_PORT", default: 5683, "The port of CoAP over TCP, for devices.")
        static let adminPort = Setting.port(
            "ADMIN_PORT",
            default: 9090,
            "The port of /livez, /readyz, /metrics and /status.",
        )
        static let bindAddress = Setting.address(
            "BIND_ADDRESS",
            default: "127.0.0.1",
            "The address all ports are opened on.",
        )
        static let dataDirectory = Setting.path(
            "DATA_DIR",
            default: "./data",
            "The directory of the database and of what is made at the first start. Made if it is not there.",
        )
        static let registration = Setting.choice(
            "REGISTRATION",
            default: Registration.open,
            "Whether POST /register/user serves everybody.",
        ).workedOut(shownAs: "(open if BIND_ADDRESS is loopback, else closed)")
        static let accessTokenLifetime = Setting.lifetime(
            "ACCESS_TOKEN_LIFETIME",
            in: 1...315_360_000,
            default: 6000,
            "How long access tokens of clients are good.",
        )
        static let deviceTokenLifetime = Setting.lifetime(
            "DEVICE_TOKEN_LIFETIME",
            in: 1...315_360_000,
            default: 6000,
            "How long access tokens of devices are good. Permanent saves devices the refresh when they reconnect.",
        )
        static let refreshReuse = Setting.choice(
            "REFRESH_REUSE",
            default: IdentityConfiguration.RefreshReuse.revoke,
            "What an old refresh token brings: revoke ends the login as stolen, recover lets the device go on.",
        )
        static let tokenSealKey = Setting.secretKey(
            "TOKEN_SEAL_KEY",
            count: 32,
            shownAs: "(made at the first start, kept in DATA_DIR)",
            "The key that seals token answers until they are confirmed.",
        )
        static let tokenSealKeyPrevious = Setting.secretKey(
            "TOKEN_SEAL_KEY_PREVIOUS",
            count: 32,
            shownAs: "(none)",
            "The key before, still accepted while keys are changed.",
        )
        static let maxMessageSize = Setting.size(
            "MAX_MESSAGE_SIZE",
            in: 1152...16_777_216,
            default: 262_144,
            "The largest CoAP message taken from a peer.",
        )
        static let requestTimeout = Setting.seconds(
            "REQUEST_TIMEOUT",
            in: 1...60,
            default: 20,
            "How long a request to a device may take.",
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
        static let maxConnections = Setting.count(
            "MAX_CONNECTIONS",
            in: 1...1_000_000,
            default: 10_000,
            "How many CoAP connections are taken at a time.",
        )
        static let logLevel = Setting.choice("LOG_LEVEL", default: Logger.Level.info, "The least level that is logged.")
        static let logFormat = Setting.choice(
            "LOG_FORMAT",
            default: LogFormat.text,
            "The form of log lines on standard output.",
        )
        static let accessLog = Setting.choice(
            "ACCESS_LOG",
            default: AccessLog.Mode.all,
            "Which handled requests get a line.",
        )
        static let publicEndpoint = Setting.coapEndpoint(
            "PUBLIC_ENDPOINT",
            "Where CoAP clients reach the gateway, if that is not where it listens. Links carry it.",
        ).workedOut(shownAs: "(coap+tcp://BIND_ADDRESS:COAP_PORT)")
        static let eventLoops = Setting.count(
            "EVENT_LOOPS",
            in: 1...256,
            default: 1,
            "How many threads serve connections.",
        ).workedOut(shownAs: "(one per core)")
        static let sid = Setting.uuid("SID", "The identity of this cloud, which devices are told.")
            .workedOut(shownAs: "(made at the first start, kept in DATA_DIR)")
        static let portsFile = Setting.path(
            "PORTS_FILE",
            default: "",
            "A file to write the ports to once all are open, as JSON. For scripts that give 0 as port.",
        )
    }

    /// Every setting, in the order people are shown them.
    package static let settings: [SettingDeclaration] = [
        Keys.httpPort.declaration,
        Keys.coapPort.declaration,
        Keys.adminPort.declaration,
        Keys.bindAddress.declaration,
        Keys.publicEndpoint.declaration,
        Keys.dataDirectory.declaration,
        Keys.registration.declaration,
        Keys.accessTokenLifetime.declaration,
        Keys.deviceTokenLifetime.declaration,
        Keys.refreshReuse.declaration,
        Keys.tokenSealKey.declaration,
        Keys.tokenSealKeyPrevious.declaration,
        Keys.sid.declaration,
        Keys.maxMessageSize.declaration,
        Keys.maxConnections.declaration,
        Keys.requestTimeout.declaration,
        Keys.keepaliveTime.declaration,
        Keys.keepaliveInterval.declaration,
        Keys.keepaliveRetry.declaration,
        Keys.csmStrict.declaration,
        Keys.logLevel.declaration,
        Keys.logFormat.declaration,
        Keys.accessLog.declaration,
        Keys.eventLoops.declaration,
        Keys.portsFile.declaration,
    ]

    /// The program, for its command line.
    package static let program = ProgramDescription(
        name: "coap-gateway",
        version: "0.1.0",
        abstract: "An OCF cloud in one process: devices over CoAP/TCP, apps over HTTP, SQLite in a directory.",
        settings: settings,
    )
}
