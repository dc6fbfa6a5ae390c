package import CoAPTransport

extension URIScheme {
    /// Where a cloud listens unless it says otherwise (RFC 8323 §8).
    package var defaultPort: Int {
        switch self {
        case .tcp: 5683
        case .tls: 5684
        case .webSocket: 80
        case .secureWebSocket: 443
        }
    }
}

/// Where a cloud listens: a host and a TCP port, and what is spoken there.
package struct ServerAddress: Hashable, Sendable {
    package typealias Scheme = URIScheme

    /// The port of `coap+tcp` (RFC 8323 §8.1).
    package static let defaultPort = Scheme.tcp.defaultPort

    package let scheme: Scheme
    /// A name or an IP address, without brackets.
    package let host: String
    /// 1…65535.
    package let port: Int

    package init(_ scheme: Scheme = .tcp, host: String, port: Int) {
        self.scheme = scheme
        self.host = host
        self.port = port
    }

    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port`, each with or without a scheme and `://` before it; without one
    /// it is `coap+tcp`.
    package init(parsing text: String) throws(AddressError) {
        var rest = text.trimmed
        var scheme = Scheme.tcp
        if let separator = rest.range(ofFirst: "://") {
            let word = rest[..<separator.lowerBound].lowercased()
            guard let known = Scheme(rawValue: word) else { throw AddressError(.scheme(word), text) }
            scheme = known
            rest = String(rest[separator.upperBound...])
            if rest.hasSuffix("/") {
                rest.removeLast()
            }
        }
        guard !rest.isEmpty else { throw AddressError(.noHost, text) }
        guard rest.utf8.count <= 300 else { throw AddressError(.tooLong, text) }
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }) else {
            throw AddressError(.character, text)
        }
        let (host, port) = try Self.split(rest, of: text)
        guard !host.isEmpty else { throw AddressError(.noHost, text) }
        self.scheme = scheme
        self.host = host
        self.port = try Self.number(port, of: text) ?? scheme.defaultPort
    }

    private static func number(_ digits: String?, of text: String) throws(AddressError) -> Int? {
        guard let digits else { return nil }
        guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let number = Int(digits), (1...65535).contains(number)
        else { throw AddressError(.port(digits), text) }
        return number
    }

    private static func split(
        _ rest: String, of text: String,
    ) throws(AddressError) -> (host: String, port: String?) {
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { throw AddressError(.bracket, text) }
            let host = String(rest[rest.index(after: rest.startIndex)..<end])
            let behind = rest[rest.index(after: end)...]
            if behind.isEmpty { return (host, nil) }
            guard behind.hasPrefix(":") else { throw AddressError(.bracket, text) }
            return (host, String(behind.dropFirst()))
        }
        switch rest.split(separator: ":", omittingEmptySubsequences: false).count {
        case 1:
            return (rest, nil)
        case 2:
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            return (String(rest[..<colon]), String(rest[colon...].dropFirst()))
        default:
            throw AddressError(.bareIPv6, text)
        }
    }
}

extension ServerAddress: CustomStringConvertible {
    /// `host:port`, or `[v6]:port`.
    package var authority: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// `scheme://host:port`.
    package var url: String { "\(self.scheme.rawValue)://\(self.authority)" }

    /// As it can be read again: the authority, behind the scheme unless that is `coap+tcp`.
    package var description: String {
        self.scheme == .tcp ? self.authority : self.url
    }
}

/// A text that names no server, with what to write instead.
package struct AddressError: Error, Hashable, Sendable {
    package enum Code: Hashable, Sendable {
        case noHost
        case tooLong
        case character
        case bracket
        case bareIPv6
        case port(String)
        case scheme(String)
    }

    package let code: Code
    /// What was given.
    package let text: String

    init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }
}

extension AddressError: CustomStringConvertible {
    package var description: String {
        let shown = sanitized(self.text, limit: 100)
        let problem =
            switch self.code {
            case .noHost: "has no host"
            case .tooLong: "is longer than 300 bytes"
            case .character: "holds a blank, a slash or a control character"
            case .bracket: "has a bracket out of place"
            case .bareIPv6: "has several colons; an IPv6 address stands in brackets"
            case .port(let port): "has the port \"\(sanitized(port, limit: 20))\"; a port is a number from 1 to 65535"
            case .scheme(let scheme):
                "has the scheme \"\(sanitized(scheme, limit: 20))\"; what is spoken here is "
                    + ServerAddress.Scheme.allCases.map(\.rawValue).joined(separator: ", ")
            }
        return "The address \"\(shown)\" \(problem). Write HOST, HOST:PORT, [IPV6]:PORT or coap+tcp://HOST:PORT."
    }
}
