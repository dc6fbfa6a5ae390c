package import Certificates
package import ServiceLifecycle

/// Looks for changed certificates and revocation lists, connections or none.
package struct CertificateWatch: Service {
    private let certificates: ServerCertificates

    /// One, or none.
    package static func services(_ certificates: ServerCertificates?) -> [any Service] {
        certificates.map { [CertificateWatch(certificates: $0)] } ?? []
    }

    package func run() async {
        await cancelWhenGracefulShutdown { await self.certificates.run() }
    }
}
