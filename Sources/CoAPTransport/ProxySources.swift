package import NIOCore

/// Who has to say on whose behalf it connects: addresses and networks of proxies in front of us.
package struct ProxySources: Hashable, Sendable {
    /// What more than this would mean, a list of networks says shorter.
    package static let maximum = 64

    private struct Network: Hashable, Sendable {
        let address: [UInt8]
        let prefix: Int

        func contains(_ other: [UInt8]) -> Bool {
            guard other.count == self.address.count else { return false }
            let whole = self.prefix / 8
            guard other.prefix(whole) == self.address.prefix(whole) else { return false }
            let rest = self.prefix % 8
            guard rest > 0 else { return true }
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> rest)
            return other[whole] & mask == self.address[whole] & mask
        }
    }

    private let networks: [Network]

    /// Nobody.
    package init() {
        self.networks = []
    }

    /// - Parameter texts: IPv4 and IPv6 addresses, each with `/` and a number of bits, or without for one address.
    ///   Nil if one of them is none of these, or there are more than `maximum`.
    package init?(_ texts: [String]) {
        guard texts.count <= Self.maximum else { return nil }
        var networks: [Network] = []
        for text in texts {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard let first = parts.first, parts.count <= 2, !first.contains("%"),
                let address = try? SocketAddress(ipAddress: String(first), port: 0)
            else { return nil }
            let bytes = address.ipBytes
            var prefix = bytes.count * 8
            if parts.count == 2 {
                guard let number = Int(parts[1]), parts[1].allSatisfy(\.isNumber), (0...prefix).contains(number) else {
                    return nil
                }
                prefix = number
            }
            networks.append(Network(address: bytes, prefix: prefix))
        }
        self.networks = networks
    }

    package var isEmpty: Bool { self.networks.isEmpty }

    package func contains(_ address: SocketAddress) -> Bool {
        guard !self.networks.isEmpty else { return false }
        let bytes = address.ipBytes
        return self.networks.contains { $0.contains(bytes) }
    }
}

extension SocketAddress {
    /// 4 or 16 bytes; none for what has no IP address. An IPv4 address inside an IPv6 one, as a socket for both gives
    /// it (RFC 4291 §2.5.5.2), is an IPv4 address.
    var ipBytes: [UInt8] {
        guard self.protocol == .inet || self.protocol == .inet6 else { return [] }
        // Where the address lies in sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)).
        let range = self.protocol == .inet ? 4..<8 : 8..<24
        let bytes = self.withSockAddr { address, size in
            Array(UnsafeRawBufferPointer(start: address, count: size)[range])
        }
        let isMapped = bytes.count == 16 && bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF])
        return isMapped ? Array(bytes.suffix(4)) : bytes
    }
}
