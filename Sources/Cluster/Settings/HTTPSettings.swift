package import Northbound
package import ServiceShell

/// How the HTTP API is served.
package struct HTTPSettings: SettingsGroup {
    package var port: Int
    /// Whether `POST /register/user` serves everybody; nil: only where nobody else can reach it.
    package var registration: NorthboundConfiguration.Registration?

    enum Keys {
        static let port = Setting.port("HTTP_PORT", default: 8080, "The port of the HTTP API.")
        static let registration = Setting.choice(
            "REGISTRATION",
            default: NorthboundConfiguration.Registration.open,
            "Whether POST /register/user serves everybody.",
        ).workedOut(shownAs: "(open if BIND_ADDRESS is loopback, else closed)")
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.port.declaration,
        Keys.registration.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.port = reader.read(Keys.port)
        self.registration = reader.read(Keys.registration)
    }

    /// Whether strangers may register users.
    package func isOpen(_ process: ProcessSettings) -> Bool {
        self.registration.map { $0 == .open } ?? process.isLoopback
    }

    package func northbound(_ process: ProcessSettings, timeout: RequestSettings) -> NorthboundConfiguration {
        NorthboundConfiguration(
            host: process.bindAddress, port: self.port,
            registration: self.isOpen(process) ? .open : .closed,
            requestTimeout: timeout.timeout)
    }
}
