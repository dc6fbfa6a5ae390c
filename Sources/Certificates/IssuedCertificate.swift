/// What an authority remembers of a certificate that it gave: a line of its index.
package struct IssuedCertificate: Hashable, Sendable {
    /// Hexadecimal digits.
    package let serial: String
    /// `device`, `cloud` or `service`.
    package let kind: String
    package let name: String
    /// Seconds since 1970.
    package let notAfter: Int64
    /// Seconds since 1970; nil: it is good.
    package var revokedAt: Int64?

    /// What separates fields is in none of them: names are checked before anything is issued.
    var line: String {
        "\(self.serial)\t\(self.kind)\t\(self.name)\t\(self.notAfter)\t\(self.revokedAt.map { "\($0)" } ?? "-")"
    }

    init(serial: String, kind: String, name: String, notAfter: Int64) {
        self.serial = serial
        self.kind = kind
        self.name = name
        self.notAfter = notAfter
    }

    init?(line: Substring) {
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 5, Self.bytes(ofSerial: fields[0]) != nil, let notAfter = Int64(fields[3]) else {
            return nil
        }
        self.init(serial: fields[0], kind: fields[1], name: fields[2], notAfter: notAfter)
        if fields[4] != "-" {
            guard let revokedAt = Int64(fields[4]) else { return nil }
            self.revokedAt = revokedAt
        }
    }

    static func serial(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// The bytes behind hexadecimal digits as we or other tools write them, with or without colons.
    /// At most 20 bytes (RFC 5280 §4.1.2.2).
    static func bytes(ofSerial text: String) -> [UInt8]? {
        var digits = text.lowercased().filter { $0 != ":" }
        if digits.hasPrefix("0x") { digits.removeFirst(2) }
        if digits.count % 2 == 1 { digits = "0" + digits }
        guard (2...42).contains(digits.count), digits.utf8.allSatisfy({ Self.isHexadecimal($0) }) else { return nil }
        var bytes: [UInt8] = []
        var rest = digits[...]
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        // One number has one form: without leading zeros.
        let leading = bytes.prefix { $0 == 0 }.count
        return leading == bytes.count ? [0] : Array(bytes[leading...])
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }
}
