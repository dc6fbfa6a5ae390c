package import Certificates
package import NIOCore

/// How a connection came: what was learnt about it before CoAP began.
package struct ConnectionArrival: Hashable, Sendable {
    /// The scheme of what the peer dialled.
    package var scheme = URIScheme.tcp
    /// The peer's address as a proxy in front of us gave it; nil: that of the socket.
    package var peer: SocketAddress?
    /// The address the peer dialled, as a proxy gave it; nil: that of the socket.
    package var dialled: SocketAddress?
    /// Whether a TLS handshake came first.
    package var isSecured = false
    /// What the peer has shown in that handshake, and was checked.
    package var certificate: PeerCertificate?

    package init() {}
}

/// The schemes of CoAP over reliable transports (RFC 8323 §8).
package enum URIScheme: String, Hashable, Sendable, CaseIterable {
    case tcp = "coap+tcp"
    case tls = "coaps+tcp"
    case webSocket = "coap+ws"
    case secureWebSocket = "coaps+ws"

    package var isSecure: Bool { self == .tls || self == .secureWebSocket }
    package var isWebSocket: Bool { self == .webSocket || self == .secureWebSocket }
}
