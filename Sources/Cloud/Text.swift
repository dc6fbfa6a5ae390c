extension Sequence<UInt8> {
    /// Lower-case hexadecimal digits.
    package var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in self {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 0xF)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// `bytes` in the URL-safe alphabet, padded with `=` (RFC 4648 §5): 44 characters for 32 bytes.
func base64URL(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        var bits = 0
        for offset in 0..<3 {
            bits = bits << 8 | (offset < group.count ? Int(group[start + offset]) : 0)
        }
        for position in 0..<4 {
            text.append(
                position <= group.count
                    ? alphabet[bits >> (18 - 6 * position) & 0x3F]
                    : UInt8(ascii: "=")
            )
        }
    }
    return String(decoding: text, as: UTF8.self)
}

extension String {
    /// Text as it is compared in stores: byte by byte. Swift's own `==` and `<` go by canonical equivalence, which
    /// no database does.
    package var exact: [UInt8] { Array(self.utf8) }
}
