import CoAPTransport
import Glibc
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
            configuration.trustRoots = .certificates(
                try Self.reading(authorities, "certificates") { try NIOSSLCertificate.fromPEMFile($0) })
        }
        if let certificate = self.certificate, let key = self.key {
            configuration.certificateChain = try Self.reading(certificate, "certificates") {
                try NIOSSLCertificate.fromPEMFile($0).map { .certificate($0) }
            }
            configuration.privateKey = try Self.reading(key, "private key") {
                .privateKey(try NIOSSLPrivateKey(file: $0, format: .pem))
            }
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

    private struct UnusableFile: Error, CustomStringConvertible {
        let description: String
    }

    private static func reading<Content>(
        _ path: String, _ what: String, _ read: (String) throws -> Content
    ) throws(UnusableFile) -> Content {
        guard access(path, R_OK) == 0 else {
            throw UnusableFile(description: "\(path): \(String(cString: strerror(errno)))")
        }
        do {
            return try read(path)
        } catch {
            throw UnusableFile(description: "\(path): it has no PEM \(what) that can be read")
        }
    }
}
