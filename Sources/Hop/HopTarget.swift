/// Whom to reach, and where.
package struct HopTarget: Hashable, Sendable {
    /// An address, or a name to be resolved.
    package let host: String
    package let port: Int
    /// Who is meant: a pod's name with its boot id, or `registry`. Whoever else answers there is refused.
    package let name: String
    /// The name its certificate must have where TLS is on; nil: the one that follows from the address of a pod.
    package let certificateName: String?

    package init(host: String, port: Int, name: String, certificateName: String? = nil) {
        self.host = host
        self.port = port
        self.name = name
        self.certificateName = certificateName
    }

    /// `host:port`, with brackets around a host that contains colons: `10.0.0.7:8081`, `[fd00::7]:8081`. Nil if it is
    /// neither.
    package init?(address: String, name: String, certificateName: String? = nil) {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            1...65535 ~= port
        else { return nil }
        var host = address[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port, name: name, certificateName: certificateName)
    }
}

extension HopTarget: CustomStringConvertible {
    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}
