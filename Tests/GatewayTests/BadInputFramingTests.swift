import CBOR
import CoAP
import NIOCore
import ServiceShell
import TestSupport
import Testing

@Suite("Bad frames, signals and options on a real socket")
struct BadInputFramingTests {
    private static func bytes(_ messages: Message...) -> [UInt8] {
        var buffer = ByteBuffer()
        for message in messages { message.writeFrame(into: &buffer) }
        return Array(buffer.readableBytesView)
    }

    private static func request(_ token: UInt8, _ path: String = "oic/res") -> Message {
        Message(
            code: .get, token: Token([token]),
            options: Request(.get, path: path.split(separator: "/").map(String.init)).options)
    }

    /// Whatever happens to one connection, another one does not notice.
    private static func expectHealthy(_ gateway: RunningGateway) async throws {
        let peer = try await gateway.connect()
        #expect(try await peer.ask(.ocf(.get, "oic/res")).code == .unauthorized)
        await peer.close()
    }

    @Test("BI-1: a message cut at any byte is handled once the rest is there; cut off by the end it is nothing")
    func cut() async throws {
        try await RunningGateway.with { gateway in
            let frame = Self.bytes(
                Message(
                    code: .post, token: Token(eightBytes: 1),
                    options: Request.signUp(di: "lamp", code: "none").options,
                    payload: Request.signUp(di: "lamp", code: "none").payload))
            for cut in stride(from: 1, to: frame.count, by: 3) {
                let whole = try await gateway.connect()
                try await whole.send(bytes: Array(frame[..<cut]))
                try await whole.send(bytes: Array(frame[cut...]))
                #expect(try await whole.receivePastCSM().code == .unauthorized)
                await whole.close()
                let broken = try await gateway.connect()
                try await broken.send(bytes: Array(frame[..<cut]))
                await broken.close()
            }
            try await Self.expectHealthy(gateway)
        }
    }

    @Test("BI-1: a hundred messages in one segment are answered one by one, in turns")
    func glued() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            let pings = (0..<100).map { Message(code: .ping, token: Token([UInt8($0)])) }
            try await peer.send(bytes: pings.flatMap { Self.bytes($0) })
            for index in 0..<100 {
                #expect(try await peer.receivePastCSM().token == Token([UInt8(index)]))
            }
        }
    }

    @Test(
        "BI-2: a header whose length is missing keeps nobody else waiting",
        arguments: [[0xD0], [0xE0, 0x00], [0xF0, 0x00, 0x00, 0x00], [0xD8, 0x10], [0x01]] as [[UInt8]])
    func stalledHeader(bytes: [UInt8]) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: bytes)
            try await Self.expectHealthy(gateway)
        }
    }

    @Test(
        "BI-3, BI-4, BI-5: sizes beyond what we announced and tokens beyond what is there end the connection",
        arguments: [
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0xF8, 0xFF, 0xFF, 0xFF, 0xFF],
            [0xF0, 0x00, 0x03, 0x00, 0x00], [0x09, 0x01], [0x0D, 0x01, 0x00], [0x0E, 0x01, 0x00, 0x00], [0x0F, 0x01],
        ] as [[UInt8]])
    func oversized(bytes: [UInt8]) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: bytes)
            try await peer.receiveAbort()
            try await Self.expectHealthy(gateway)
        }
    }

    @Test(
        "BI-6, BI-7: other protocols on the CoAP port are told with an Abort",
        arguments: [
            Array("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".utf8),
            Array("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n".utf8),
            [UInt8](repeating: 0xFF, count: 64),
        ])
    func otherProtocols(bytes: [UInt8]) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: bytes)
            try await peer.receiveAbort()
            try await Self.expectHealthy(gateway)
        }
    }

    @Test(
        "BI-6, BI-7: who speaks TLS or the PROXY protocol here understands no Abort: closed, with a log line",
        arguments: [
            Array("PROXY TCP4 192.0.2.1 192.0.2.2 56324 5683\r\n".utf8),
            [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0x00, 0x0C],
            // The head of a TLS 1.2 ClientHello with 512 bytes behind it.
            [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03] + [UInt8](0x20...0xFF)
                + [UInt8](repeating: 0xFF, count: 282),
        ])
    func meantForElsewhere(bytes: [UInt8]) async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: bytes)
            // Our CSM may be on its way already.
            #expect(try await peer.receiveUntilClose().allSatisfy { $0.code == .capabilitiesAndSettings })
            #expect(gateway.log.lines.contains { $0.contains("connection refused: ") && $0.contains("coap+tcp") })
            try await Self.expectHealthy(gateway)
        }
    }

    @Test("BI-6: zeros are Empty messages: nothing comes back, and the connection lives")
    func zeros() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(bytes: [UInt8](repeating: 0, count: 256))
            try await peer.expectSilence()
        }
    }

    @Test("BI-10: whatever Max-Message-Size a peer names, it gets an answer it can take")
    func peerSizes() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            func csm(_ value: [UInt8]) -> Message {
                var message = Message(code: .capabilitiesAndSettings, token: .unique())
                message.options.append(OptionNumber(rawValue: 2), bytes: value)
                return message
            }
            // 0 stands for the base value.
            for value in [[], [0], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 4, 128]] as [[UInt8]] {
                try await peer.send(csm(value))
                let answer = try await peer.ask(.ocf(.get, "oic/res"))
                #expect(answer.code == .unauthorized)
                #expect(!answer.text.isEmpty)
            }
            for value in [[1], [16], [32]] as [[UInt8]] {
                try await peer.send(csm(value))
                let answer = try await peer.ask(.ocf(.get, "oic/res"), token: Token([1]))
                #expect(answer.code == .internalServerError)
                #expect(answer.payload == nil)
            }
            // Five bytes are no value of this option: it counts as not sent.
            try await peer.send(csm([0, 0, 0, 4, 0]))
            #expect(try await peer.ask(.ocf(.get, "oic/res"), token: Token([1])).code == .internalServerError)
        }
    }

    @Test("BI-10: a device that lowers its limit while it is asked gets no larger request after that")
    func loweredLimit() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            let large = Request(.post, path: ["lamp", "light"], payload: ByteBuffer(repeating: 0x61, count: 500))
            try await client.peer.start(large)
            let first = try await device.peer.receiveRequest(.post, "light")
            var csm = Message(code: .capabilitiesAndSettings, token: .unique())
            csm.options.append(OptionNumber(rawValue: 2), bytes: [0x01, 0x00])
            try await device.peer.send(csm)
            try await device.peer.expectSilence()
            #expect(try await client.peer.ask(large).code == .requestEntityTooLarge)
            try await device.peer.answer(first, Response(.changed))
            #expect(try await client.peer.receivePastCSM().code == .changed)
        }
    }

    @Test("BI-12: a flood of Pings is read no faster than allowed, answered in order, and hurts nobody else")
    func pingFlood() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            let flood = (0..<600).flatMap { Self.bytes(Message(code: .ping, token: Token(eightBytes: UInt64($0)))) }
            let start = ContinuousClock.now
            try await peer.send(bytes: flood)
            try await Self.expectHealthy(gateway)
            for index in 0..<600 {
                #expect(try await peer.receivePastCSM().token == Token(eightBytes: UInt64(index)))
            }
            // 400 at once, then 200 a second.
            #expect(start.duration(to: .now) > .milliseconds(800))
        }
    }

    @Test("BI-13: an Abort with a megabyte of reasons is refused like any message of that size")
    func longAbort() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            var frame = ByteBuffer()
            Message(code: .abort, token: .unique(), payload: ByteBuffer(repeating: 0x61, count: 1 << 20))
                .writeFrame(into: &frame)
            try await peer.send(bytes: Array(frame.readableBytesView.prefix(4096)))
            try await peer.receiveAbort()
            try await Self.expectHealthy(gateway)
        }
    }

    @Test("BI-14: Empty with a token, unassigned class 3 and unknown signals are ignored")
    func ignoredCodes() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            var messages = [Message(code: .empty, token: Token([1]), payload: ByteBuffer(string: "x"))]
            messages += [Code(3, 0), Code(3, 31)].map { Message(code: $0, token: Token([2])) }
            messages += (6...31).map { Message(code: Code(7, $0), token: Token([3])) }
            try await peer.send(bytes: messages.flatMap { Self.bytes($0) })
            try await peer.expectSilence()
        }
    }

    @Test("BI-15: responses nobody waits for, and a second one for the same token, are dropped")
    func duplicateResponse() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            try await client.peer.send(Message(code: .content, token: Token([1]), payload: ByteBuffer(string: "?")))
            try await client.peer.start(Request(.get, path: ["lamp", "light"]))
            let request = try await device.peer.receiveRequest(.get, "light")
            for text in ["first", "second"] {
                try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: text)))
            }
            #expect(try await client.peer.receivePastCSM().text == "first")
            try await device.peer.expectSilence()
            try await client.peer.expectSilence()
        }
    }

    @Test("BI-16: two requests under one token get two answers; so do empty tokens of both sides at once")
    func sameToken() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            for token in [Token([1]), .empty] {
                try await client.peer.start(Request(.get, path: ["lamp", "a"]), token: token)
                try await client.peer.start(Request(.get, path: ["lamp", "b"]), token: token)
                let requests = [
                    try await device.peer.receivePastCSM(), try await device.peer.receivePastCSM(),
                ]
                #expect(requests[0].token != requests[1].token)
                for request in requests {
                    try await device.peer.answer(
                        request, Response(.content, payload: ByteBuffer(string: request.options.path?.first ?? "")))
                }
                let answers = [try await client.peer.receivePastCSM(), try await client.peer.receivePastCSM()]
                #expect(answers.map(\.token) == [token, token])
                #expect(Set(answers.map(\.text)) == ["a", "b"])
            }
            #expect(try await device.peer.ask(.ocf(.get, "oic/rd"), token: .empty).code == .content)
        }
    }

    @Test("BI-17: a marker without payload is malformed, a second marker is payload")
    func markers() async throws {
        try await RunningGateway.with { gateway in
            let broken = try await gateway.connect()
            try await broken.send(bytes: [0x11, 0x01, 0x07, 0xFF])
            try await broken.receiveAbort()
            let double = try await gateway.connect()
            try await double.send(bytes: [0x31, 0x01, 0x07, 0xFF, 0xFF, 0x61])
            #expect(try await double.receivePastCSM().code == .unauthorized)
            // Without a marker the bytes are options: these run past the end.
            let missing = try await gateway.connect()
            try await missing.send(bytes: [0x21, 0x01, 0x07, 0x68, 0x69])
            try await missing.receiveAbort()
        }
    }

    @Test("BI-18: option nibbles of 15 and numbers beyond 65535 end the connection, the greatest number does not")
    func optionArithmetic() async throws {
        try await RunningGateway.with { gateway in
            for body in [
                [0xF0], [0x0F], [0xF1, 0x00], [0xE0, 0xFE, 0xF3], [0xE0, 0xFE, 0xF2, 0x10], [0xDD, 0x00],
            ] as [[UInt8]] {
                let peer = try await gateway.connect()
                try await peer.send(bytes: [UInt8(body.count) << 4, 0x01] + body)
                try await peer.receiveAbort()
            }
            // 65535 is an option of our own programs: well-formed, and refused.
            let peer = try await gateway.connect()
            try await peer.send(bytes: [0x31, 0x01, 0x07, 0xE0, 0xFE, 0xF2])
            #expect(try await peer.receivePastCSM().code == .badOption)
        }
    }

    @Test("BI-19: thousands of options end the connection; one of 64 KB is a bad option")
    func manyOptions() async throws {
        try await RunningGateway.with { gateway in
            for (first, count) in [(0xE1 as UInt8, 10_000), (0xB1, 5_000)] {
                var body: [UInt8] = first == 0xE1 ? [0xE1, 0xFC, 0xDB, 0x61] : [0xB1, 0x61]
                for _ in 1..<count { body += [0x01, 0x61] }
                let size = body.count - 269
                let peer = try await gateway.connect()
                try await peer.send(bytes: [0xE0, UInt8(size >> 8), UInt8(size & 0xFF), 0x01] + body)
                #expect(try await peer.receiveAbort().text.contains("options"))
            }
            let peer = try await gateway.connect()
            var request = Request(.get, path: ["oic", "res"])
            request.options.append(.uriQuery, ByteBuffer(repeating: 0x61, count: 65_536))
            #expect(try await peer.ask(request).code == .badOption)
            try await Self.expectHealthy(gateway)
        }
    }

    @Test("BI-20: a critical option twice or badly long is 4.02, an elective one counts as not sent")
    func repeatedOptions() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            func ask(_ number: OptionNumber, _ values: [UInt8]...) async throws -> Message {
                var request = Request(.get, path: ["oic", "res"])
                for value in values { request.options.append(number, bytes: value) }
                return try await device.peer.ask(request)
            }
            #expect(try await ask(.accept, [60], [60]).code == .badOption)
            #expect(try await ask(.accept, [0, 0, 60]).code == .badOption)
            #expect(try await ask(.uriHost, []).code == .badOption)
            #expect(try await ask(.ifNoneMatch, [1]).code == .badOption)
            #expect(try await ask(.ocfAcceptContentFormatVersion, [8]).code == .badOption)
            #expect(try await ask(.block2, [0, 0, 0, 0]).code == .badOption)
            #expect(try await ask(.contentFormat, [60], [41]).code == .content)
            #expect(try await ask(.contentFormat, [0, 0, 60]).code == .content)
            #expect(try await ask(.maxAge, [1, 2, 3, 4, 5]).code == .content)
            // Leading zeros are no fault.
            #expect(try await ask(.accept, [0, 60]).options.contentFormat == .cbor)
        }
    }

    @Test("BI-21: a path is its bytes: no traversal, nothing decoded twice, no text that is none")
    func paths() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            for segment in [[0xFF], [0xC0, 0xAE], [0xED, 0xA0, 0x80], [0x2E, 0x2E]] as [[UInt8]] {
                var request = Request(.get, path: ["lamp"])
                request.options.append(.uriPath, bytes: segment)
                #expect(try await client.peer.ask(request).code == .badRequest)
                var query = Request(.get, path: ["oic", "res"])
                query.options.append(.uriQuery, bytes: segment)
                #expect(try await client.peer.ask(query).code == (segment == [0x2E, 0x2E] ? .content : .badRequest))
            }
            for name in ["%2e%2e", "..\u{0}", "a\r\nb", "\u{202E}pmal", "registry", "a/b"] {
                #expect(try await client.peer.ask(Request(.get, path: [name, "light"])).code == .notFound)
            }
            // On the device's side of the path the bytes are the device's business.
            for name in ["%2e%2e", "a\u{0}b", "\u{202E}pmal", "a/b"] {
                try await client.peer.start(Request(.get, path: ["lamp", name]))
                let seen = try await device.peer.receivePastCSM()
                #expect(seen.options.path == [name])
                try await device.peer.answer(seen, Response(.notFound))
                #expect(try await client.peer.receivePastCSM().code == .notFound)
            }
        }
    }

    @Test("A malformed message ends its own connection: sessions and requests of others go on")
    func ownConnectionOnly() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            try await client.peer.start(Request(.get, path: ["lamp", "light"]))
            let request = try await device.peer.receiveRequest(.get, "light")
            for _ in 0..<20 {
                let broken = try await gateway.connect()
                try await broken.send(bytes: [0x0F, 0x01])
                try await broken.receiveAbort()
            }
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            #expect(try await client.peer.receivePastCSM().text == "on")
        }
    }
}
