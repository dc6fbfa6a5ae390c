import CBOR
import NIOCore
import TestSupport
import Testing

extension SeededGenerator {
    mutating func item(depth: Int = 0) -> DataItem {
        switch Int.random(in: 0..<(depth < 5 ? 14 : 10), using: &self) {
        case 0: return .unsigned(self.next() >> UInt64.random(in: 0..<64, using: &self))
        case 1: return .negative(self.next() >> UInt64.random(in: 0..<64, using: &self))
        case 2:
            return .bytes((0..<Int.random(in: 0..<40, using: &self)).map { _ in .random(in: 0...255, using: &self) })
        case 3, 4: return .text(self.text())
        case 5: return .boolean(.random(using: &self))
        case 6: return Bool.random(using: &self) ? .null : .undefined
        case 7:
            return .simple(
                Bool.random(using: &self) ? .random(in: 0..<20, using: &self) : .random(in: 32...255, using: &self))
        case 8: return .float(Double(bitPattern: self.next()))
        case 9: return .float(Double(Float16(bitPattern: UInt16(truncatingIfNeeded: self.next()))))
        case 10, 11: return .array((0..<Int.random(in: 0..<6, using: &self)).map { _ in self.item(depth: depth + 1) })
        case 12: return .tagged(self.next() >> UInt64.random(in: 0..<64, using: &self), self.item(depth: depth + 1))
        default:
            var keys: Set<DataItem> = []
            var pairs: [DataItem.Pair] = []
            for _ in 0..<Int.random(in: 0..<12, using: &self) {
                let key = self.item(depth: depth + 3)
                if keys.insert(key).inserted {
                    pairs.append(.init(key, self.item(depth: depth + 1)))
                }
            }
            return .map(pairs)
        }
    }

    private mutating func text() -> String {
        let alphabet: [Character] = ["a", "z", "0", "\"", "\\", "\n", "\u{0}", "é", "水", "👩‍👩‍👧", "\u{301}", " "]
        return String(
            (0..<Int.random(in: 0..<30, using: &self)).map { _ in alphabet.randomElement(using: &self) ?? "a" })
    }

    /// A copy of `input` with one to four faults of the kinds that wires and attackers make.
    mutating func mutated(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<7, using: &self) {
            case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 1: bytes[index] = .random(in: 0...255, using: &self)
            case 2: bytes.remove(at: index)
            case 3: bytes.insert(.random(in: 0...255, using: &self), at: index)
            case 4: bytes.removeLast(bytes.count - index)
            case 5: bytes[index] |= 0b1_1111  // an indefinite length or a break
            default: bytes.insert(contentsOf: bytes[index...].prefix(16), at: index)
            }
        }
        return bytes
    }
}

struct GeneratorTests {
    /// What holds for any input: it is refused, or it is an item that survives being written and read again.
    static func check(_ input: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) -> Bool {
        guard let item = try? DataItem(decoding: ByteBuffer(bytes: input)) else { return false }
        let encoded = item.encoded()
        #expect(encoded.readableBytes <= input.count, "\(digits(input))", sourceLocation: sourceLocation)
        #expect(
            throws: Never.self, "keep this input in Tests/CBORTests/Inputs: \(digits(input))",
            sourceLocation: sourceLocation
        ) {
            let again = try DataItem(decoding: encoded)
            try #require(again == item)
            try #require(again.hashValue == item.hashValue)
            try #require(again.encoded() == encoded)
        }
        return true
    }

    @Test("RFC 8949 §4.1: random items survive being written and read", arguments: 1...8 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<Rounds.scaled(400) {
            let item = generator.item()
            let encoded = item.encoded()
            try #require(try DataItem(decoding: encoded) == item, "\(digits(encoded))")
        }
    }

    @Test(
        "RFC 8949 §10: damaged items are refused or read as something that survives writing",
        arguments: 1...8 as ClosedRange<UInt64>)
    func mutated(seed: UInt64) {
        var generator = SeededGenerator(seed: seed << 32)
        let indefinite = (AppendixATests.indefinite + AppendixATests.others).map { bytes($0.encoded) }
        var taken = 0
        let rounds = Rounds.scaled(4000)
        for round in 0..<rounds {
            let original =
                round.isMultiple(of: 2)
                ? Array(generator.item().encoded().readableBytesView)
                : indefinite[round / 2 % indefinite.count]
            taken += Self.check(generator.mutated(original)) ? 1 : 0
        }
        // The generator would prove nothing if it made only garbage or no garbage.
        #expect((rounds / 40..<rounds - rounds / 40).contains(taken))
    }

    @Test("Inputs that once failed, and hostile ones, stay refused or stable", arguments: RecordedInput.all)
    func replay(_ input: RecordedInput) {
        #expect(Self.check(input.bytes) == input.isAccepted)
    }
}
