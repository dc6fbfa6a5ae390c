import CBOR
import NIOCore

/// Writes items as JSON (RFC 8949 §6.1). Goes as deep as the item does, which a decoder has bounded.
struct JSONWriter {
    private(set) var buffer = ByteBuffer()
    /// What is written becomes a name.
    private var isName = false

    mutating func write(_ item: DataItem) {
        switch item {
        case .unsigned(let value): self.buffer.writeString(String(value))
        case .negative(let value): self.buffer.writeString(Self.negative(value))
        case .bytes(let bytes): self.quote(Self.base64URL(bytes))
        case .text(let text): self.quote(text)
        case .array(let elements):
            self.buffer.writeInteger(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { self.buffer.writeInteger(UInt8(ascii: ",")) }
                self.write(element)
            }
            self.buffer.writeInteger(UInt8(ascii: "]"))
        case .map(let pairs):
            self.buffer.writeInteger(UInt8(ascii: "{"))
            for (index, pair) in pairs.enumerated() {
                if index > 0 { self.buffer.writeInteger(UInt8(ascii: ",")) }
                self.quote(self.name(pair.key))
                self.buffer.writeInteger(UInt8(ascii: ":"))
                self.write(pair.value)
            }
            self.buffer.writeInteger(UInt8(ascii: "}"))
        case .tagged(_, let item): self.write(item)
        case .boolean(let value): self.buffer.writeString(value ? "true" : "false")
        case .null, .undefined, .simple: self.buffer.writeString("null")
        case .float(let value): self.buffer.writeString(value.isFinite ? "\(value)" : "null")
        }
    }

    /// A map's key as a name. Unspecified: keys that are neither text, integer nor bytes become their own JSON, and two
    /// keys may so become one name; both entries are written then, since dropping one would hide it.
    ///
    /// Arrays and maps in the keys of a key become their CBOR: each level of JSON in JSON would double every quotation
    /// mark and backslash inside of it, which makes gigabytes of 40 bytes.
    private func name(_ key: DataItem) -> String {
        switch key {
        case .text(let text): return text
        case .unsigned(let value): return String(value)
        case .negative(let value): return Self.negative(value)
        case .bytes(let bytes): return Self.base64URL(bytes)
        case .tagged(_, let item): return self.name(item)
        case .array where self.isName, .map where self.isName:
            return Self.base64URL(Array(key.encoded().readableBytesView))
        case .array, .map, .boolean, .null, .undefined, .simple, .float:
            var writer = JSONWriter()
            writer.isName = true
            writer.write(key)
            return String(buffer: writer.buffer)
        }
    }

    private static func negative(_ value: UInt64) -> String {
        // -1 - n; only the greatest n has no successor in 64 bits.
        value == .max ? "-18446744073709551616" : "-\(value + 1)"
    }

    private mutating func quote(_ text: String) {
        self.buffer.writeInteger(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): self.buffer.writeString("\\\"")
            case UInt8(ascii: "\\"): self.buffer.writeString("\\\\")
            case 0x08: self.buffer.writeString("\\b")
            case 0x09: self.buffer.writeString("\\t")
            case 0x0A: self.buffer.writeString("\\n")
            case 0x0C: self.buffer.writeString("\\f")
            case 0x0D: self.buffer.writeString("\\r")
            case 0..<0x20:
                self.buffer.writeString("\\u00\(byte < 0x10 ? "0" : "1")\(String(byte & 0xF, radix: 16))")
            default: self.buffer.writeInteger(byte)
            }
        }
        self.buffer.writeInteger(UInt8(ascii: "\""))
    }

    /// `bytes` in the URL-safe alphabet without padding (RFC 4648 §5).
    private static func base64URL(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 4 + 2) / 3)
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count) & 0x3F)])
            }
            // Fewer than six bits are left over.
            bits &= 0x3F
        }
        if count > 0 {
            text.append(alphabet[Int(bits << UInt32(6 - count) & 0x3F)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
