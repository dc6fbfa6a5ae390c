import CoAP
import NIOCore
import Testing

/// Signalling messages as they are read and written (RFC 8323 §5).
struct SignalTests {
    @Test(
        "RFC 8323 §5: each signal is read as it was written",
        arguments: [
            .csm(CSM()), .csm(CSM(maxMessageSize: 262_144)),
            .csm(CSM(maxMessageSize: 0, blockWiseTransfer: true, extendedTokenLength: 300)),
            .ping(custody: false), .ping(custody: true), .pong(custody: false), .pong(custody: true),
            .release(alternativeAddresses: [], holdOffSeconds: nil),
            .release(alternativeAddresses: ["a:5683", "[::1]"], holdOffSeconds: 16_777_215),
            .abort(badCSMOption: nil, diagnostic: nil), .abort(badCSMOption: 9, diagnostic: "why"),
            .unknown(Code(7, 6)),
        ] as [Signal])
    func roundTrip(signal: Signal) throws {
        let message = signal.message(token: Token(eightBytes: 1))
        #expect(message.token.count == 8)
        #expect(message.frameLength > 6)
        #expect(try Signal(message) == signal)
    }

    @Test(
        "RFC 8323 §5.3: the options of a CSM stand where they belong",
        arguments: [
            (CSM(), "08e10000000000000001"), (CSM(maxMessageSize: 1152), "38e10000000000000001220480"),
            (CSM(blockWiseTransfer: true), "18e1000000000000000140"),
            (CSM(extendedTokenLength: 8), "28e100000000000000016108"),
        ])
    func csmBytes(csm: CSM, frame: String) {
        #expect(Signal.csm(csm).message(token: Token(eightBytes: 1)).frame == bytes(frame))
    }

    @Test(
        "RFC 8323 §5.1: a critical option in any signal is an unknown one",
        arguments: [Code.capabilitiesAndSettings, .ping, .pong, .release])
    func critical(code: Code) {
        let error = #expect(throws: UnknownCriticalSignallingOption.self) {
            try Signal(.signal(code, [(2, []), (9, [1])]))
        }
        #expect(error?.code == code)
        #expect(error?.number.rawValue == 9)
    }

    @Test("RFC 8323 §5.1: unknown elective options of a signal are ignored")
    func elective() throws {
        #expect(try Signal(.signal(.capabilitiesAndSettings, [(8, [1, 2]), (65534, [])])) == .csm(CSM()))
        #expect(try Signal(.signal(.ping, [(4, [])])) == .ping(custody: false))
    }

    @Test(
        "BI-10: a Max-Message-Size is 0 to 4 bytes; anything longer counts as not sent",
        arguments: [
            ([], 0), ([0], 0), ([0, 0, 4, 128], 1152), ([255, 255, 255, 255], .max), ([0, 0, 0, 0, 1], nil),
        ] as [([UInt8], UInt32?)])
    func maxMessageSize(value: [UInt8], size: UInt32?) throws {
        let message = Message.signal(.capabilitiesAndSettings, [(2, value)])
        #expect(try Signal(message) == .csm(CSM(maxMessageSize: size)))
    }

    @Test("RFC 7252 §5.4.3: an empty option that has a value counts as not sent")
    func emptyOptions() throws {
        #expect(try Signal(.signal(.capabilitiesAndSettings, [(4, [1])])) == .csm(CSM(blockWiseTransfer: false)))
        #expect(try Signal(.signal(.ping, [(2, [1])])) == .ping(custody: false))
        #expect(try Signal(.signal(.pong, [(2, [0])])) == .pong(custody: false))
    }

    @Test("RFC 8974 §2.2.1: an Extended-Token-Length is 0 to 3 bytes")
    func extendedTokenLength() throws {
        #expect(
            try Signal(.signal(.capabilitiesAndSettings, [(6, [1, 0, 0])])) == .csm(CSM(extendedTokenLength: 65536)))
        #expect(try Signal(.signal(.capabilitiesAndSettings, [(6, [0, 0, 0, 9])])) == .csm(CSM()))
    }

    @Test("BI-13: a Release names alternative addresses of 1 to 255 bytes of UTF-8; others count as not sent")
    func alternativeAddresses() throws {
        let long = [UInt8](repeating: 0x61, count: 256)
        let message = Message.signal(
            .release, [(2, [UInt8]("b:1".utf8)), (2, []), (2, long), (2, [0xFF]), (2, [UInt8]("c".utf8)), (4, [60])])
        #expect(try Signal(message) == .release(alternativeAddresses: ["b:1", "c"], holdOffSeconds: 60))
    }

    @Test("BI-13: of a long diagnostic 256 bytes are kept, and bytes that are no text do no harm")
    func diagnostic() throws {
        let long = Message.signal(.abort, payload: String(repeating: "x", count: 1 << 20))
        #expect(
            try Signal(long) == .abort(badCSMOption: nil, diagnostic: String(repeating: "x", count: 256)))
        let noise = Message(code: .abort, token: .empty, payload: ByteBuffer(bytes: [0x61, 0xFF]))
        #expect(try Signal(noise) == .abort(badCSMOption: nil, diagnostic: "a\u{FFFD}"))
    }

    @Test("BI-14: signals nobody has assigned are read as unknown", arguments: [0, 6, 31] as [UInt8])
    func unknown(detail: UInt8) throws {
        #expect(try Signal(.signal(Code(7, detail))) == .unknown(Code(7, detail)))
    }
}
