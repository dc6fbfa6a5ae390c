import CBOR
import NIOCore
import OCF
import TestSupport
import Testing

struct JSONCodingTests {
    private func decode(_ text: String) throws -> DataItem {
        try JSONCoding.decode(ByteBuffer(string: text))
    }

    private func refusal(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> JSONError.Code? {
        self.refusal(ByteBuffer(string: text), sourceLocation: sourceLocation)
    }

    private func refusal(
        _ buffer: ByteBuffer, limits: DecodingLimits = .standard, sourceLocation: SourceLocation = #_sourceLocation
    ) -> JSONError.Code? {
        #expect(throws: JSONError.self, sourceLocation: sourceLocation) {
            try JSONCoding.decode(buffer, limits: limits)
        }?.code
    }

    @Test(
        "RFC 8259 §3: every kind of value is read, integers as integers, names in their order",
        arguments: [
            ("null", .null), ("true", true), ("false", false), (" 1 ", 1), ("\"a\"", "a"), ("[]", []), ("{}", [:]),
            ("[1, [2,3] ,\t{}]", [1, [2, 3], [:]]), ("{\"b\":1,\r\n\"a\":[true]}", ["b": 1, "a": [true]]),
            ("0", 0), ("-0", 0), ("-1", -1), ("18446744073709551615", .unsigned(.max)),
            ("-18446744073709551616", .float(-18_446_744_073_709_551_616)),
            ("-9223372036854775808", .negative(UInt64(Int64.max))), ("9007199254740993", 9_007_199_254_740_993),
            ("18446744073709551616", .float(18_446_744_073_709_551_616)), ("1.0", 1.0), ("1e2", 100.0),
            ("-0.5E-1", -0.05), ("1E+2", 100.0), ("-0.0", .float(-0.0)), ("1e-999", 0.0),
            ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\u{8}\u{c}\n\r\t"), ("\"\\u00e9\\u6C34\"", "é水"),
            ("\"\\uD834\\udd1e\"", "\u{1D11E}"), ("\"\\u0000\"", "\u{0}"), ("\"水\u{7f}\"", "水\u{7f}"),
        ] as [(String, DataItem)])
    func reads(_ text: String, _ item: DataItem) throws {
        #expect(try self.decode(text) == item)
    }

    @Test(
        "BI-31: what is not JSON gets a definite refusal",
        arguments: [
            ("", .empty), (" \n", .empty), ("{} x", .trailingBytes), ("1 2", .trailingBytes), ("{}{}", .trailingBytes),
            ("\u{FEFF}{}", .byteOrderMark), ("// c\n{}", .unexpected(UInt8(ascii: "/"))),
            ("{/* c */}", .unexpected(UInt8(ascii: "/"))), ("[1,]", .unexpected(UInt8(ascii: "]"))),
            ("{\"a\":1,}", .unexpected(UInt8(ascii: "}"))), ("{a:1}", .unexpected(UInt8(ascii: "a"))),
            ("{'a':1}", .unexpected(UInt8(ascii: "'"))), ("NaN", .unexpected(UInt8(ascii: "N"))),
            ("Infinity", .unexpected(UInt8(ascii: "I"))), ("[1 2]", .unexpected(UInt8(ascii: "2"))),
            ("{\"a\" 1}", .unexpected(UInt8(ascii: "1"))), ("{1:1}", .unexpected(UInt8(ascii: "1"))),
            ("nul", .truncated), ("nulL", .unexpected(UInt8(ascii: "L"))), ("True", .unexpected(UInt8(ascii: "T"))),
            ("{", .truncated), ("[", .truncated), ("[1", .truncated), ("{\"a\"", .truncated), ("{\"a\":", .truncated),
            ("\"a", .truncated), ("\"\\", .truncated), ("\"\\u12", .truncated), ("+1", .unexpected(UInt8(ascii: "+"))),
            ("-", .malformedNumber), ("01", .malformedNumber), ("-01", .malformedNumber), ("1.", .malformedNumber),
            (".5", .unexpected(UInt8(ascii: "."))), ("1e", .malformedNumber), ("1e+", .malformedNumber),
            ("1.e1", .malformedNumber), ("0x10", .trailingBytes), ("1e999", .numberOutOfRange),
            ("-1e999", .numberOutOfRange), ("\"\\ud800\"", .loneSurrogate), ("\"\\udc00\"", .loneSurrogate),
            ("\"\\ud800x\"", .loneSurrogate), ("\"\\ud800\\n\"", .loneSurrogate),
            ("\"\\ud800\\ud800\"", .loneSurrogate), ("\"\\x\"", .malformedEscape), ("\"\\u12g4\"", .malformedEscape),
            ("\"a\nb\"", .controlCharacter), ("\"\u{0}\"", .controlCharacter), ("\u{0}", .unexpected(0)),
            ("{\"a\":1,\"b\":2,\"a\":3}", .duplicateName), ("{\"a\":1,\"\\u0061\":3}", .duplicateName),
        ] as [(String, JSONError.Code)])
    func refuses(_ text: String, _ code: JSONError.Code) {
        #expect(self.refusal(text) == code)
    }

    @Test("BI-31: text that is not UTF-8 is refused", arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xC3]])
    func notUTF8(_ bytes: [UInt8]) {
        #expect(self.refusal(ByteBuffer(bytes: [0x22] + bytes + [0x22])) == .invalidUTF8)
    }

    @Test("BI-31: 100,000 levels are refused at the 33rd", arguments: ["[", "{\"a\":", "[{\"a\":"])
    func deep(_ level: String) {
        #expect(self.refusal(String(repeating: level, count: 100_000)) == .tooDeep(maximum: 32))
    }

    @Test("BI-31: a name of 1 MB, a number of 1 MB and a body above the limit are refused")
    func large() throws {
        let megabyte = String(repeating: "1", count: 1_000_000)
        #expect(self.refusal("{\"\(megabyte)\":1}") == .nameTooLong(maximum: 1024))
        #expect(self.refusal(megabyte) == .numberOutOfRange)
        #expect(try self.decode("\"\(megabyte)\"").string?.utf8.count == 1_000_000)
        #expect(self.refusal("\"\(megabyte)\(megabyte)\"") == .tooLarge(bytes: 2_000_002, maximum: 1 << 20))
        let limits = DecodingLimits(items: 3)
        #expect(try JSONCoding.decode(ByteBuffer(string: "[1,2]"), limits: limits) == [1, 2])
        #expect(self.refusal(ByteBuffer(string: "[1,2,3]"), limits: limits) == .tooManyItems(maximum: 3))
        #expect(self.refusal(ByteBuffer(string: "{\"a\":1,\"b\":2}"), limits: limits) == .tooManyItems(maximum: 3))
    }

    @Test("An error names the place and the clause")
    func errorText() {
        let error = #expect(throws: JSONError.self) { try self.decode("{\"a\": tru}") }
        #expect(error == JSONError(.unexpected(UInt8(ascii: "}")), at: 9))
        #expect(error?.description.contains("byte 9") == true)
        #expect(error?.description.contains("RFC 8259 §2") == true)
    }

    @Test("RFC 8949 §6.1: items as JSON: bytes as base64url, integer names as text, no value as null, tags dropped")
    func writes() {
        for (item, text) in [
            (.bytes([]), "\"\""), (.bytes([0xFB]), "\"-w\""), (.bytes([0xFB, 0xFF]), "\"-_8\""),
            (.bytes([1, 2, 3]), "\"AQID\""), (.map([.init(1, 2), .init(-5, "x")]), "{\"1\":2,\"-5\":\"x\"}"),
            (.map([.init(.bytes([0xFF]), 1), .init(.boolean(true), 2)]), "{\"_w\":1,\"true\":2}"),
            (.map([.init([1, "a"], 1)]), "{\"[1,\\\"a\\\"]\":1}"), (.float(.nan), "null"),
            (.float(-.infinity), "null"), (.undefined, "null"), (.simple(3), "null"),
            (.tagged(55799, .tagged(0, "now")), "\"now\""), (.negative(.max), "-18446744073709551616"),
            (.unsigned(.max), "18446744073709551615"), (1.0, "1.0"), (1e300, "1e+300"), (.float(-0.0), "-0.0"),
            ("a\"\\\n\u{1}\u{1f}/é", "\"a\\\"\\\\\\n\\u0001\\u001f/é\""),
            (["a": [1, .null, true]], "{\"a\":[1,null,true]}"),
        ] as [(DataItem, String)] {
            #expect(String(buffer: JSONCoding.encode(item)) == text)
        }
    }

    @Test("BI-28: maps that are keys of maps, level upon level, do not double what they are written in each time")
    func keysInKeys() throws {
        let inner: DataItem = .map([.init(.map([.init("\"", 1)]), 2)])
        #expect(String(buffer: JSONCoding.encode(inner)) == #"{"{\"\\\"\":1}":2}"#)
        // From the second level on a key is its CBOR: a1 61 22 01.
        #expect(String(buffer: JSONCoding.encode(.map([.init(inner, 3)]))) == #"{"{\"oWEiAQ\":2}":3}"#)

        // As deep as it may be, this would need 16 GB.
        var item: DataItem = "\"\"\"\""
        for _ in 0..<16 { item = .map([.init(item, 0)]) }
        #expect(JSONCoding.encode(item).readableBytes < 4 * item.encoded().readableBytes)
    }

    @Test("What JSON can hold survives being written and read, whatever it is", arguments: 1...4 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<Rounds.scaled(500) {
            let item = generator.jsonItem()
            #expect(try JSONCoding.decode(JSONCoding.encode(item)) == item)
        }
    }

    @Test("BI-31: damaged JSON is refused or reads as something stable", arguments: 1...4 as ClosedRange<UInt64>)
    func mutated(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var taken = 0
        let rounds = Rounds.scaled(4000)
        for _ in 0..<rounds {
            var bytes = Array(JSONCoding.encode(generator.jsonItem()).readableBytesView)
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[index] = Array("{}[]\",:\\ue-0.1 \u{1}".utf8).randomElement(using: &generator) ?? 0
                case 1: bytes[index] = .random(in: 0...255, using: &generator)
                default: bytes.insert(bytes[index], at: index)
                }
            }
            guard let item = try? JSONCoding.decode(ByteBuffer(bytes: bytes)) else { continue }
            taken += 1
            #expect(try JSONCoding.decode(JSONCoding.encode(item)) == item, "\(String(decoding: bytes, as: UTF8.self))")
        }
        #expect((rounds / 40..<rounds - rounds / 40).contains(taken))
    }
}

extension SeededGenerator {
    mutating func jsonItem(depth: Int = 0) -> DataItem {
        switch Int.random(in: 0..<(depth < 5 ? 10 : 6), using: &self) {
        case 0: return .unsigned(self.next() >> UInt64.random(in: 0..<64, using: &self))
        case 1: return .negative(self.next() >> UInt64.random(in: 1..<64, using: &self))
        case 2, 3: return .text(self.text())
        case 4: return Bool.random(using: &self) ? .null : .boolean(.random(using: &self))
        case 5:
            let value = Double(bitPattern: self.next())
            return .float(value.isFinite ? value : 0.5)
        case 6, 7: return .array((0..<Int.random(in: 0..<6, using: &self)).map { _ in self.jsonItem(depth: depth + 1) })
        default:
            var pairs: [DataItem.Pair] = []
            for index in 0..<Int.random(in: 0..<6, using: &self) {
                pairs.append(.init(.text("\(index)\(self.text())"), self.jsonItem(depth: depth + 1)))
            }
            return .map(pairs)
        }
    }

    private mutating func text() -> String {
        let alphabet: [Character] = ["a", "0", "\"", "\\", "\n", "\u{0}", "\u{1f}", "é", "水", "👩‍👩‍👧", "\u{301}", "/"]
        return String(
            (0..<Int.random(in: 0..<20, using: &self)).map { _ in alphabet.randomElement(using: &self) ?? "a" })
    }
}
