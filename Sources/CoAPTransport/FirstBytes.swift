import NIOCore

/// Tells what a peer speaks from the first bytes it sends.
enum FirstBytes: Hashable {
    /// A TLS record with a handshake in it (RFC 8446 §5.1).
    case tls
    /// A PROXY header, of either version.
    case proxy
    case http
    case ssh
    /// Anything else, CoAP among it.
    case other

    /// The signature of version 2 (PROXY protocol §2.2).
    static let proxySignature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// - Parameter bytes: what came in the first read. Fewer than it takes to tell count as `other`.
    init(_ bytes: ByteBufferView) {
        if bytes.starts(with: [0x16, 0x03]), bytes.count >= 6, bytes[bytes.startIndex + 5] == 1 {
            // The record's version goes to 3.4, and what it carries is a ClientHello. As CoAP it would be a PUT with a
            // token of six bytes and one byte of options: 0.03 is not used in OCF.
            self = bytes[bytes.startIndex + 2] <= 4 ? .tls : .other
        } else if bytes.starts(with: "PROXY ".utf8) || bytes.starts(with: Self.proxySignature) {
            self = .proxy
        } else if Self.methods.contains(where: { bytes.starts(with: $0.utf8) }) {
            self = .http
        } else if bytes.starts(with: "SSH-".utf8) {
            self = .ssh
        } else {
            self = .other
        }
    }

    private static let methods = [
        "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "PRI ",
    ]

    /// Whether TLS may begin so. One byte is enough to say no: nothing is held back.
    static func mayBeTLS(_ bytes: ByteBufferView) -> Bool {
        bytes.prefix(2).elementsEqual([0x16, 0x03].prefix(bytes.count))
    }

    /// A word for the log.
    var name: String {
        switch self {
        case .tls: "TLS"
        case .proxy: "a PROXY header"
        case .http: "HTTP"
        case .ssh: "SSH"
        case .other: "CoAP, or something else"
        }
    }
}
