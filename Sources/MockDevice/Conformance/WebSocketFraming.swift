import CoAP
import NIOCore

/// The little of WebSocket that a client needs, and what a malicious one would write (RFC 6455).
enum WebSocketFraming {
    enum Opcode: UInt8 {
        case continuation = 0
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10
    }

    struct Frame {
        let opcode: UInt8
        let isFinal: Bool
        let payload: ByteBuffer
    }

    /// The key of the example in RFC 6455 §1.3, and what a server makes of it.
    static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    /// A frame as a client sends it: masked (RFC 6455 §5.3).
    static func frame(_ opcode: Opcode, isFinal: Bool = true, _ payload: some Collection<UInt8>) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger((isFinal ? 0x80 : 0) | opcode.rawValue)
        switch payload.count {
        case ..<126:
            buffer.writeInteger(0x80 | UInt8(payload.count))
        case ..<65536:
            buffer.writeInteger(0x80 | 126 as UInt8)
            buffer.writeInteger(UInt16(payload.count))
        default:
            buffer.writeInteger(0x80 | 127 as UInt8)
            buffer.writeInteger(UInt64(payload.count))
        }
        let mask: [UInt8] = [0x5A, 0x17, 0xC3, 0x2E]
        buffer.writeBytes(mask)
        buffer.writeBytes(zip(payload, 0...).map { $0 ^ mask[$1 & 3] })
        return buffer
    }

    /// Reads a server's frame, nil if there is more to come.
    static func read(from buffer: inout ByteBuffer) throws -> Frame? {
        let start = buffer.readerIndex
        guard let first: UInt8 = buffer.getInteger(at: start), let second: UInt8 = buffer.getInteger(at: start + 1)
        else { return nil }
        guard second & 0x80 == 0 else {
            throw CaseFailure(expected: "frames of the server without a mask (RFC 6455 §5.1)", got: "a masked frame")
        }
        let header: Int
        let length: UInt64
        switch second {
        case 126:
            guard let more: UInt16 = buffer.getInteger(at: start + 2) else { return nil }
            (header, length) = (4, UInt64(more))
        case 127:
            guard let more: UInt64 = buffer.getInteger(at: start + 2) else { return nil }
            (header, length) = (10, more)
        default:
            (header, length) = (2, UInt64(second))
        }
        guard length <= UInt64(ByteStream.maximumWaiting) else {
            throw CaseFailure(expected: "a frame of bearable length", got: "\(length) bytes")
        }
        guard let payload = buffer.getSlice(at: start + header, length: Int(length)) else { return nil }
        buffer.moveReaderIndex(forwardBy: header + Int(length))
        return Frame(opcode: first & 0xF, isFinal: first & 0x80 != 0, payload: payload)
    }

    /// A message as it stands in a WebSocket message: without a length (RFC 8323 §4.2).
    static func lengthless(_ message: Message) -> [UInt8] {
        var frame = ByteBuffer()
        message.writeFrame(into: &frame)
        let bytes = Array(frame.readableBytesView)
        let more = [13: 1, 14: 2, 15: 4][Int(bytes[0] >> 4), default: 0]
        return [bytes[0] & 0xF] + bytes[(1 + more)...]
    }

    /// The same message with its length, as our codec reads it; nil if it has one or is too short for its token.
    static func withLength(_ payload: ByteBuffer) -> ByteBuffer? {
        let bytes = Array(payload.readableBytesView)
        guard bytes.count >= 2, bytes[0] >> 4 == 0, bytes[0] <= 8, bytes.count >= 2 + Int(bytes[0]) else { return nil }
        let body = bytes.count - 2 - Int(bytes[0])
        var frame = ByteBuffer()
        switch body {
        case ..<13:
            frame.writeInteger(UInt8(body) << 4 | bytes[0])
        case ..<269:
            frame.writeInteger(0xD0 | bytes[0])
            frame.writeInteger(UInt8(body - 13))
        case ..<65805:
            frame.writeInteger(0xE0 | bytes[0])
            frame.writeInteger(UInt16(body - 269))
        default:
            frame.writeInteger(0xF0 | bytes[0])
            frame.writeInteger(UInt32(body - 65805))
        }
        frame.writeBytes(bytes[1...])
        return frame
    }
}
