import Glibc
import NIOPosix

/// Finds the addresses of a name. A seam, so that tests need no name server.
package protocol AddressResolver: Sendable {
    /// Numeric addresses, IPv4 and IPv6 (with its zone where it has one), in any order. `completion` is called once, on
    /// any thread.
    func resolve(_ host: String, completion: @escaping @Sendable (Result<[String], ResolutionFailure>) -> Void)
}

/// Why a name has no addresses.
package struct ResolutionFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// The system's resolver, on threads beside the event loops.
package struct SystemAddressResolver: AddressResolver {
    package init() {}

    package func resolve(
        _ host: String, completion: @escaping @Sendable (Result<[String], ResolutionFailure>) -> Void
    ) {
        NIOThreadPool.singleton.submit { state in
            switch state {
            case .active: completion(Self.addresses(of: host))
            case .cancelled: completion(.failure(ResolutionFailure("the process is stopping")))
            }
        }
    }

    /// A and AAAA records, or the address itself if it is one.
    static func addresses(of host: String) -> Result<[String], ResolutionFailure> {
        var hints = addrinfo()
        // Both families, whatever addresses this machine has itself.
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &found)
        guard status == 0 else {
            return .failure(ResolutionFailure("\(host): \(String(cString: gai_strerror(status)))"))
        }
        defer { freeaddrinfo(found) }
        var addresses: [String] = []
        var next = found
        while let entry = next {
            next = entry.pointee.ai_next
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let named = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            guard named == 0 else { continue }
            let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if !addresses.contains(address) { addresses.append(address) }
        }
        return .success(addresses)
    }
}
