import CoAP
import Testing

struct CodeTests {
    @Test(
        "RFC 7252 §3: a code is three bits of class and five of detail, printed C.DD",
        arguments: [
            (Code.get, 0x01, "0.01"), (.delete, 0x04, "0.04"), (.iPatch, 0x07, "0.07"), (.created, 0x41, "2.01"),
            (.changed, 0x44, "2.04"), (.content, 0x45, "2.05"), (.continue, 0x5F, "2.31"), (.badRequest, 0x80, "4.00"),
            (.unsupportedContentFormat, 0x8F, "4.15"), (.tooManyRequests, 0x9D, "4.29"),
            (.internalServerError, 0xA0, "5.00"), (.hopLimitReached, 0xA8, "5.08"),
            (.capabilitiesAndSettings, 0xE1, "7.01"), (.ping, 0xE2, "7.02"), (.pong, 0xE3, "7.03"),
            (.release, 0xE4, "7.04"), (.abort, 0xE5, "7.05"),
        ] as [(Code, UInt8, String)])
    func rawValue(code: Code, byte: UInt8, text: String) {
        #expect(code.rawValue == byte)
        #expect(Code(rawValue: byte) == code)
        #expect(code.description == text)
    }

    @Test("RFC 7252 §12.1: the class says what a message is", arguments: 0...255 as ClosedRange<UInt8>)
    func kind(byte: UInt8) {
        let code = Code(rawValue: byte)
        #expect(Code(code.codeClass, code.detail) == code)
        let expected: Code.Kind =
            switch byte {
            case 0: .empty
            case 1..<0x20: .request
            case 0x40..<0x60, 0x80..<0xC0: .response
            case 0x60..<0x80: .unassigned
            case 0xE0...0xFF: .signalling
            default: .reserved
            }
        #expect(code.kind == expected)
        #expect(code.isSuccess == (0x40..<0x60).contains(byte))
    }

    @Test("RFC 7252 §12.1: assigned codes have names, others none")
    func name() {
        #expect(Code.notFound.name == "Not Found")
        #expect(Code.iPatch.name == "iPATCH")
        #expect(Code.abort.name == "Abort")
        #expect(Code(2, 30).name == nil)
        #expect(Code(7, 6).name == nil)
    }
}
