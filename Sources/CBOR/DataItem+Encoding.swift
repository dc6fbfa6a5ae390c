package import NIOCore

extension DataItem {
    /// The item in definite lengths and the shortest form of every number (RFC 8949 §4.1, §4.2.1); maps keep their
    /// order.
    package func encoded() -> ByteBuffer {
        var buffer = ByteBuffer()
        self.encode(into: &buffer)
        return buffer
    }

    /// Appends the encoded item. Goes as deep as the item does: what comes from a peer was bounded when decoded.
    package func encode(into buffer: inout ByteBuffer) {
        switch self {
        case .unsigned(let value):
            Self.writeHead(0, value, into: &buffer)
        case .negative(let value):
            Self.writeHead(1, value, into: &buffer)
        case .bytes(let bytes):
            Self.writeHead(2, UInt64(bytes.count), into: &buffer)
            buffer.writeBytes(bytes)
        case .text(let text):
            Self.writeHead(3, UInt64(text.utf8.count), into: &buffer)
            buffer.writeString(text)
        case .array(let elements):
            Self.writeHead(4, UInt64(elements.count), into: &buffer)
            for element in elements {
                element.encode(into: &buffer)
            }
        case .map(let pairs):
            Self.writeHead(5, UInt64(pairs.count), into: &buffer)
            for pair in pairs {
                pair.key.encode(into: &buffer)
                pair.value.encode(into: &buffer)
            }
        case .tagged(let tag, let item):
            Self.writeHead(6, tag, into: &buffer)
            item.encode(into: &buffer)
        case .boolean(let value):
            buffer.writeInteger(value ? 0xF5 : 0xF4 as UInt8)
        case .null:
            buffer.writeInteger(0xF6 as UInt8)
        case .undefined:
            buffer.writeInteger(0xF7 as UInt8)
        case .simple(let value):
            // 24…31 have no encoding (RFC 8949 §3.3): a value nobody can have received is sent as undefined.
            Self.writeHead(7, (24..<32).contains(value) ? 23 : UInt64(value), into: &buffer)
        case .float(let value):
            Self.writeFloat(value, into: &buffer)
        }
    }

    private static func writeHead(_ major: UInt8, _ argument: UInt64, into buffer: inout ByteBuffer) {
        let major = major << 5
        switch argument {
        case 0..<24:
            buffer.writeInteger(major | UInt8(argument))
        case 24...UInt64(UInt8.max):
            buffer.writeInteger(major | 24)
            buffer.writeInteger(UInt8(argument))
        case 256...UInt64(UInt16.max):
            buffer.writeInteger(major | 25)
            buffer.writeInteger(UInt16(argument))
        case 65536...UInt64(UInt32.max):
            buffer.writeInteger(major | 26)
            buffer.writeInteger(UInt32(argument))
        default:
            buffer.writeInteger(major | 27)
            buffer.writeInteger(argument)
        }
    }

    /// The narrowest float that has the same value; a NaN is the quiet one without a payload (RFC 8949 §4.1, §4.2.2).
    private static func writeFloat(_ value: Double, into buffer: inout ByteBuffer) {
        if value.isNaN {
            buffer.writeInteger(0xF9 as UInt8)
            buffer.writeInteger(0x7E00 as UInt16)
        } else if Double(Float16(value)) == value {
            buffer.writeInteger(0xF9 as UInt8)
            buffer.writeInteger(Float16(value).bitPattern)
        } else if Double(Float(value)) == value {
            buffer.writeInteger(0xFA as UInt8)
            buffer.writeInteger(Float(value).bitPattern)
        } else {
            buffer.writeInteger(0xFB as UInt8)
            buffer.writeInteger(value.bitPattern)
        }
    }
}
