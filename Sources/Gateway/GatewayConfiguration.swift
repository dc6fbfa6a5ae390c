package import Cluster
import CoAPInterface
package import ServiceShell

/// Everything `coap-gateway` can be told at its start, read and checked before anything begins.
///
/// The keys, their defaults and bounds are the table of ``program``, which `--help` and docs/configuration.md show.
package struct GatewayConfiguration: ServerConfiguration {
    package var process: ProcessSettings
    package var http: HTTPSettings
    package var devices: DeviceSettings
    package var tls: TLSSettings
    package var requests: RequestSettings
    package var ceilings: CeilingSettings
    package var dataDirectory: String
    package var tokens: TokenSettings
    /// 32 bytes; `nil`: the one kept in the data directory, made there at the first start.
    package var tokenSealKey: SecretValue?
    package var tokenSealKeyPrevious: SecretValue?
    /// The cloud's own UUID; `nil`: the one kept in the data directory, made there at the first start.
    package var sid: String?
    package var warnings: [String]

    /// The settings that no other program has.
    enum Keys {
        static let dataDirectory = Setting.path(
            "DATA_DIR",
            default: "./data",
            "The directory of the database and of what is made at the first start. Made if it is not there.",
        )
        static let tokenSealKey = SealKeys.current(shownAs: "(made at the first start, kept in DATA_DIR)")
        static let sid = CloudIdentity.setting(shownAs: "(made at the first start, kept in DATA_DIR)")
    }

    package static let program = ProgramDescription(
        name: "coap-gateway",
        abstract: "An OCF cloud in one process: devices over CoAP/TCP, apps over HTTP, SQLite in a directory.",
        settings: HTTPSettings.declarations + DeviceSettings.declarations + TLSSettings.declarations
            + RequestSettings.declarations + CeilingSettings.declarations
            + [Keys.dataDirectory.declaration] + TokenSettings.declarations
            + [Keys.tokenSealKey.declaration, SealKeys.previous.declaration, Keys.sid.declaration]
            + ProcessSettings.declarations,
    )

    package init(arguments: ProgramArguments, environment: [String: String]) throws(ConfigurationError) {
        var reader = Self.program.reader(
            arguments: arguments, environment: environment, old: Self.oldNames(in: environment))
        self.http = HTTPSettings(&reader)
        self.devices = DeviceSettings(&reader)
        self.tls = TLSSettings(&reader)
        self.http.fallBack(to: self.tls.files)
        self.requests = RequestSettings(&reader)
        self.ceilings = CeilingSettings(&reader)
        self.dataDirectory = reader.read(Keys.dataDirectory)
        self.tokens = TokenSettings(&reader)
        self.tokenSealKey = reader.read(Keys.tokenSealKey)
        self.tokenSealKeyPrevious = reader.read(SealKeys.previous)
        self.sid = reader.read(Keys.sid)
        self.process = ProcessSettings(&reader)
        self.warnings = reader.warnings
        // There is always a certificate: one is made for development if none is given.
        self.devices.check(hasCertificate: true, &reader)
        reader.rejectShared(ports: [
            "HTTP_PORT": self.http.port, "HTTPS_PORT": self.http.securePort, "COAP_PORT": self.devices.port,
            "COAPS_PORT": self.devices.securePortWithCertificate, "COAP_WS_PORT": self.devices.webSocketPort,
            "COAPS_WS_PORT": self.devices.secureWebSocketPort, "ADMIN_PORT": self.process.adminPort,
        ])
        try reader.finish()
        SizeOrder.check()
    }

    package var stopTime: Duration { self.requests.stopTime }

    /// Where the authority for development is kept.
    package var certificatesDirectory: String { "\(self.dataDirectory)/tls" }

    /// Whether any listener would show its certificate.
    package var isDevelopmentCertificateShown: Bool {
        self.tls.files == nil
            && (self.devices.securePortWithCertificate != nil || self.devices.secureWebSocketPort != nil
                || (self.http.securePort != nil && self.http.files == nil))
    }

    /// What clients dial: the public endpoint, or where we listen.
    ///
    /// - Parameter port: The port that was taken for CoAP.
    package func endpoint(port: Int) -> String {
        self.devices.publicEndpoints.first ?? "coap+tcp://\(self.process.host):\(port)"
    }
}
