import CBOR
import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Framing on a real socket, conformance ideas 1–15")
struct ConformanceFramingTests {
    /// A request that is answered 4.01, as an unsigned connection may ask for nothing.
    private static func frame(_ token: Token = Token([7]), payload: Int = 0) -> [UInt8] {
        var frame = ByteBuffer()
        Message(
            code: .get, token: token, options: Request(.get, path: ["oic", "res"]).options,
            payload: ByteBuffer(repeating: 0x61, count: payload)
        ).writeFrame(into: &frame)
        return Array(frame.readableBytesView)
    }

    @Test("C-1: a frame that arrives one byte a segment is handled once")
    func drip() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            for byte in Self.frame() {
                try await peer.send(bytes: [byte])
            }
            let answer = try await peer.receivePastCSM()
            #expect(answer.code == .unauthorized)
            #expect(answer.token == Token([7]))
            try await peer.expectSilence()
        }
    }

    @Test("C-2: three frames in one segment bring three responses")
    func glued() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: [1, 2, 3].flatMap { Self.frame(Token([$0])) })
            var tokens: [Token] = []
            for _ in 0..<3 {
                tokens.append(try await peer.receivePastCSM().token)
            }
            #expect(tokens == [Token([1]), Token([2]), Token([3])])
            try await peer.expectSilence()
        }
    }

    @Test(
        "C-3: every form of the length parses at its ends",
        arguments: [0, 12, 13, 268, 269, 65_804, 65_805])
    func lengths(body: Int) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            // An unknown elective option of no bytes, then as much payload as is missing.
            var frame = ByteBuffer()
            let empty = Message(code: .get, token: Token([9]))
            if body == 0 {
                empty.writeFrame(into: &frame)
            } else {
                Message(code: .get, token: Token([9]), payload: ByteBuffer(repeating: 0x61, count: body - 1))
                    .writeFrame(into: &frame)
            }
            try await peer.send(bytes: Array(frame.readableBytesView))
            let answer = try await peer.receivePastCSM()
            #expect(answer.code == .unauthorized)
            #expect(answer.token == Token([9]))
        }
    }

    @Test("C-4: a length of 4 GiB is refused from its header alone, before a byte of it is buffered")
    func hugeLength() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: [0xF0, 0xFF, 0xFF, 0xFF, 0xFF])
            let abort = try await peer.receiveAbort()
            #expect(abort.text.contains("4295033106 bytes exceeds Max-Message-Size 262144"))
        }
    }

    @Test(
        "C-5, C-6: token lengths 9 to 12, 15 and the extended ones nobody announced are refused",
        arguments: [9, 10, 11, 12, 13, 14, 15])
    func tokenLength(nibble: UInt8) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: [nibble, Code.get.rawValue] + [UInt8](repeating: 0, count: 16))
            try await peer.receiveAbort()
        }
    }

    @Test(
        "C-7, C-8, C-9, C-10, C-11: a broken format ends the connection with an Abort that says why",
        arguments: [
            ("payload marker", [0x10, 0x01, 0xFF]),
            ("past the end", [0x20, 0x01, 0xB5, 0x61]),
            ("nibble 15", [0x10, 0x01, 0xF0]),
            ("nibble 15", [0x10, 0x01, 0x0F]),
            ("65535", [0x60, 0x01, 0xE0, 0xFF, 0x00, 0xE0, 0xFF, 0x00]),
            ("reserved code class in 1.00", [0x00, 0x20]),
            ("reserved code class in 6.00", [0x00, 0xC0]),
        ] as [(String, [UInt8])])
    func brokenFormat(why: String, bytes: [UInt8]) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: bytes)
            let abort = try await peer.receiveAbort()
            #expect(abort.text.contains(why))
            #expect(abort.token.count == 8)
        }
    }

    @Test("C-12, C-13: an Empty message and a response to nobody bring no answer, also between two requests")
    func ignored() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            var response = ByteBuffer()
            Message(code: .content, token: Token(eightBytes: 42), payload: ByteBuffer(string: "?"))
                .writeFrame(into: &response)
            try await peer.send(
                bytes: [0, 0] + Self.frame(Token([1])) + [0, 0] + Array(response.readableBytesView)
                    + Self.frame(Token([2])) + [0, 0])
            #expect(try await peer.receivePastCSM().token == Token([1]))
            #expect(try await peer.receivePastCSM().token == Token([2]))
            try await peer.expectSilence()
        }
    }

    @Test("C-14: the device may use the token of our request for one of its own; both come to their end")
    func sameTokenBothWays() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            async let answer = gateway.http.get("/lamp/light", token: owner.token)
            let request = try await device.peer.receiveRequest(.get, "light")
            let own = try await device.peer.ask(.ocf(.get, "oic/rd"), token: request.token)
            #expect(own.code == .content)
            #expect(own.item?["sel"] == 0)
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            #expect(try await answer.text == "on")
        }
    }

    @Test("C-15: a message of exactly Max-Message-Size is handled, one byte more is refused")
    func atTheLimit() async throws {
        try await RunningGateway.with(["MAX_MESSAGE_SIZE": "2048"]) { gateway in
            let peer = try await gateway.connect()
            let csm = try await peer.receive()
            #expect(csm.options.first(OptionNumber(rawValue: 2))?.uint == 2048)
            let rest = Self.frame(payload: 1500).count - 1500
            try await peer.send(bytes: Self.frame(payload: 2048 - rest))
            #expect(try await peer.receive().code == .unauthorized)
            try await peer.send(bytes: Self.frame(payload: 2049 - rest))
            let abort = try await peer.receiveAbort()
            #expect(abort.text.contains("2049 bytes exceeds Max-Message-Size 2048"))
        }
    }
}
