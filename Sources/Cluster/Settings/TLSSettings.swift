package import Certificates
package import Logging
package import ServiceShell

/// What listeners with TLS show, and whom they let in.
package struct TLSSettings: SettingsGroup {
    /// Nil: there is no certificate.
    package var files: ServerCertificates.Files?
    package var clients: ServerCertificates.ClientVerification
    private let authorities: [String]
    private let revocations: [String]

    enum Keys {
        static let certificate = Setting.path(
            "TLS_CERTIFICATE",
            default: "",
            "The certificate chain that devices see, PEM. Devices want CN=uuid:SID in it. With its key or neither.",
        )
        static let key = Setting.path("TLS_CERTIFICATE_KEY", default: "", "Its private key, PEM.")
        static let authorities = Setting.path(
            "TLS_CA_POOL",
            default: "",
            "The authorities that devices' certificates come from: a PEM file or a directory of them.",
        )
        static let clients = Setting.choice(
            "TLS_CLIENT_CERTIFICATES",
            default: ServerCertificates.ClientVerification.optional,
            "Whether devices show a certificate. One that is shown is checked, and has to name the device.",
        ).workedOut(shownAs: "(optional if TLS_CA_POOL is set, else off)")
        static let revocations = Setting.path(
            "TLS_CRL", default: "", "The list of revoked certificates of these authorities, PEM or DER.")
    }

    /// Of `sharedFiles`, where nothing else of this group is.
    package static let sharedDeclarations: [SettingDeclaration] = [
        Keys.certificate.declaration,
        Keys.key.declaration,
    ]

    package static let declarations: [SettingDeclaration] =
        Self.sharedDeclarations + [
            Keys.authorities.declaration,
            Keys.clients.declaration,
            Keys.revocations.declaration,
        ]

    package init(_ reader: inout SettingsReader) {
        self.files = Self.sharedFiles(&reader)
        let authorities = reader.read(Keys.authorities)
        let revocations = reader.read(Keys.revocations)
        let clients = reader.read(Keys.clients)
        self.authorities = authorities.isEmpty ? [] : [authorities]
        self.revocations = revocations.isEmpty ? [] : [revocations]
        self.clients = clients ?? (authorities.isEmpty ? .off : .optional)
        if !revocations.isEmpty, authorities.isEmpty {
            reader.reject("TLS_CRL: is set, and TLS_CA_POOL is not; a list is checked with its authority's key")
        }
        if self.clients != .off, authorities.isEmpty {
            reader.reject(
                "TLS_CLIENT_CERTIFICATES: \"\(self.clients.rawValue)\", and TLS_CA_POOL is not set; set it to the "
                    + "authorities that the certificates come from")
        }
        self.files?.authorities = self.authorities
        self.files?.revocations = self.revocations
    }

    /// The certificate with its key; nil if there is none.
    package static func sharedFiles(_ reader: inout SettingsReader) -> ServerCertificates.Files? {
        let certificate = reader.read(Keys.certificate)
        let key = reader.read(Keys.key)
        if certificate.isEmpty != key.isEmpty {
            reader.reject("TLS_CERTIFICATE, TLS_CERTIFICATE_KEY: one of them is set; give both or none")
        }
        guard !certificate.isEmpty, !key.isEmpty else { return nil }
        return ServerCertificates.Files(certificate: certificate, key: key)
    }

    /// Nil if there is no certificate.
    /// - Parameters:
    ///   - sid: the cloud's own UUID, if this program knows it.
    ///   - otherwise: what is shown if no certificate is set.
    /// - Throws: when a file cannot be read or used; the message names it.
    package func certificates(
        sid: String?, otherwise: ServerCertificates.Files? = nil, logger: Logger
    ) throws(CertificateError) -> ServerCertificates? {
        guard var files = self.files ?? otherwise else { return nil }
        files.authorities = self.authorities
        files.revocations = self.revocations
        let certificates = try ServerCertificates(
            files: files, clients: self.clients, protocols: ["coap"], logger: logger)
        Self.checkName(certificates, sid: sid, path: files.certificate, logger: logger)
        return certificates
    }

    /// A device matches what the cloud may do on it by the UUID in the certificate's name: with another, everything
    /// works but requests to devices, which they answer with 4.01.
    private static func checkName(_ certificates: ServerCertificates, sid: String?, path: String, logger: Logger) {
        let name = certificates.commonName?.lowercased()
        let isGood = sid.map { name == "uuid:\($0.lowercased())" } ?? (name?.hasPrefix("uuid:") == true)
        guard !isGood else { return }
        logger.warning(
            "the certificate is not the cloud's for devices: its CN is not uuid:SID, and devices will refuse requests",
            metadata: .init([.path: path, .setting: "TLS_CERTIFICATE", .reason: name ?? "it has no CN"]))
    }
}
