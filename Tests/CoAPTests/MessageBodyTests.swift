import CoAP
import NIOCore
import Testing

/// Options, payload marker and payload (RFC 7252 §3.1).
struct MessageBodyTests {
    /// The body behind the header of a GET without a token.
    static func read(_ body: [UInt8], maximumOptions: Int = 256) throws(DecodeError) -> Message? {
        var frame = ByteBuffer()
        switch body.count {
        case 0..<13: frame.writeInteger(UInt8(body.count) << 4)
        case 13..<269: frame.writeBytes([0xD0, UInt8(body.count - 13)])
        case 269..<65805: frame.writeMultipleIntegers(UInt8(0xE0), UInt16(body.count - 269))
        default: frame.writeMultipleIntegers(UInt8(0xF0), UInt32(body.count - 65805))
        }
        frame.writeInteger(Code.get.rawValue)
        frame.writeBytes(body)
        return try Message(
            readingFrameFrom: &frame,
            limits: FrameLimits(maximumMessageSize: 1 << 20, message: MessageLimits(maximumOptions: maximumOptions)))
    }

    static func options(_ body: String) throws -> [Option] {
        Array(try #require(try Self.read(bytes(body))).options)
    }

    @Test("C-7, BI-17: a payload marker as the last byte is a format error", arguments: ["ff", "b161ff", "00ff"])
    func bareMarker(body: String) {
        #expect(throws: DecodeError.emptyPayload) { try Self.read(bytes(body)) }
    }

    @Test("BI-17: behind the marker everything is payload, a second marker too")
    func doubleMarker() throws {
        let message = try #require(try Self.read(bytes("ffffb161")))
        #expect(message.payload == ByteBuffer(bytes: bytes("ffb161")))
        #expect(message.options.isEmpty)
    }

    @Test("BI-17: payload bytes without a marker are read as options, and refused where they are none")
    func missingMarker() throws {
        #expect(throws: DecodeError.optionPastEnd) { try Self.read(Array("hello".utf8)) }
    }

    @Test(
        "C-8: an option that runs past the body is a format error",
        arguments: ["b1", "b361", "bd", "bd00", "be", "be00", "be0000", "d0", "e0", "e000", "dd00", "0effff"])
    func pastEnd(body: String) {
        #expect(throws: DecodeError.optionPastEnd) { try Self.read(bytes(body)) }
    }

    @Test(
        "C-9, BI-18: a delta or length nibble of 15 outside the marker is a format error",
        arguments: ["f0", "f161", "0f", "bf61", "df00", "ef0000", "b161f0", "b1610f"])
    func reservedNibble(body: String) {
        #expect(throws: DecodeError.reservedOptionNibble) { try Self.read(bytes(body)) }
    }

    @Test(
        "C-10, BI-18: deltas that add up to more than 65535 are a format error, however they do",
        arguments: ["e0ffff", "e0fef3", "e0fef210", "e0fef2d000", "e0fef2e0fef2", "e0fef2e0ffff"])
    func overflow(body: String) {
        #expect(throws: DecodeError.optionNumberOverflow) { try Self.read(bytes(body)) }
    }

    @Test("RFC 7252 §3.1: option number 65535 is read, and written as it came")
    func highest() throws {
        #expect(try Self.options("e0fef2") == [Option(OptionNumber(rawValue: 65535), ByteBuffer())])
        var options = Options()
        options.append(OptionNumber(rawValue: 65535))
        #expect(Message(code: .get, token: .empty, options: options).frame == bytes("3001e0fef2"))
    }

    @Test(
        "RFC 7252 §3.1: deltas at each boundary are read and written in their only form",
        arguments: [(0, "00"), (12, "c0"), (13, "d000"), (268, "d0ff"), (269, "e00000"), (65535, "e0fef2")])
    func delta(number: UInt16, body: String) throws {
        #expect(try Self.options(body).map(\.number.rawValue) == [number])
        var options = Options()
        options.append(OptionNumber(rawValue: number))
        #expect(Array(Message(code: .get, token: .empty, options: options).frame.dropFirst(2)) == bytes(body))
    }

    @Test(
        "RFC 7252 §3.1: values at each boundary of the length are read and written",
        arguments: [(0, "b0"), (12, "bc"), (13, "bd00"), (268, "bdff"), (269, "be0000"), (65804, "beffff")])
    func valueLength(count: Int, header: String) throws {
        let value = [UInt8](repeating: 0x61, count: count)
        let message = try #require(try Self.read(bytes(header) + value))
        #expect(Array(message.options) == [Option(.uriPath, ByteBuffer(bytes: value))])
        #expect(Array(message.frame.suffix(count + header.count / 2)) == bytes(header) + value)
        #expect(message.frame.count == message.frameLength)
    }

    @Test("BI-19: options beyond the limit are refused, 256 are taken")
    func count() throws {
        #expect(try Self.read([UInt8](repeating: 0, count: 256))?.options.count == 256)
        #expect(throws: DecodeError.tooManyOptions(maximum: 256)) {
            try Self.read([UInt8](repeating: 0, count: 10_000))
        }
        #expect(throws: DecodeError.tooManyOptions(maximum: 256)) {
            try Self.read([0xB1, 0x61] + [UInt8](repeating: 0x01, count: 5_000).flatMap { [$0, 0x61] })
        }
    }

    @Test("RFC 7252 §3.1: options of one number keep their order, and an option may be number 0")
    func order() throws {
        #expect(try Self.options("00 b161 0162 40").map(\.number.rawValue) == [0, 11, 11, 15])
        #expect(try Self.options("b161 0162").map(\.string) == ["a", "b"])
    }
}
