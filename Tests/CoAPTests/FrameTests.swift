import CoAP
import NIOCore
import Testing

/// Where a frame begins and ends (RFC 8323 §3.2), and when it is refused.
struct FrameTests {
    static let limits = FrameLimits(maximumMessageSize: 300_000)

    static func read(_ bytes: [UInt8], limits: FrameLimits = FrameTests.limits) throws(DecodeError) -> Message? {
        var buffer = ByteBuffer(bytes: bytes)
        return try Message(readingFrameFrom: &buffer, limits: limits)
    }

    /// A response with a payload so long that options, marker and payload make `body` bytes.
    static func message(body: Int) -> Message {
        Message(
            code: .content, token: Token(eightBytes: 7),
            payload: body == 0 ? nil : ByteBuffer(repeating: 0x61, count: body - 1))
    }

    // MARK: Pieces

    @Test("C-1, BI-1: a frame that arrives one byte at a time is read once, and identically", arguments: Recording.all)
    func drip(_ recording: Recording) throws {
        var buffer = ByteBuffer()
        for byte in recording.frame.dropLast() {
            buffer.writeInteger(byte)
            let before = buffer
            #expect(try Message(readingFrameFrom: &buffer, limits: Self.limits) == nil)
            #expect(buffer == before)
            #expect(buffer.readerIndex == before.readerIndex)
        }
        buffer.writeBytes(recording.frame.suffix(1))
        #expect(try Message(readingFrameFrom: &buffer, limits: Self.limits) == recording.message)
        #expect(try Message(readingFrameFrom: &buffer, limits: Self.limits) == nil)
    }

    @Test("C-2, BI-1: three frames in one buffer are three messages, and what follows stays")
    func glued() throws {
        let all = Recording.all
        for index in all.indices.dropFirst(2) {
            let three = Array(all[index - 2...index])
            var buffer = ByteBuffer(bytes: three.flatMap(\.frame) + [0xD8])
            for recording in three {
                #expect(try Message(readingFrameFrom: &buffer, limits: Self.limits) == recording.message)
            }
            #expect(try Message(readingFrameFrom: &buffer, limits: Self.limits) == nil)
            #expect(Array(buffer.readableBytesView) == [0xD8])
        }
    }

    @Test("BI-1: a frame cut at any byte waits for more, and never reads a wrong message", arguments: Recording.all)
    func cut(_ recording: Recording) throws {
        for length in 0..<recording.frame.count {
            #expect(try Self.read(Array(recording.frame.prefix(length))) == nil)
        }
    }

    @Test("RFC 8323 §3.2: a frame is read from the middle of a buffer")
    func middle() throws {
        var buffer = ByteBuffer(bytes: [9, 9, 9] + bytes("0342c2f42d"))
        buffer.moveReaderIndex(forwardBy: 3)
        let message = try Message(readingFrameFrom: &buffer, limits: Self.limits)
        #expect(message == Message(code: .deleted, token: Token(bytes("c2f42d"))))
    }

    // MARK: Lengths

    @Test(
        "C-3: bodies at each boundary of the length are read and written",
        arguments: [
            (0, "08"), (2, "28"), (12, "c8"), (13, "d800"), (14, "d801"), (268, "d8ff"), (269, "e80000"),
            (270, "e80001"), (65804, "e8ffff"), (65805, "f800000000"), (65806, "f800000001"), (262_144, "f80002fef3"),
        ])
    func boundary(body: Int, header: String) throws {
        let message = Self.message(body: body)
        let frame = message.frame
        #expect(Array(frame.prefix(header.count / 2)) == bytes(header))
        #expect(frame.count == header.count / 2 + 1 + 8 + body)
        #expect(message.frameLength == frame.count)
        #expect(try Self.read(frame) == message)
        #expect(try Self.read(Array(frame.dropLast())) == nil)
    }

    @Test("BI-2: a length whose further bytes are missing waits, whatever the peer does next")
    func missingLength() throws {
        for header in ["d8", "e8", "e8ff", "f8", "f800", "f80000", "f8000000"] {
            #expect(try Self.read(bytes(header)) == nil)
        }
    }

    @Test(
        "C-4, BI-3: a length of 4 GiB is refused as soon as it is known, in 64-bit arithmetic",
        arguments: ["f0ffffffff", "f8ffffffff", "f0fffefef3", "f0fffefef4"])
    func hugeLength(header: String) throws {
        let declared = Int(bytes(header).dropFirst().reduce(0) { $0 << 8 | UInt64($1) }) + 65805
        let token = header.hasPrefix("f8") ? 8 : 0
        #expect(throws: DecodeError.messageTooLarge(declared: 6 + token + declared, maximum: 300_000)) {
            try Self.read(bytes(header))
        }
    }

    @Test(
        "C-15, BI-4: a message of exactly the limit is read, one byte more is refused before its body arrives",
        arguments: [0, 12, 13, 268, 269, 65804, 65805])
    func limit(body: Int) throws {
        let frame = Self.message(body: body).frame
        #expect(try Self.read(frame, limits: FrameLimits(maximumMessageSize: frame.count)) != nil)
        let low = FrameLimits(maximumMessageSize: frame.count - 1)
        let header = Array(frame.prefix(frame.count - 8 - body - 1))
        #expect(throws: DecodeError.messageTooLarge(declared: frame.count, maximum: frame.count - 1)) {
            try Self.read(header, limits: low)
        }
    }

    // MARK: Tokens

    @Test(
        "C-5, BI-5: token lengths 9 to 15 are a format error while nothing longer was announced",
        arguments: 9...15 as ClosedRange<UInt8>)
    func tokenLength(nibble: UInt8) {
        #expect(throws: DecodeError.tokenLength(nibble: nibble)) { try Self.read([nibble]) }
        #expect(throws: DecodeError.tokenLength(nibble: nibble)) { try Self.read([0xF0 | nibble]) }
    }

    @Test(
        "C-5: token lengths 9 to 12 and 15 stay a format error with Extended-Token-Length",
        arguments: [9, 10, 11, 12, 15])
    func reservedTokenLength(nibble: UInt8) {
        #expect(throws: DecodeError.tokenLength(nibble: nibble)) {
            try Self.read([nibble], limits: FrameLimits(maximumTokenLength: 1000))
        }
    }

    @Test("RFC 7252 §3: tokens of 0 to 8 bytes are read and written", arguments: 0...8)
    func shortToken(count: Int) throws {
        let message = Message(code: .get, token: Token((0..<count).map { UInt8($0) }))
        #expect(message.frame.count == 2 + count)
        #expect(try Self.read(message.frame) == message)
    }

    @Test(
        "C-6: an announced long token is read and written as it came",
        arguments: [(13, "0d0100"), (268, "0d01ff"), (269, "0e010000"), (65804, "0e01ffff")])
    func longToken(count: Int, header: String) throws {
        let limits = FrameLimits(maximumMessageSize: 300_000, maximumTokenLength: count)
        let message = Message(code: .get, token: Token([UInt8](repeating: 5, count: count)))
        #expect(Array(message.frame.prefix(header.count / 2)) == bytes(header))
        #expect(message.frame.count == message.frameLength)
        #expect(try Self.read(message.frame, limits: limits) == message)
        for length in 0..<min(message.frame.count, 400) {
            #expect(try Self.read(Array(message.frame.prefix(length)), limits: limits) == nil)
        }
        let low = FrameLimits(maximumMessageSize: 300_000, maximumTokenLength: count - 1)
        #expect(throws: DecodeError.tokenTooLong(length: count, maximum: count - 1)) {
            try Self.read(message.frame, limits: low)
        }
    }

    @Test("BI-5: a token that runs past the frame's size limit is refused before it arrives")
    func tokenPastLimit() {
        let limits = FrameLimits(maximumMessageSize: 1000, maximumTokenLength: 65804)
        #expect(throws: DecodeError.messageTooLarge(declared: 4 + 65804, maximum: 1000)) {
            try Self.read(bytes("0e01ffff"), limits: limits)
        }
    }

    // MARK: Codes

    @Test(
        "C-11, BI-14: codes of class 1 and 6 are a format error before their body arrives",
        arguments: [0x20, 0x3F, 0xC0, 0xDF] as [UInt8])
    func reservedClass(code: UInt8) {
        #expect(throws: DecodeError.reservedCodeClass(Code(rawValue: code))) { try Self.read([0xE0, 0, 0, code]) }
    }

    @Test("BI-14: every code of the other classes is read", arguments: [0, 2, 3, 4, 5, 7] as [UInt8])
    func otherClasses(codeClass: UInt8) throws {
        for detail in 0...31 as ClosedRange<UInt8> {
            let code = Code(codeClass, detail)
            #expect(try Self.read([0x01, code.rawValue, 9])?.code == code)
        }
    }

    @Test("C-12, BI-14: an Empty message is read with or without a token and a payload")
    func empty() throws {
        #expect(try Self.read(bytes("0000")) == Message(code: .empty, token: .empty))
        let full = try #require(try Self.read(bytes("240001020304ff41")))
        #expect(full.code == .empty)
        #expect(full.token == Token([1, 2, 3, 4]))
        #expect(full.payload == ByteBuffer(string: "A"))
    }

    @Test("RFC 7252 §3: a payload set to nothing is written as no payload, not as a bare marker")
    func emptiedPayload() throws {
        var message = Message(code: .content, token: .empty, payload: ByteBuffer(string: "x"))
        message.payload = ByteBuffer()
        #expect(message.frame == bytes("0045"))
        #expect(message.frameLength == 2)
    }
}
