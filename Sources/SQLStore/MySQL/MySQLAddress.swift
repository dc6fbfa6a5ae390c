/// Where a MySQL or MariaDB server listens.
package struct MySQLAddress: Hashable, Sendable, CustomStringConvertible {
    package static let defaultPort = 3306
    /// What a host name can have at most.
    package static let maximumHostBytes = 255

    /// A name or an address; IPv6 without brackets.
    package var host: String
    package var port: Int

    package init(host: String, port: Int = MySQLAddress.defaultPort) {
        self.host = host
        self.port = port
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// Reads `@tcp(host:port)/`, the older gateway's form, `mysql://host:port/` or `host:port`. The port may be left
    /// out; an IPv6 address stands in brackets.
    ///
    /// - Returns: nil when the text is none of these. User, password and database are settings of their own and not
    ///   accepted here.
    package static func parse(_ text: String) -> MySQLAddress? {
        var rest = Substring(text)
        if rest.hasPrefix("@tcp(") || rest.hasPrefix("tcp(") {
            rest = rest.dropFirst(rest.hasPrefix("@") ? 5 : 4)
            guard let close = rest.firstIndex(of: ")") else { return nil }
            guard ["", "/"].contains(rest[rest.index(after: close)...]) else { return nil }
            rest = rest[..<close]
        } else {
            for scheme in ["mysql://", "mariadb://"] where rest.hasPrefix(scheme) {
                rest = rest.dropFirst(scheme.count)
            }
            if rest.hasSuffix("/") { rest = rest.dropLast() }
        }
        return self.parse(hostAndPort: rest)
    }

    private static func parse(hostAndPort text: Substring) -> MySQLAddress? {
        let host: Substring
        let port: Substring?
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<close]
            let after = text[text.index(after: close)...]
            guard after.isEmpty || after.hasPrefix(":") else { return nil }
            port = after.isEmpty ? nil : after.dropFirst()
            guard host.contains(":"), host.utf8.allSatisfy({ self.isAllowed($0) || $0 == UInt8(ascii: ":") }) else {
                return nil
            }
        } else {
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            host = parts[0]
            port = parts.count > 1 ? parts[1] : nil
            guard host.utf8.allSatisfy(self.isAllowed) else { return nil }
        }
        guard (1...self.maximumHostBytes).contains(host.utf8.count) else { return nil }
        guard let port else { return MySQLAddress(host: String(host)) }
        guard port.utf8.count <= 5, port.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let number = Int(port), (1...65_535).contains(number)
        else { return nil }
        return MySQLAddress(host: String(host), port: number)
    }

    /// Letters, digits, `.`, `-`, `_`, and `%` of an IPv6 zone.
    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
            UInt8(ascii: "%"):
            true
        default: false
        }
    }
}
