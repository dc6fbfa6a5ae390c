/// Turns what peers sent into text that cannot end a line, start a field or move a cursor.
enum LogText {
    /// The longest value in a line, in bytes. Longer ones are cut, so that a line stays below what a pipe takes at
    /// once.
    static let valueLimit = 1024

    /// As it is if it is plain, else in double quotes with everything unusual escaped.
    static func append(value: String, to line: inout String) {
        let short = Self.cut(value)
        let isPlain =
            !short.isEmpty && short.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c }
        if isPlain {
            line += short
        } else {
            line += "\""
            line += Self.escaped(short)
            line += "\""
        }
    }

    /// Without quotes: backslash, double quote and everything that is no visible character or blank is escaped.
    static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if Self.isUnsafe(scalar) {
                    result += "\\u{\(String(scalar.value, radix: 16))}"
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }

    /// A JSON string with its quotes (RFC 8259 §7).
    static func json(_ text: String) -> String {
        var result = "\""
        for scalar in Self.cut(text).unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if Self.isUnsafe(scalar) {
                    for unit in String(scalar).utf16 {
                        let digits = String(unit, radix: 16)
                        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }

    /// A key: letters, digits, dot, dash and underscore; anything else becomes an underscore.
    static func key(_ text: String) -> String {
        guard text.utf8.count > 64 || !text.utf8.allSatisfy(Self.isOfKey) else { return text }
        let bytes = text.utf8.prefix(64).map { Self.isOfKey($0) ? $0 : UInt8(ascii: "_") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isOfKey(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    /// Controls, line separators, and the marks that turn the reading direction, with which a line can be made to look
    /// like another.
    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x200b...0x200f, 0x2028...0x202e, 0x2060...0x206f, 0xfeff, 0xfff9...0xfffb: true
        default: false
        }
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > Self.valueLimit else { return text }
        return String(decoding: text.utf8.prefix(Self.valueLimit), as: UTF8.self) + "…"
    }
}
