import CBOR
import CoAP
import NIOCore

/// Ideas 1–15: how messages stand in the stream.
let framingCases: [ConformanceCase] = [
    ConformanceCase(
        1, .framing, "RFC 8323 §3.2",
        "given any state, when a frame arrives one byte a segment, then it is handled once", needs: [.stream]
    ) { context in
        let peer = try await context.open("peer")
        let token = Token.fresh()
        for byte in Message(code: .ping, token: token).frame {
            await peer.send(bytes: [byte], meaning: "one byte of a Ping")
        }
        let pong = try await peer.receive("the Pong to a Ping in single bytes")
        try context.expect(pong.code == .pong && pong.token == token, "one Pong", summary(of: pong))
        let other = Token.fresh()
        for byte in plainGet(other).frame {
            await peer.send(bytes: [byte], meaning: "one byte of a GET")
        }
        let answer = try await peer.response(to: other, "a GET in single bytes")
        try context.expect(answer, .unauthorized, to: "GET /oic/res before sign-in")
        try await peer.silence("one frame has one answer")
    },
    ConformanceCase(
        2, .framing, "RFC 8323 §3.2",
        "given any state, when three frames arrive in one segment, then three answers come back", needs: [.stream]
    ) { context in
        let peer = try await context.open("peer")
        let tokens = [Token.fresh(), .fresh(), .fresh()]
        await peer.send(bytes: tokens.flatMap { plainGet($0).frame }, meaning: "three GETs in one segment")
        var left = Set(tokens)
        while !left.isEmpty {
            let answer = try await peer.receive("\(left.count) more answers to three GETs")
            try context.expect(
                left.remove(answer.token) != nil, "an answer to one of the GETs", summary(of: answer))
        }
        try await peer.silence("three frames have three answers")
    },
    ConformanceCase(
        3, .framing, "RFC 8323 §3.2",
        "given any state, when each form of the length is sent at its ends, then it parses", needs: [.stream]
    ) { context in
        let peer = try await context.connect("peer")
        let limit = try await maximumMessageSize(of: peer, context)
        await peer.send(.csm())
        for body in [0, 12, 13, 268, 269, 65_804, 65_805] where body + 20 <= limit {
            let payload = body == 0 ? nil : ByteBuffer(repeating: 0x61, count: body - 1)
            let token = Token([9])
            await peer.send(Message(code: .get, token: token, payload: payload))
            let answer = try await peer.response(to: token, "GET with a body of \(body) bytes")
            try context.expect(
                answer.code.codeClass == 4, "4.xx to GET / before sign-in, body \(body)", summary(of: answer))
        }
    },
    ConformanceCase(
        4, .framing, "RFC 8323 §5.3.1",
        "given any state, when the first bytes declare 4 GiB, then Abort before anything is buffered", needs: [.stream]
    ) { context in
        let peer = try await context.open("peer")
        await peer.send(bytes: [0xF0, 0xFF, 0xFF, 0xFF, 0xFF], meaning: "a length of 65805 + 4294967295")
        try await peer.abort("the message exceeds Max-Message-Size")
    },
    ConformanceCase(
        5, .framing, "RFC 8323 §3.2",
        "given any state, when TKL is 9, 10, 11, 12 or 15, then 7.05 and the end", needs: [.stream]
    ) { context in
        for nibble in [9, 10, 11, 12, 15] as [UInt8] {
            let peer = try await context.open("peer")
            await peer.send(
                bytes: [nibble, Code.get.rawValue] + [UInt8](repeating: 0, count: 16),
                meaning: "a GET with TKL \(nibble)")
            try await peer.abort("TKL \(nibble) is reserved")
        }
    },
    ConformanceCase(
        6, .framing, "RFC 8974 §2.1",
        "given a cloud that announced no longer tokens, when TKL is 13, then 7.05; else the token comes back whole",
        needs: [.stream]
    ) { context in
        let peer = try await context.connect("peer")
        let first = try await peer.receiveOrEnd("the cloud's CSM")
        let announced = first?.options.first(OptionNumber(rawValue: 6))?.uint ?? 8
        await peer.send(.csm((2, 1 << 20)))
        let bytes = [UInt8](0..<13)
        await peer.send(
            bytes: [13, Code.ping.rawValue, 0] + bytes, meaning: "a Ping with a token of 13 bytes")
        if announced >= 13 {
            let pong = try await peer.receive("the Pong")
            try context.expect(pong.token == Token(bytes), "the token of 13 bytes", summary(of: pong))
        } else {
            try await peer.abort("no Extended-Token-Length was announced")
        }
    },
    malformed(7, "RFC 7252 §3.1", "a payload marker is the last byte", [[0x10, 0x01, 0xFF]]),
    malformed(8, "RFC 7252 §3.1", "an option runs past the body", [[0x20, 0x01, 0xB5, 0x61]]),
    malformed(
        9, "RFC 7252 §3.1", "a delta or length nibble is 15 outside the marker",
        [[0x10, 0x01, 0xF0], [0x10, 0x01, 0x0F]]),
    malformed(
        10, "RFC 7252 §3.1", "option deltas sum above 65535", [[0x60, 0x01, 0xE0, 0xFF, 0x00, 0xE0, 0xFF, 0x00]]),
    malformed(11, "RFC 7252 §12.1", "the code is 1.00 or 6.00", [[0x00, 0x20], [0x00, 0xC0]]),
    ConformanceCase(
        12, .framing, "RFC 8323 §3.4",
        "given any state, when an Empty message arrives, then nothing is sent back and the connection lives",
        needs: [.stream]
    ) { context in
        let peer = try await context.open("peer")
        await peer.send(bytes: [0, 0], meaning: "an Empty message")
        try await peer.silence("an Empty message has no answer")
        let tokens = [Token.fresh(), .fresh()]
        await peer.send(
            bytes: plainGet(tokens[0]).frame + [0, 0] + plainGet(tokens[1]).frame, meaning: "GET, Empty, GET")
        for _ in tokens {
            let answer = try await peer.receive("the answers to two GETs")
            try context.expect(tokens.contains(answer.token), "an answer to one of two GETs", summary(of: answer))
        }
        try await peer.silence("an Empty message between requests has no answer")
        let empties = await peer.empties
        try context.expect(empties == 0, "no Empty message in return", "\(empties)")
    },
    ConformanceCase(
        13, .framing, "RFC 7252 §4.2",
        "given any state, when a response with an unknown token arrives, then it is dropped and the connection lives"
    ) { context in
        let peer = try await context.open("peer")
        await peer.send(Message(code: .content, token: .fresh(), payload: ByteBuffer(string: "to nobody")))
        try await peer.silence("a response to nobody has no answer")
        let answer = try await peer.ask(.ocf(.get, "oic/res"))
        try context.expect(answer, .unauthorized, to: "GET /oic/res before sign-in")
    },
    ConformanceCase(
        14, .framing, "RFC 8323 §3.3",
        "given a request of the cloud, when the device uses its token for one of its own, then both complete"
    ) { context in
        let (device, client) = try await context.pair()
        let asked = await client.peer.start(.resource(.get, device.di, "light"))
        let request = try await context.given { try await device.peer.request(about: "light") }
        let own = try await device.peer.ask(.ocf(.get, "oic/res", queries: ["di=\(device.di)"]), token: request.token)
        try context.expect(own, .content, to: "GET /oic/res under the cloud's own token")
        await device.peer.answer(request, .content(["value": true]))
        let answer = try await client.peer.response(to: asked, "GET /{di}/light")
        try context.expect(
            answer.code == .content && answer.item?["value"] == true, "2.05 {value: true}", summary(of: answer))
    },
    ConformanceCase(
        15, .framing, "RFC 8323 §5.3.1",
        "given the cloud's Max-Message-Size, when a message has just that size, then it is handled; one byte more is 7.05",
        needs: [.stream]
    ) { context in
        let peer = try await context.connect("peer")
        let limit = try await maximumMessageSize(of: peer, context)
        guard (1152...(16 << 20)).contains(limit) else { throw CaseSkip("Max-Message-Size is \(limit)") }
        await peer.send(.csm())
        let header = plainGet(.fresh(), payload: 100_000).frame.count - 100_000
        // A length of another form takes another number of bytes.
        let shorter = limit < 65_900 ? 2 : 0
        let token = Token.fresh()
        let whole = plainGet(token, payload: limit - header + shorter)
        try context.expect(whole.frame.count == limit, "a message of \(limit) bytes", "\(whole.frame.count)")
        await peer.send(whole)
        let answer = try await peer.response(to: token, "a GET of \(limit) bytes")
        try context.expect(answer.code.codeClass == 4, "4.xx to GET before sign-in", summary(of: answer))
        await peer.send(plainGet(.fresh(), payload: limit - header + shorter + 1))
        try await peer.abort("one byte more than Max-Message-Size \(limit)")
    },
]

/// GET /oic/res, as a plain CoAP client sends it.
private func plainGet(_ token: Token, payload: Int? = nil) -> Message {
    let request = Request(.get, path: ["oic", "res"])
    return Message(
        code: .get, token: token, options: request.options,
        payload: payload.map { ByteBuffer(repeating: 0x61, count: $0) })
}

/// What the cloud's CSM says, or the base value (RFC 8323 §5.3.1).
private func maximumMessageSize(of peer: WirePeer, _ context: CaseContext) async throws -> Int {
    let first = try await context.given { try await peer.receiveOrEnd("the cloud's CSM") }
    guard let first, first.code == .capabilitiesAndSettings else {
        throw CaseFailure(.given, expected: "the cloud's CSM", got: first.map(summary) ?? "the end")
    }
    let value = first.options.first(OptionNumber(rawValue: 2))?.uint ?? 0
    return value == 0 ? 1152 : Int(min(value, 1 << 32))
}

private func malformed(_ number: Int, _ clause: String, _ what: String, _ frames: [[UInt8]]) -> ConformanceCase {
    ConformanceCase(
        number, .framing, clause, "given any state, when \(what), then 7.05 and the end", needs: [.stream]
    ) { context in
        for frame in frames {
            let peer = try await context.open("peer")
            await peer.send(bytes: frame, meaning: what)
            try await peer.abort(what)
        }
    }
}
