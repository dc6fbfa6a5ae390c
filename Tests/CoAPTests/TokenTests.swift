import CoAP
import Testing

struct TokenTests {
    @Test("RFC 8323 §3.3: a token keeps its bytes, leading zeros too", arguments: [0, 1, 7, 8, 9, 13, 300])
    func bytes(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        #expect(Token(bytes).bytes == bytes)
        #expect(Token(bytes).count == count)
        #expect(Token(bytes) == Token(bytes[...]))
    }

    @Test("RFC 8323 §3.3: tokens of the same number and another length are different")
    func length() {
        #expect(Token([]) != Token([0]))
        #expect(Token([0]) != Token([0, 0]))
        #expect(Token([0, 0, 0, 0, 0, 0, 0, 0]) != Token([0, 0, 0, 0, 0, 0, 0, 0, 0]))
        #expect(Set([Token([]), Token([0]), Token([0, 0]), Token([0])]).count == 3)
        #expect(Token.empty == Token([]))
    }

    @Test("Tokens of ours have eight bytes, most significant first")
    func eightBytes() {
        #expect(Token(eightBytes: 0x0102_0304_0506_0708).bytes == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(Token(eightBytes: 1) == Token([0, 0, 0, 0, 0, 0, 0, 1]))
        #expect(Token(eightBytes: .max).bytes == [UInt8](repeating: 255, count: 8))
    }

    @Test("A token prints as hexadecimal digits")
    func description() {
        #expect(Token([0, 0xAB, 0x1F]).description == "00ab1f")
        #expect(Token.empty.description == "")
        #expect(Token([UInt8](repeating: 0x10, count: 9)).description == "101010101010101010")
    }
}
