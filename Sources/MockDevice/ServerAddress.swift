/// Where a cloud listens: a host and a TCP port.
package struct ServerAddress: Hashable, Sendable {
    /// The port of `coap+tcp` (RFC 8323 §8.1).
    package static let defaultPort = 5683

    /// A name or an IP address, without brackets.
    package let host: String
    /// 1…65535.
    package let port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port`, each with or without `coap+tcp://` before it.
    package init(parsing text: String) throws(AddressError) {
        var rest = text.trimmed
        if let separator = rest.range(ofFirst: "://") {
            let scheme = rest[..<separator.lowerBound].lowercased()
            guard scheme == "coap+tcp" else { throw AddressError(.scheme(scheme), text) }
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
        self.host = host
        self.port = try Self.number(port, of: text)
    }

    private static func number(_ digits: String?, of text: String) throws(AddressError) -> Int {
        guard let digits else { return Self.defaultPort }
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
    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
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
            case .scheme("coaps+tcp"):
                "asks for TLS, which this device does not speak yet; use the cloud's plain port, 5683 as a rule"
            case .scheme(let scheme): "has the scheme \"\(sanitized(scheme, limit: 20))\"; only coap+tcp is spoken here"
            }
        return "The address \"\(shown)\" \(problem). Write HOST, HOST:PORT, [IPV6]:PORT or coap+tcp://HOST:PORT."
    }
}
