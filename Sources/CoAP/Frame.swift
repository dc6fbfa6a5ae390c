package import NIOCore

//  +--------+-----------------+--------+-------------------------+-------+---------+------+---------+
//  |Len|TKL | ext. length 0…4 |  Code  | ext. token length 0…2   | Token | Options | 0xFF | Payload |
//  +--------+-----------------+--------+-------------------------+-------+---------+------+---------+
//
//  Len counts options, marker and payload only (RFC 8323 §3.2); the extended token length (RFC 8974 §2.1) stands
//  between Code and Token and is not counted.

/// What a receiver of frames goes by.
package struct FrameLimits: Hashable, Sendable {
    /// The largest message, whole, in bytes: what our CSM announces (RFC 8323 §5.3.1).
    package var maximumMessageSize: Int
    /// The longest token taken; above 8 only if it was announced (RFC 8974 §2.2.1).
    package var maximumTokenLength: Int
    package var message: MessageLimits

    package init(
        maximumMessageSize: Int = 256 * 1024, maximumTokenLength: Int = Token.baseMaximumLength,
        message: MessageLimits = MessageLimits()
    ) {
        self.maximumMessageSize = maximumMessageSize
        self.maximumTokenLength = maximumTokenLength
        self.message = message
    }
}

extension Message {
    /// Reads one frame from the front of `buffer`. Nil, with `buffer` as it was, when more bytes are needed.
    ///
    /// The declared size is compared with the limit as soon as the header is there, in 64-bit arithmetic, so a peer
    /// never decides how much is buffered. Each length has one form only, so what was read is written as it came.
    package init?(readingFrameFrom buffer: inout ByteBuffer, limits: FrameLimits) throws(DecodeError) {
        let start = buffer.readerIndex
        let available = buffer.readableBytes
        guard let first: UInt8 = buffer.getInteger(at: start) else { return nil }
        let tokenNibble = first & 0xF
        let tokenExtension = try Self.tokenExtension(nibble: tokenNibble, limits: limits)

        // Body length: 65805 + UInt32.max fits 64 bits with room to spare.
        let lengthExtension: Int
        let bodyLength: Int
        switch first >> 4 {
        case 13:
            lengthExtension = 1
            guard let more: UInt8 = buffer.getInteger(at: start + 1) else { return nil }
            bodyLength = Int(more) + 13
        case 14:
            lengthExtension = 2
            guard let more: UInt16 = buffer.getInteger(at: start + 1) else { return nil }
            bodyLength = Int(more) + 269
        case 15:
            lengthExtension = 4
            guard let more: UInt32 = buffer.getInteger(at: start + 1) else { return nil }
            bodyLength = Int(more) + 65805
        case let nibble:
            lengthExtension = 0
            bodyLength = Int(nibble)
        }

        // Before the token's own extension arrived the token counts as short, so the check can only be late by what a
        // token adds, and a token is bounded itself.
        let headerLength = 1 + lengthExtension + 1 + tokenExtension
        let leastToken = tokenExtension == 0 ? Int(tokenNibble) : Token.baseMaximumLength
        try Self.check(size: headerLength + leastToken + bodyLength, limits: limits)

        let tokenLength: Int
        switch tokenExtension {
        case 1:
            guard let more: UInt8 = buffer.getInteger(at: start + headerLength - 1) else { return nil }
            tokenLength = Int(more) + 13
        case 2:
            guard let more: UInt16 = buffer.getInteger(at: start + headerLength - 2) else { return nil }
            tokenLength = Int(more) + 269
        default:
            tokenLength = Int(tokenNibble)
        }
        guard tokenLength <= max(limits.maximumTokenLength, Token.baseMaximumLength) else {
            throw .tokenTooLong(length: tokenLength, maximum: limits.maximumTokenLength)
        }
        let size = headerLength + tokenLength + bodyLength
        try Self.check(size: size, limits: limits)

        guard let rawCode: UInt8 = buffer.getInteger(at: start + 1 + lengthExtension) else { return nil }
        let code = Code(rawValue: rawCode)
        guard code.kind != .reserved else { throw .reservedCodeClass(code) }
        guard available >= size,
            let tokenBytes = buffer.viewBytes(at: start + headerLength, length: tokenLength),
            let body = buffer.getSlice(at: start + headerLength + tokenLength, length: bodyLength)
        else { return nil }
        try self.init(code: code, token: Token(tokenBytes), body: body, limits: limits.message)
        buffer.moveReaderIndex(forwardBy: size)
    }

    /// How many bytes say the length of the token: 0, 1 or 2 (RFC 8974 §2.1).
    private static func tokenExtension(nibble: UInt8, limits: FrameLimits) throws(DecodeError) -> Int {
        switch nibble {
        case 0...8:
            return 0
        case 13 where limits.maximumTokenLength > Token.baseMaximumLength:
            return 1
        case 14 where limits.maximumTokenLength > Token.baseMaximumLength:
            return 2
        default:
            throw .tokenLength(nibble: nibble)
        }
    }

    private static func check(size: Int, limits: FrameLimits) throws(DecodeError) {
        guard size <= limits.maximumMessageSize else {
            throw .messageTooLarge(declared: size, maximum: limits.maximumMessageSize)
        }
    }

    /// How many bytes the frame of this message takes, from its first to the end of the payload: what
    /// Max-Message-Size counts (RFC 8323 §5.3.1).
    package var frameLength: Int {
        let body = self.bodyLength
        return 2 + Self.lengthExtension(body) + Self.tokenExtension(self.token.count) + self.token.count + body
    }

    /// Writes the frame in its shortest form.
    package func writeFrame(into buffer: inout ByteBuffer) {
        let body = self.bodyLength
        let token = self.token.count
        buffer.reserveCapacity(minimumWritableBytes: 8 + token + body)
        let tokenNibble: UInt8 = token <= Token.baseMaximumLength ? UInt8(token) : token < 269 ? 13 : 14
        Self.writeLength(of: body, tokenNibble: tokenNibble, into: &buffer)
        buffer.writeInteger(self.code.rawValue)
        switch tokenNibble {
        case 13: buffer.writeInteger(UInt8(token - 13))
        case 14: buffer.writeInteger(UInt16(truncatingIfNeeded: token - 269))
        default: break
        }
        self.token.write(into: &buffer)
        self.writeBody(into: &buffer)
    }

    /// Writes what stands before the code: the body's length in its shortest form, and the nibble of the token.
    package static func writeLength(of body: Int, tokenNibble: UInt8, into buffer: inout ByteBuffer) {
        switch body {
        case 0..<13:
            buffer.writeInteger(UInt8(body) << 4 | tokenNibble)
        case 13..<269:
            buffer.writeInteger(13 << 4 | tokenNibble)
            buffer.writeInteger(UInt8(body - 13))
        case 269..<65805:
            buffer.writeInteger(14 << 4 | tokenNibble)
            buffer.writeInteger(UInt16(body - 269))
        default:
            buffer.writeInteger(15 << 4 | tokenNibble)
            // A body longer than 4 GiB is refused by every limit long before.
            buffer.writeInteger(UInt32(truncatingIfNeeded: body - 65805))
        }
    }

    private static func lengthExtension(_ body: Int) -> Int {
        body < 13 ? 0 : body < 269 ? 1 : body < 65805 ? 2 : 4
    }

    private static func tokenExtension(_ count: Int) -> Int {
        count <= Token.baseMaximumLength ? 0 : count < 269 ? 1 : 2
    }
}
