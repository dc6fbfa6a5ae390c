import NIOCore
package import NIOSSL

/// What stands between the socket and CoAP on a connection we open.
package enum DialTransport: Sendable {
    case tcp
    /// - Parameter serverName: whom the certificate has to name; nil: the host that is dialled.
    case tls(NIOSSLContext, serverName: String? = nil)
    /// At `/.well-known/coap` (RFC 8323 §8.3).
    case webSocket
    case secureWebSocket(NIOSSLContext, serverName: String? = nil)

    package var scheme: URIScheme {
        switch self {
        case .tcp: .tcp
        case .tls: .tls
        case .webSocket: .webSocket
        case .secureWebSocket: .secureWebSocket
        }
    }

    /// The handler for a connection to `host`; nil without TLS.
    func tlsHandler(host: String) throws -> NIOSSLClientHandler? {
        switch self {
        case .tcp, .webSocket:
            nil
        case .tls(let context, let name), .secureWebSocket(let context, let name):
            // No name is sent for an address (RFC 6066 §3); the certificate has to have the address then.
            try NIOSSLClientHandler(context: context, serverHostname: name ?? (Self.isAddress(host) ? nil : host))
        }
    }
}

extension DialTransport {
    private static func isAddress(_ host: String) -> Bool {
        (try? SocketAddress(ipAddress: host, port: 0)) != nil
    }
}
