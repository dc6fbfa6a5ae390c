import CoAP
import NIOCore
import TestSupport

extension SeededGenerator {
    mutating func number(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &self)
    }

    mutating func isLucky(oneIn chances: Int) -> Bool {
        Int.random(in: 1...chances, using: &self) == 1
    }

    mutating func someBytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: self.next()) }
    }

    /// A length, most often a small one, sometimes one at a boundary of RFC 8323 §3.2 and RFC 7252 §3.1.
    mutating func length(limit: Int) -> Int {
        let boundaries = [0, 1, 12, 13, 14, 268, 269, 270]
        let length =
            self.isLucky(oneIn: 4)
            ? boundaries[self.number(0...boundaries.count - 1)] : self.number(0...24)
        return min(length, limit)
    }

    /// Any message the format can say, with options known and unknown.
    mutating func message(maximumTokenLength: Int = Token.baseMaximumLength) -> Message {
        var codeClass = UInt8(self.number(0...7))
        if codeClass == 1 || codeClass == 6 { codeClass = 2 }
        let tokenLength =
            maximumTokenLength > Token.baseMaximumLength && self.isLucky(oneIn: 3)
            ? self.number(9...maximumTokenLength) : self.number(0...8)
        // Lengths 9…12 cannot be written at all (RFC 8974 §2.1).
        let token = Token(self.someBytes((9...12).contains(tokenLength) ? 8 : tokenLength))
        var options = Options()
        for _ in 0..<self.number(0...10) {
            let number =
                self.isLucky(oneIn: 3)
                ? UInt16.random(in: 0...UInt16.max, using: &self)
                : OptionDefinition.all[self.number(0...OptionDefinition.all.count - 1)].number.rawValue
            let length = self.length(limit: 300)
            options.append(OptionNumber(rawValue: number), bytes: self.someBytes(length))
        }
        let payload = self.isLucky(oneIn: 2) ? ByteBuffer(bytes: self.someBytes(self.length(limit: 400))) : nil
        return Message(
            code: Code(codeClass, UInt8(self.number(0...31))), token: token, options: options, payload: payload)
    }

    /// A copy of `input` with one to four faults of the kinds that wires and attackers make.
    mutating func mutated(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0..<self.number(1...4) where !bytes.isEmpty {
            let index = self.number(0...bytes.count - 1)
            switch self.number(0...8) {
            case 0: bytes[index] ^= 1 << UInt8(self.number(0...7))
            case 1: bytes[index] = UInt8(truncatingIfNeeded: self.next())
            case 2: bytes.remove(at: index)
            case 3: bytes.insert(UInt8(truncatingIfNeeded: self.next()), at: index)
            case 4: bytes.removeLast(bytes.count - index)
            case 5: bytes[index] |= 0xF0  // the largest delta or length
            case 6: bytes[index] |= 0x0F
            case 7: bytes.insert(0xFF, at: index)
            default: bytes.insert(contentsOf: bytes[index...].prefix(16), at: index)
            }
        }
        return bytes
    }
}
