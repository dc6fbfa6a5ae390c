import CoAPTransport
import NIOSSL

/// Whom we believe over TLS, and who we say we are. PEM files.
package struct TLSTrust: Hashable, Sendable {
    /// Authorities; nil for those of the system.
    package var authorities: String?
    package var certificate: String?
    package var key: String?

    package init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }

    var withoutClientCertificate: TLSTrust { TLSTrust(authorities: self.authorities) }

    var hasClientCertificate: Bool { self.certificate != nil && self.key != nil }

    /// - Parameter change: what to do otherwise than usual.
    func context(_ change: (inout TLSConfiguration) -> Void = { _ in }) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let authorities = self.authorities {
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authorities))
        }
        if let certificate = self.certificate, let key = self.key {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
        }
        configuration.applicationProtocols = ["coap"]
        change(&configuration)
        return try NIOSSLContext(configuration: configuration)
    }

    /// What stands between a socket and CoAP.
    func transport(_ scheme: URIScheme) throws -> DialTransport {
        switch scheme {
        case .tcp: .tcp
        case .tls: .tls(try self.context())
        case .webSocket: .webSocket
        case .secureWebSocket: .secureWebSocket(try self.context())
        }
    }
}
