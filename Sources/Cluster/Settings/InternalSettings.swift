import Cloud
package import Hop
import Logging
package import ServiceShell

/// What the programs prove themselves to each other with.
package struct InternalSettings: SettingsGroup {
    package var secret: SecretValue
    package var previousSecret: SecretValue?
    /// `nil`: connections between the programs are not encrypted.
    package var tls: HopTLS.Files?

    enum Keys {
        static let secret = Setting.secretKey(
            "CLUSTER_SECRET",
            count: 32,
            shownAs: "(required)",
            "What all programs of one cluster share, and prove themselves to each other with.",
        )
        static let previousSecret = Setting.secretKey(
            "CLUSTER_SECRET_PREVIOUS",
            count: 32,
            shownAs: "(none)",
            "The secret before, still accepted while it is changed.",
        )
        static let certificate = Setting.path(
            "INTERNAL_TLS_CERTIFICATE",
            default: "",
            "This program's certificate chain for connections between programs, PEM. All three or none.",
        )
        static let key = Setting.path("INTERNAL_TLS_KEY", default: "", "Its private key, PEM.")
        static let authorities = Setting.path(
            "INTERNAL_TLS_CA",
            default: "",
            "The authorities that the other programs' certificates come from, PEM.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.secret.declaration,
        Keys.previousSecret.declaration,
        Keys.certificate.declaration,
        Keys.key.declaration,
        Keys.authorities.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.secret = reader.required(Keys.secret, standIn: SecretValue([]))
        self.previousSecret = reader.read(Keys.previousSecret)
        let certificate = reader.read(Keys.certificate)
        let key = reader.read(Keys.key)
        let authorities = reader.read(Keys.authorities)
        let given = [certificate, key, authorities].filter { !$0.isEmpty }.count
        if given == 3 {
            self.tls = HopTLS.Files(certificate: certificate, key: key, authorities: [authorities])
        } else if given > 0 {
            reader.reject(
                "INTERNAL_TLS_CERTIFICATE, INTERNAL_TLS_KEY, INTERNAL_TLS_CA: \(given) of them set; give all three or none"
            )
        }
    }

    func secrets() throws(CloudError) -> ClusterSecrets {
        ClusterSecrets(
            current: try ClusterSecret(self.secret.reveal()),
            previous: try self.previousSecret.map { secret throws(CloudError) in try ClusterSecret(secret.reveal()) })
    }

    /// - Throws: when a file cannot be read or used; the message names it.
    func hopTLS(namespace: String, logger: Logger) throws(HopTLSError) -> HopTLS? {
        guard let files = self.tls else { return nil }
        return try HopTLS(files: files, namespace: namespace, logger: logger)
    }
}
