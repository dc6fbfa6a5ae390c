import CoAP
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("CoAP over WebSocket", .timeLimit(.minutes(2)))
struct WebSocketListenerTests {
    private static let dialer = CoAPDialer(
        group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)

    private static let echo: ListenerBench.Handling = { connection, request, id in
        connection.respond(to: id, with: Response(.content, payload: request.payload))
    }

    private static func request(
        _ path: String = "/.well-known/coap", method: String = "GET", upgrade: Bool = true, version: Int = 13,
        protocols: String? = "coap", more: String = ""
    ) -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n"
            + (upgrade ? "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: \(version)\r\n" : "")
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            + (protocols.map { "Sec-WebSocket-Protocol: \($0)\r\n" } ?? "") + more + "\r\n"
    }

    /// A frame of a client.
    private static func frame(_ first: UInt8, _ bytes: [UInt8], masked: Bool = true) -> [UInt8] {
        let key: [UInt8] = [0x11, 0x22, 0x33, 0x44]
        guard masked else { return [first, UInt8(bytes.count)] + bytes }
        return [first, 0x80 | UInt8(bytes.count)] + key + bytes.enumerated().map { $1 ^ key[$0 % 4] }
    }

    /// An upgraded peer, past our CSM.
    private static func open(_ bench: ListenerBench) async throws -> RawPeer {
        let peer = try await RawPeer.connect(port: bench.listener.port)
        try await peer.send(Self.request())
        _ = try await peer.receive(through: "\r\n\r\n")
        let csm = try await Self.receive(peer)
        #expect(csm.first == 0x82)
        #expect(csm[2] == 0x08)
        #expect(csm[3] == Code.capabilitiesAndSettings.rawValue)
        return peer
    }

    /// One short frame, with its head.
    private static func receive(_ peer: RawPeer) async throws -> [UInt8] {
        let head = try await peer.receive(2)
        #expect(head[1] < 126)
        return head + (try await peer.receive(Int(head[1])))
    }

    @Test("C-88: the upgrade at /.well-known/coap is answered 101 with the subprotocol coap, also if it is one of many")
    func upgrade() async throws {
        try await ListenerBench.with(transport: .webSocket) { bench in
            for protocols in ["coap", "mqtt, coap"] {
                let peer = try await RawPeer.connect(port: bench.listener.port)
                try await peer.send(Self.request(protocols: protocols))
                let head = try await peer.receive(through: "\r\n\r\n").lowercased()
                #expect(head.hasPrefix("http/1.1 101 "))
                #expect(head.contains("\r\nsec-websocket-protocol: coap\r\n"))
                #expect(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"))
                await peer.close()
            }
        }
    }

    @Test(
        "C-88: what asks for something else is told so and closed",
        arguments: [
            (request(protocols: nil), 400), (request(protocols: "mqtt"), 400), (request("/"), 404),
            (request("/.well-known/coap?x=1"), 404), (request(upgrade: false), 426), (request(version: 8), 426),
            (request(method: "POST"), 405), ("nonsense\r\n\r\n", 400), ("GET / HTTP/1.1\r\nx\r\n\r\n", 400),
        ])
    func refused(_ text: String, status: Int) async throws {
        try await ListenerBench.with(maximumConnections: 1, transport: .webSocket) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send(text)
            let answer = String(decoding: try await peer.receiveUntilClose(), as: UTF8.self)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
            #expect(try await bench.refusal() == .upgradeRefused)
            try await bench.emptied()
        }
    }

    @Test("Before the upgrade at most 8 KiB are taken, and nobody has longer than the time for it")
    func bounds() async throws {
        try await ListenerBench.with(transport: .webSocket) { bench in
            let long = try await RawPeer.connect(port: bench.listener.port)
            try await long.send("GET /.well-known/coap HTTP/1.1\r\n")
            // The end may come while we still send.
            for _ in 0..<9 { try? await long.send("X-Filler: " + String(repeating: "x", count: 1014)) }
            _ = try? await long.receiveUntilClose()
            #expect(try await bench.refusal() == .upgradeRefused)
        }
        try await ListenerBench.with(
            limits: TransportLimits(openingTimeout: .seconds(3)), transport: .webSocket
        ) { bench in
            let slow = try await RawPeer.connect(port: bench.listener.port)
            try await slow.send("GET /.well-known/coap HTTP/1.1\r\n")
            #expect(try await slow.receiveUntilClose() == [])
            #expect(try await bench.refusal() == .timedOut)
        }
    }

    @Test("RFC 8323 §4: requests of any size, both ways")
    func exchange() async throws {
        try await ListenerBench.with(transport: .webSocket, handling: Self.echo) { bench in
            let client = try await Self.dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, transport: .webSocket, timeout: .seconds(20),
                server: nil)
            let server = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            #expect(server.arrival.scheme == .webSocket)
            for size in [0, 1, 100, 126, 70_000, 200_000] {
                let payload = ByteBuffer(repeating: 0x61, count: size)
                let answer = try await client.send(
                    Request(.post, path: ["x"], payload: size > 0 ? payload : nil), timeout: .seconds(20))
                #expect((answer.payload?.readableBytes ?? 0) == size)
            }
            #expect(try await server.send(Request(.get, path: ["x"]), timeout: .seconds(20)).code == .notFound)
            await client.close()
            #expect(try await bench.end() == .released(holdOffSeconds: nil))
        }
    }

    @Test("RFC 8323 §8.4: the same over TLS")
    func secure() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            transport: .secureWebSocket(try certificates.server()), handling: Self.echo
        ) { bench in
            let client = try await Self.dialer.connect(
                host: "localhost", port: bench.listener.port,
                transport: .secureWebSocket(try certificates.client()), timeout: .seconds(20), server: nil)
            // Until the CSM is there that comes before this answer, 1152 bytes are the most (RFC 8323 §5.3.1).
            let first = try await client.send(Request(.post, path: ["x"]), timeout: .seconds(20))
            #expect(first.payload == nil)
            let payload = ByteBuffer(repeating: 0x61, count: 20_000)
            let answer = try await client.send(
                Request(.post, path: ["x"], payload: payload), timeout: .seconds(20))
            #expect(answer.payload == payload)
            let server = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            #expect(server.arrival.scheme == .secureWebSocket)
            server.abort("go away")
            #expect(await client.ended == .abortedByPeer(diagnostic: "go away"))
        }
    }

    @Test("C-89: a message in pieces is one; a Ping frame gets its Pong")
    func pieces() async throws {
        try await ListenerBench.with(transport: .webSocket, handling: Self.echo) { bench in
            let peer = try await Self.open(bench)
            // GET /x with the token 7, in three pieces, a Ping between them.
            try await peer.send(Self.frame(0x02, [0x01]) + Self.frame(0x89, [5]))
            #expect(try await Self.receive(peer) == [0x8A, 1, 5])
            try await peer.send(Self.frame(0x00, [0x01, 0x07]) + Self.frame(0x80, [0xB1, 0x78]))
            #expect(try await Self.receive(peer) == [0x82, 3, 0x01, Code.content.rawValue, 0x07])
            await peer.close()
        }
    }

    @Test("RFC 6455 §5.5.3: of many Ping frames that come together only the last needs a Pong")
    func pings() async throws {
        try await ListenerBench.with(transport: .webSocket) { bench in
            let peer = try await Self.open(bench)
            let ends = Self.frame(0x89, [0xEE])
            try await peer.send(Array((0..<1000).map { _ in Self.frame(0x89, [7]) }.joined()) + ends)
            var pongs = 0
            while true {
                let pong = try await Self.receive(peer)
                #expect(pong[0] == 0x8A)
                pongs += 1
                if pong[2] == 0xEE { break }
            }
            #expect(pongs < 200)
            await peer.close()
        }
    }

    @Test("Ping and Pong frames count as messages: whoever sends too many is not read for a while")
    func controlFrames() async throws {
        let limits = TransportLimits(messagesPerSecond: 1, messageBurst: 8)
        try await ListenerBench.with(limits: limits, transport: .webSocket, handling: Self.echo) { bench in
            let peer = try await Self.open(bench)
            let start = ContinuousClock.now
            try await peer.send(Array((0..<8).map { _ in Self.frame(0x8A, []) }.joined()))
            try await peer.send(Self.frame(0x89, [5]))
            #expect(try await Self.receive(peer) == [0x8A, 1, 5])
            try await peer.send(Self.frame(0x82, [0x01, 0x01, 0x07, 0xB1, 0x78]))
            #expect(try await Self.receive(peer) == [0x82, 3, 0x01, Code.content.rawValue, 0x07])
            #expect(ContinuousClock.now - start > .seconds(6))
            await peer.close()
        }
    }

    @Test(
        "C-89: text is closed with 1003, an unmasked frame with 1002, a frame that is too large with 1009",
        arguments: [
            (frame(0x81, [0x61]), 1003), (frame(0x82, [0x00, 0x01], masked: false), 1002),
            (frame(0x80, [0x00]), 1002), ([0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0], 1009),
            (frame(0x09, [1]), 1002),
        ] as [([UInt8], Int)])
    func broken(_ bytes: [UInt8], code: Int) async throws {
        try await ListenerBench.with(transport: .webSocket) { bench in
            let peer = try await Self.open(bench)
            try await peer.send(bytes)
            #expect(try await peer.receiveUntilClose() == [0x88, 2, UInt8(code >> 8), UInt8(code & 0xFF)])
            let end = try await bench.end()
            guard case .failed = end else {
                Issue.record("\(end)")
                return
            }
        }
    }

    @Test("C-89: a length nibble is a format error: Abort, then close with 1002")
    func lengthNibble() async throws {
        try await ListenerBench.with(transport: .webSocket) { bench in
            let peer = try await Self.open(bench)
            try await peer.send(Self.frame(0x82, [0x11, 0x01, 0x07, 0x60]))
            let abort = try await Self.receive(peer)
            #expect(abort.count > 4)
            #expect(abort[3] == Code.abort.rawValue)
            #expect(try await peer.receiveUntilClose() == [0x88, 2, 0x03, 0xEA])
            #expect(try await bench.end() == .malformed(.lengthInWebSocket(nibble: 1)))
        }
    }

    @Test("RFC 6455 §5.5.1: a Close is answered with a Close, and what came before it with its answer")
    func closed() async throws {
        try await ListenerBench.with(transport: .webSocket, handling: Self.echo) { bench in
            let peer = try await Self.open(bench)
            try await peer.send(Self.frame(0x82, [0x01, 0x01, 0x07, 0xB1, 0x78]) + Self.frame(0x88, [0x03, 0xE9]))
            #expect(
                try await peer.receiveUntilClose()
                    == [0x82, 3, 0x01, Code.content.rawValue, 0x07, 0x88, 2, 0x03, 0xE9])
            #expect(try await bench.end() == .closedByPeer)
        }
    }

    @Test("Who dials something that is no CoAP over WebSocket hears what it answered")
    func dialRefused() async throws {
        try await ListenerBench.with { bench in
            do throws(TransportError) {
                _ = try await Self.dialer.connect(
                    host: "127.0.0.1", port: bench.listener.port, transport: .webSocket, timeout: .seconds(20),
                    server: nil)
                Issue.record("connected")
            } catch {
                #expect(error.message.hasPrefix("127.0.0.1:\(bench.listener.port): "))
            }
        }
    }
}
