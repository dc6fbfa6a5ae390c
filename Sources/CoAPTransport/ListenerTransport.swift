package import Certificates

/// What stands between the socket and CoAP on a listener for devices and clients.
package enum ListenerTransport: Sendable {
    case tcp
    case tls(ServerCertificates)
    case webSocket
    case secureWebSocket(ServerCertificates)

    package var scheme: URIScheme {
        switch self {
        case .tcp: .tcp
        case .tls: .tls
        case .webSocket: .webSocket
        case .secureWebSocket: .secureWebSocket
        }
    }

    package var certificates: ServerCertificates? {
        switch self {
        case .tcp, .webSocket: nil
        case .tls(let certificates), .secureWebSocket(let certificates): certificates
        }
    }
}
