import NIOCore

/// A token: what pairs a response with its request, within one connection and one direction (RFC 8323 §3.3).
///
/// Up to eight bytes are kept in place, without an allocation. Longer ones exist only where Extended-Token-Length
/// was announced (RFC 8974).
package struct Token: Hashable, Sendable {
    private enum Storage: Hashable, Sendable {
        case short(value: UInt64, count: UInt8)
        case long([UInt8])
    }

    private let storage: Storage

    /// The longest token every peer takes (RFC 7252 §3).
    package static let baseMaximumLength = 8

    /// The empty token.
    package static let empty = Token([])

    package init(_ bytes: some Collection<UInt8>) {
        if bytes.count <= Self.baseMaximumLength {
            var value: UInt64 = 0
            for byte in bytes {
                value = value << 8 | UInt64(byte)
            }
            self.storage = .short(value: value, count: UInt8(bytes.count))
        } else {
            self.storage = .long(Array(bytes))
        }
    }

    /// An eight-byte token with this big-endian value: the only kind we originate (some TLS readers get
    /// stuck on messages of six bytes or less).
    package init(eightBytes value: UInt64) {
        self.storage = .short(value: value, count: 8)
    }

    /// The big-endian value of an eight-byte token, nil for any other.
    var eightByteValue: UInt64? {
        if case .short(let value, 8) = self.storage { value } else { nil }
    }

    package var count: Int {
        switch self.storage {
        case .short(_, let count): Int(count)
        case .long(let bytes): bytes.count
        }
    }

    package var bytes: [UInt8] {
        switch self.storage {
        case .short(let value, let count):
            (0..<Int(count)).map { UInt8(truncatingIfNeeded: value >> (8 * (Int(count) - 1 - $0))) }
        case .long(let bytes):
            bytes
        }
    }

    func write(into buffer: inout ByteBuffer) {
        switch self.storage {
        case .short(let value, 8):
            buffer.writeInteger(value)
        case .short(let value, let count):
            for index in 0..<Int(count) {
                buffer.writeInteger(UInt8(truncatingIfNeeded: value >> (8 * (Int(count) - 1 - index))))
            }
        case .long(let bytes):
            buffer.writeBytes(bytes)
        }
    }
}

extension Token: CustomStringConvertible {
    package var description: String {
        hexadecimal(self.bytes)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
package func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 0xF)])
    }
    return String(decoding: text, as: UTF8.self)
}
