import CBOR
import NIOCore
import Testing

struct LimitTests {
    private func refusal(
        _ input: [UInt8], limits: DecodingLimits = .standard, sourceLocation: SourceLocation = #_sourceLocation
    ) -> CBORError? {
        #expect(throws: CBORError.self, sourceLocation: sourceLocation) {
            try DataItem(decoding: ByteBuffer(bytes: input), limits: limits)
        }
    }

    @Test("BI-28: indefinite-length strings, maps and arrays without a break are refused")
    func withoutBreak() {
        #expect(self.refusal(bytes("9f")) == CBORError(.missingBreak, at: 1))
        #expect(self.refusal(bytes("9f0102")) == CBORError(.missingBreak, at: 3))
        #expect(self.refusal(bytes("bf")) == CBORError(.missingBreak, at: 1))
        #expect(self.refusal(bytes("bf6161")) == CBORError(.missingBreak, at: 3))
        #expect(self.refusal(bytes("5f4101")) == CBORError(.missingBreak, at: 3))
        #expect(self.refusal(bytes("7f6161")) == CBORError(.missingBreak, at: 3))
    }

    @Test(
        "BI-28: 10,000 levels are refused at the 33rd, whatever they are made of",
        arguments: [[0x81], [0x9F], [0xC1], [0xA1, 0x00], [0xBF, 0x00], [0xA1], [0xBF]] as [[UInt8]])
    func tooDeep(_ level: [UInt8]) {
        let error = self.refusal(Array((0..<10_000).map { _ in level }.joined()))
        #expect(error == CBORError(.tooDeep(maximum: 32), at: 32 * level.count))
    }

    @Test("RFC 8949 §10: 32 levels are taken, 33 are not")
    func depthLimit() throws {
        for level in ["81", "c1"] {
            let deepest = String(repeating: level, count: 32) + "00"
            let item = try DataItem(decoding: buffer(deepest))
            #expect(digits(item.encoded()) == deepest)
            #expect(self.refusal(bytes(level + deepest))?.code == .tooDeep(maximum: 32))
        }
    }

    @Test("BI-29: counts and lengths above what is left are refused before anything is allocated")
    func declaredTooMuch() {
        let most = UInt64.max
        for (input, declared, remaining) in [
            ("ba ffffffff 00000000 00", UInt64(UInt32.max), 5), ("bb ffffffffffffffff 00", most, 1),
            ("bb 8000000000000001 00", 1 << 63 + 1, 1), ("9b ffffffffffffffff 00", most, 1),
            ("5b ffffffffffffffff 00", most, 1), ("7b 7fffffffffffffff 00", most >> 1, 1), ("82 00", 2, 1),
            ("a2 00 00 00", 2, 3), ("42 00", 2, 1),
        ] {
            #expect(
                self.refusal(bytes(input))
                    == CBORError(
                        .lengthPastEnd(declared: declared, remaining: remaining), at: 0), "\(input)")
        }
    }

    @Test("RFC 8949 §10: the items of one input are counted, keys, tags and chunks included")
    func itemLimit() throws {
        for (input, items) in [
            ("83010203", 4), ("9f010203ff", 4), ("a201020304", 5), ("bf01020304ff", 5), ("c1c100", 3),
            ("5f41014102ff", 3), ("7f61616162ff", 3), ("8180", 2), ("00", 1),
        ] {
            #expect(throws: Never.self, "\(input)") {
                try DataItem(decoding: buffer(input), limits: DecodingLimits(items: items))
            }
            let error = self.refusal(bytes(input), limits: DecodingLimits(items: items - 1))
            #expect(error?.code == .tooManyItems(maximum: items - 1), "\(input)")
        }
    }

    @Test("RFC 8949 §10: a declared count above the item limit is refused at the head")
    func itemLimitAtHead() {
        let array = bytes("9a00010000") + [UInt8](repeating: 0, count: 65_536)
        #expect(self.refusal(array) == CBORError(.tooManyItems(maximum: 65_536), at: 0))
        let map = bytes("b98000") + [UInt8](repeating: 0, count: 65_536)
        #expect(self.refusal(map) == CBORError(.tooManyItems(maximum: 65_536), at: 0))
    }

    @Test("RFC 8949 §10: more bytes than the limit are refused unread")
    func byteLimit() throws {
        let limits = DecodingLimits(bytes: 4)
        #expect(try DataItem(decoding: buffer("83010203"), limits: limits) == [1, 2, 3])
        #expect(self.refusal(bytes("8401020304"), limits: limits) == CBORError(.tooLarge(bytes: 5, maximum: 4), at: 0))
    }

    @Test("BI-29: duplicate keys are refused, in small and in large maps, whatever their kind")
    func duplicateKeys() {
        #expect(self.refusal(bytes("a2 6161 01 6161 02")) == CBORError(.duplicateKey, at: 4))
        #expect(self.refusal(bytes("bf 6161 01 6161 02 ff")) == CBORError(.duplicateKey, at: 4))
        // 1 in one byte and in three is one key; so is every NaN.
        #expect(self.refusal(bytes("a2 01 01 190001 02")) == CBORError(.duplicateKey, at: 3))
        #expect(self.refusal(bytes("a2 f97e00 01 fa7fc00001 02"))?.code == .duplicateKey)
        #expect(self.refusal(bytes("a2 820102 01 9f0102ff 02"))?.code == .duplicateKey)
        let twenty: [UInt8] = (0..<20).flatMap { [$0, 0] }
        #expect(self.refusal([0xB5] + twenty + [7, 0]) == CBORError(.duplicateKey, at: 41))
    }

    @Test("BI-29: keys that only look alike are two keys")
    func similarKeys() throws {
        // An integer and a float, 0 and -0, composed and decomposed.
        for input in ["a2 01 01 f93c00 02", "a2 f90000 01 f98000 02", "a2 62c3a9 01 6365cc81 02", "a2 00 01 20 02"] {
            #expect(try DataItem(decoding: buffer(input)).pairs?.count == 2, "\(input)")
        }
    }

    @Test("BI-29: non-text keys, NaN, -0, bignums and tags 24 and 55799 are kept as they are")
    func odditiesAreKept() throws {
        let input = "d9d9f7 a5 01 f97e00 20 f98000 80 c249010000000000000000 a0 d8184100 f6 f7"
        let item = try DataItem(decoding: buffer(input))
        #expect(digits(item.encoded()) == digits(bytes(input)))
        guard case .tagged(55799, .map(let pairs)) = item else {
            Issue.record("not a tagged map")
            return
        }
        #expect(pairs.map(\.key) == [1, -1, [], [:], .null])
        #expect(pairs.map(\.value)[4] == .undefined)
    }
}
