package import Logging
import NIOCore

/// Settings that belong together, declared once and read by every program that has them.
package protocol SettingsGroup: Sendable {
    /// In the order people are shown them.
    static var declarations: [SettingDeclaration] { get }

    /// Reads every one of ``declarations``. What is wrong is noted in the reader, whose `finish()` throws it.
    init(_ reader: inout SettingsReader)
}

/// The settings every server has.
package struct ProcessSettings: SettingsGroup {
    package var adminPort: Int
    /// An IP address or `localhost`.
    package var bindAddress: String
    package var logLevel: Logger.Level
    package var logFormat: LogFormat
    package var accessLog: AccessLog.Mode
    package var eventLoops: Int
    /// Where to write which ports were taken; empty: nowhere.
    package var portsFile: String

    enum Keys {
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
        static let eventLoops = Setting.count(
            "EVENT_LOOPS",
            in: 1...256,
            default: 1,
            "How many threads serve connections.",
        ).workedOut(shownAs: "(one per core)")
        static let portsFile = Setting.path(
            "PORTS_FILE",
            default: "",
            "A file to write the ports to once all are open, as JSON. For scripts that give 0 as port.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.adminPort.declaration,
        Keys.bindAddress.declaration,
        Keys.logLevel.declaration,
        Keys.logFormat.declaration,
        Keys.accessLog.declaration,
        Keys.eventLoops.declaration,
        Keys.portsFile.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.adminPort = reader.read(Keys.adminPort)
        self.bindAddress = reader.read(Keys.bindAddress)
        self.logLevel = reader.read(Keys.logLevel)
        self.logFormat = reader.read(Keys.logFormat)
        self.accessLog = reader.read(Keys.accessLog)
        self.eventLoops = reader.read(Keys.eventLoops) ?? System.coreCount
        self.portsFile = reader.read(Keys.portsFile)
    }

    /// Whether nobody but this machine can reach what is bound.
    package var isLoopback: Bool {
        if self.bindAddress == "localhost" || self.bindAddress == "::1" { return true }
        let address = try? SocketAddress(ipAddress: self.bindAddress, port: 0)
        return address?.protocol == .inet && self.bindAddress.hasPrefix("127.")
    }

    /// The address as it stands before `:PORT`.
    package var host: String { bracketed(self.bindAddress) }
}
