import CoAP
import NIOCore
import TestSupport
import Testing

struct OptionsTests {
    // MARK: Order

    @Test("RFC 7252 §3.1: options stand in the order of their numbers, whatever order they were added in")
    func order() {
        var options = Options()
        options.append(.accept, uint: 1)
        options.append(.uriPath, string: "b")
        options.append(.ifMatch)
        options.append(.uriPath, string: "a")
        options.append(.ocfContentFormatVersion, uint: 2048)
        options.append(.contentFormat, uint: 60)
        let numbers: [OptionNumber] = [
            .ifMatch, .uriPath, .uriPath, .contentFormat, .accept, .ocfContentFormatVersion,
        ]
        #expect(options.map(\.number) == numbers)
        #expect(options.path == ["b", "a"])
    }

    @Test("RFC 7252 §3.1: any order of adding gives ascending numbers, and keeps the order within a number")
    func randomOrder() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            var options = Options()
            var added: [UInt16: [UInt8]] = [:]
            for value in 0..<UInt8(generator.number(1...20)) {
                let number = UInt16(generator.number(0...6))
                options.append(OptionNumber(rawValue: number), bytes: [value])
                added[number, default: []].append(value)
            }
            #expect(zip(options, options.dropFirst()).allSatisfy { $0.number <= $1.number })
            for (number, values) in added {
                #expect(options.all(OptionNumber(rawValue: number)).flatMap(\.bytes) == values)
            }
        }
    }

    @Test("Options are found, replaced and removed by number")
    func access() {
        var options = Options()
        #expect(options.isEmpty)
        options.append(.eTag, bytes: [1])
        options.append(.eTag, bytes: [2])
        options.append(.maxAge, uint: 3)
        #expect(options.count == 3)
        #expect(options.first(.eTag)?.bytes == [1])
        #expect(options.all(.eTag).map(\.bytes) == [[1], [2]])
        #expect(options.contains(.maxAge))
        #expect(options.first(.uriPath) == nil)
        options.set(.maxAge, uint: 4)
        #expect(options.all(.maxAge).map(\.uint) == [4])
        options.set(.eTag, string: "x")
        #expect(options.all(.eTag).map(\.string) == ["x"])
        options.append(.eTag, bytes: [3])
        options.removeFirst(.eTag)
        options.removeFirst(.uriPath)
        #expect(options.all(.eTag).map(\.bytes) == [[3]])
        options.removeAll(.eTag)
        #expect(!options.contains(.eTag))
        options.removeAll { $0.rawValue > 10 }
        #expect(options.isEmpty)
    }

    // MARK: Values

    @Test(
        "RFC 7252 §3.2: an unsigned integer is written in its shortest form, zero as nothing",
        arguments: [
            (0, []), (1, [1]), (255, [255]), (256, [1, 0]), (65535, [255, 255]), (65536, [1, 0, 0]),
            (1 << 24, [1, 0, 0, 0]), (.max, [255, 255, 255, 255, 255, 255, 255, 255]),
        ] as [(UInt64, [UInt8])])
    func uint(value: UInt64, written: [UInt8]) {
        var options = Options()
        options.append(.maxAge, uint: value)
        #expect(options.first(.maxAge)?.bytes == written)
        #expect(options.first(.maxAge)?.uint == value)
    }

    @Test("RFC 7252 §3.2: leading zeros of an unsigned integer are tolerated, more than 64 bits are no integer")
    func longUint() {
        func uint(_ bytes: [UInt8]) -> UInt64? { Option(.maxAge, ByteBuffer(bytes: bytes)).uint }
        #expect(uint([0, 0, 5]) == 5)
        #expect(uint([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]) == 7)
        #expect(uint([1, 0, 0, 0, 0, 0, 0, 0, 0]) == nil)
        #expect(uint([UInt8](repeating: 255, count: 300)) == nil)
    }

    @Test(
        "RFC 7252 §3.2: text is UTF-8, and nothing is mended",
        arguments: [
            ("", ""), ("61c3a9", "aé"), ("00", "\u{0}"), ("e280ae61", "\u{202E}a"), ("c3", nil), ("ff", nil),
            ("c080", nil), ("eda080", nil), ("f4908080", nil), ("61e28261", nil),
        ] as [(String, String?)])
    func text(digits: String, text: String?) {
        #expect(Option(.uriPath, ByteBuffer(bytes: bytes(digits))).string == text)
    }

    // MARK: Typed access

    @Test("RFC 7252 §5.10: typed options are written, read, replaced and taken away")
    func typed() {
        var options = Options()
        options.observe = 0
        options.contentFormat = .ocfCBOR
        options.accept = .cbor
        options.maxAge = 60
        options.hopLimit = 16
        options.ocfAcceptVersion = .v1_0_0
        options.ocfVersion = .v1_1_0
        #expect(options.count == 7)
        #expect(options.observe == 0)
        #expect(options.first(.observe)?.bytes == [])
        #expect(options.contentFormat == .ocfCBOR)
        #expect(options.first(.contentFormat)?.bytes == [0x27, 0x10])
        #expect(options.accept == .cbor)
        #expect(options.maxAge == 60)
        #expect(options.hopLimit == 16)
        #expect(options.ocfAcceptVersion == .v1_0_0)
        #expect(options.first(.ocfAcceptContentFormatVersion)?.bytes == [8, 0])
        #expect(options.ocfVersion == .v1_1_0)
        options.contentFormat = .json
        options.maxAge = nil
        #expect(options.all(.contentFormat).map(\.uint) == [50])
        #expect(options.maxAge == nil)
        options.observe = nil
        options.accept = nil
        options.hopLimit = nil
        options.ocfAcceptVersion = nil
        options.ocfVersion = nil
        options.contentFormat = nil
        #expect(options.isEmpty)
    }

    @Test("RFC 7252 §5.10: values out of range count as absent, never as cut")
    func outOfRange() {
        var options = Options()
        options.append(.contentFormat, uint: 65536)
        options.append(.accept, uint: 65536 + 60)
        options.append(.maxAge, uint: 1 << 32)
        options.append(.hopLimit, uint: 256)
        options.append(.ocfContentFormatVersion, uint: 65536 + 2048)
        #expect(options.contentFormat == nil)
        #expect(options.accept == nil)
        #expect(options.maxAge == nil)
        #expect(options.hopLimit == nil)
        #expect(options.ocfVersion == nil)
    }

    @Test("RFC 7252 §6.4: path and query are one option an element, and keep empty ones")
    func path() {
        var options = Options()
        #expect(options.path == [])
        #expect(options.queries == [])
        options.path = ["a/b", "", "ü"]
        options.queries = ["if=oic.if.ll", "x=1&y=2"]
        #expect(options.all(.uriPath).map(\.string) == ["a/b", "", "ü"])
        #expect(options.path == ["a/b", "", "ü"])
        #expect(options.queries == ["if=oic.if.ll", "x=1&y=2"])
        options.path = nil
        #expect(options.path == [])
        options.append(.uriPath, bytes: [0xFF])
        options.append(.uriQuery, bytes: [0xC0, 0x80])
        #expect(options.path == nil)
        #expect(options.queries == nil)
    }

    // MARK: Requests and responses

    @Test("RFC 7252 §3: an empty payload is no payload")
    func emptyPayload() {
        #expect(Request(.get, payload: ByteBuffer()).payload == nil)
        #expect(Response(.content, payload: ByteBuffer()).payload == nil)
        #expect(Message(code: .get, token: .empty, payload: ByteBuffer()).payload == nil)
        #expect(Request(.get, path: ["a"], payload: ByteBuffer(string: "b")).payload == ByteBuffer(string: "b"))
    }

    @Test("RFC 7252 §5.5.2: a diagnostic is text of an error without Content-Format")
    func diagnostic() {
        let response = Response(.badRequest, diagnostic: "what", maxAge: 7)
        #expect(response.diagnostic == "what")
        #expect(response.options.contentFormat == nil)
        #expect(response.options.maxAge == 7)
        #expect(Response(.content, diagnostic: "what").diagnostic == nil)
        var typed = response
        typed.options.contentFormat = .json
        #expect(typed.diagnostic == nil)
        #expect(Response(.badRequest, payload: ByteBuffer(bytes: [0xFF])).diagnostic == nil)
        #expect(Response(.badRequest).diagnostic == nil)
    }
}
