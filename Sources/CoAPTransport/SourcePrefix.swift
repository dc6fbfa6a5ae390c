package import NIOCore

/// What counts as one source of connections: an IPv4 address, or the network of 64 bits that an IPv6 address is in,
/// since whoever has one of these has all of them (RFC 4291 §2.5.4).
package struct SourcePrefix: Hashable, Sendable {
    private let bytes: [UInt8]

    /// Nil for what has no IP address.
    package init?(_ address: SocketAddress) {
        let bytes = address.ipBytes
        guard !bytes.isEmpty else { return nil }
        self.bytes = Array(bytes.prefix(8))
    }
}
