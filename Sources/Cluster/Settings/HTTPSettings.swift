package import Certificates
package import Logging
package import Northbound
package import ServiceShell

/// How the HTTP API is served.
package struct HTTPSettings: SettingsGroup {
    package var port: Int
    /// The port of the same over TLS, wherever there is a certificate; nil: no such listener.
    package var securePort: Int?
    /// What is shown there; nil: there is no certificate.
    package private(set) var files: ServerCertificates.Files?
    /// Whether `POST /register/user` serves everybody; nil: only where nobody else can reach it.
    package var registration: NorthboundConfiguration.Registration?

    enum Keys {
        static let port = Setting.port("HTTP_PORT", default: 8080, "The port of the HTTP API.")
        static let securePort = Setting.listener(
            "HTTPS_PORT", default: .port(8443),
            "The port of the HTTP API over TLS. It is open if there is a certificate.")
        static let certificate = Setting.path(
            "HTTPS_CERTIFICATE", default: "",
            "The certificate chain for it, PEM. With its key or neither; without, TLS_CERTIFICATE and its key serve.")
        static let key = Setting.path("HTTPS_CERTIFICATE_KEY", default: "", "Its private key, PEM.")
        static let registration = Setting.choice(
            "REGISTRATION",
            default: NorthboundConfiguration.Registration.open,
            "Whether POST /register/user serves everybody.",
        ).workedOut(shownAs: "(open if BIND_ADDRESS is loopback, else closed)")
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.port.declaration,
        Keys.securePort.declaration,
        Keys.certificate.declaration,
        Keys.key.declaration,
        Keys.registration.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.port = reader.read(Keys.port)
        self.securePort = reader.read(Keys.securePort).number
        self.registration = reader.read(Keys.registration)
        let certificate = reader.read(Keys.certificate)
        let key = reader.read(Keys.key)
        if certificate.isEmpty != key.isEmpty {
            reader.reject("HTTPS_CERTIFICATE, HTTPS_CERTIFICATE_KEY: one of them is set; give both or none")
        } else if !certificate.isEmpty {
            self.files = ServerCertificates.Files(certificate: certificate, key: key)
        }
    }

    /// Whoever has one certificate for both has to name it once only.
    /// - Parameter shared: `TLS_CERTIFICATE` with its key.
    package mutating func fallBack(to shared: ServerCertificates.Files?) {
        guard self.files == nil, let shared else { return }
        self.files = ServerCertificates.Files(certificate: shared.certificate, key: shared.key)
    }

    /// Whether strangers may register users.
    package func isOpen(_ process: ProcessSettings) -> Bool {
        self.registration.map { $0 == .open } ?? process.isLoopback
    }

    package func northbound(_ process: ProcessSettings, timeout: RequestSettings) -> NorthboundConfiguration {
        NorthboundConfiguration(
            host: process.bindAddress, port: self.port, securePort: self.securePort,
            registration: self.isOpen(process) ? .open : .closed,
            requestTimeout: timeout.timeout)
    }

    /// Nil if there is no certificate: then there is no HTTPS.
    /// - Parameter otherwise: what is shown for want of one for HTTP.
    /// - Throws: when a file cannot be read or used; the message names it.
    package func certificates(
        otherwise: ServerCertificates.Files? = nil, logger: Logger
    ) throws(CertificateError) -> ServerCertificates? {
        guard self.securePort != nil, let files = self.files ?? otherwise else { return nil }
        return try ServerCertificates(files: files, protocols: ["http/1.1"], logger: logger)
    }
}
