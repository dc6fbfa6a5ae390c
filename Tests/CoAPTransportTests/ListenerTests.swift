import CoAP
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Connections on real sockets: what bounds them", .timeLimit(.minutes(1)))
struct ListenerTests {
    @Test("As many connections as allowed: one more is closed at once, and a place given back is taken again")
    func maximumConnections() async throws {
        try await ListenerBench.with(maximumConnections: 2) { bench in
            let first = try await bench.pair()
            let second = try await bench.pair()
            let third = try await bench.connect()
            #expect(try await third.receiveUntilClose().isEmpty)
            #expect(bench.listener.connectionCount == 2)
            try await second.peer.expectSilence()
            await first.peer.close()
            _ = try await bench.end()
            let fourth = try await bench.pair()
            try await fourth.peer.expectSilence()
            #expect(bench.listener.connectionCount == 2)
        }
    }

    @Test(
        "BI-51, BI-88: while memory or descriptors are short a new connection is reset and counted, those there are stay",
        arguments: [ListenerRefusal.memory, .descriptors])
    func ceiling(refusal: ListenerRefusal) async throws {
        let state = Mutex((places: 0, isShort: false))
        let ceiling = ListenerCeiling(
            enter: {
                state.withLock { state in
                    if state.isShort { return refusal }
                    state.places += 1
                    return nil
                }
            }, leave: { state.withLock { $0.places -= 1 } })
        try await ListenerBench.with(ceiling: ceiling) { bench in
            let first = try await bench.pair()
            state.withLock { $0.isShort = true }
            // The reset may come before the client has noticed that it is connected.
            if let second = try? await RawPeer.connect(port: bench.listener.port) {
                let received = try await second.receiveUntilClose()
                #expect(received.isEmpty)
            }
            #expect(try await bench.refusal() == refusal)
            #expect(bench.listener.connectionCount == 1)
            try await first.peer.expectSilence()
            state.withLock { $0.isShort = false }
            let third = try await bench.pair()
            #expect(state.withLock { $0.places } == 2)
            for pair in [first, third] {
                await pair.peer.close()
                _ = try await bench.end()
            }
            try await bench.emptied()
            // Each place was given back once, and none for who got none.
            #expect(state.withLock { $0.places } == 0)
        }
    }

    /// Answers everything with a megabyte.
    private static let megabyte: ListenerBench.Handling = { connection, _, id in
        connection.respond(to: id, with: Response(.content, payload: ByteBuffer(repeating: 0x61, count: 1 << 20)))
    }

    private static func askForMegabytes(_ peer: ScriptedPeer) async throws {
        var csm = Message(code: .capabilitiesAndSettings, token: .unique())
        csm.options.append(OptionNumber(rawValue: 2), uint: 16 << 20)
        // In one write, since the listener may close while we still ask. The first unread megabytes fill the buffers of
        // the system, the others ours.
        var glued = ByteBuffer()
        csm.writeFrame(into: &glued)
        let options = Request(.get, path: ["large"]).options
        for _ in 0..<24 {
            Message(code: .get, token: .unique(), options: options).writeFrame(into: &glued)
        }
        try await peer.send(bytes: Array(glued.readableBytesView))
    }

    @Test("A peer that does not read what it asked for is closed when its time is over")
    func slowReader() async throws {
        let limits = TransportLimits(slowReaderTimeout: .milliseconds(200))
        try await ListenerBench.with(limits: limits, handling: Self.megabyte) { bench in
            let (peer, _) = try await bench.pair()
            try await peer.setReading(false)
            try await Self.askForMegabytes(peer)
            #expect(try await bench.end() == .closedByUs("the peer reads too slowly"))
        }
    }

    @Test("A peer that reads again in time gets everything, and meanwhile nothing more is read from it")
    func catchesUp() async throws {
        try await ListenerBench.with(handling: Self.megabyte) { bench in
            let (peer, connection) = try await bench.pair()
            try await peer.setReading(false)
            try await Self.askForMegabytes(peer)
            try await eventually("a full buffer") {
                try await !connection.eventLoop.submit({ connection.channel.isWritable }).get()
            }
            try await peer.setReading(true)
            for _ in 0..<24 {
                #expect(try await peer.receivePastCSM().payload?.readableBytes == 1 << 20)
            }
            try await peer.expectSilence()
        }
    }

    @Test("More messages than the rate allows wait in the socket: all are handled, none sooner")
    func rate() async throws {
        let limits = TransportLimits(messagesPerSecond: 100, messageBurst: 10)
        try await ListenerBench.with(limits: limits) { bench in
            let (peer, _) = try await bench.pair()
            let start = ContinuousClock.now
            for index in 0..<60 {
                try await peer.send(Message(code: .ping, token: Token(eightBytes: UInt64(index))))
            }
            for index in 0..<60 {
                #expect(try await peer.receivePastCSM().token == Token(eightBytes: UInt64(index)))
            }
            // 10 at once and 50 at 100 a second, in groups of a few.
            #expect(start.duration(to: .now) > .milliseconds(300))
        }
    }

    @Test("Answers to our own requests do not count against the rate")
    func answersAreFree() async throws {
        let limits = TransportLimits(messagesPerSecond: 1, messageBurst: 2)
        try await ListenerBench.with(limits: limits) { bench in
            let (peer, connection) = try await bench.pair()
            let began = ContinuousClock.now
            for _ in 0..<60 {
                async let answer = connection.send(Request(.get, path: ["a"]), timeout: .seconds(30))
                let request = try await peer.receivePastCSM()
                try await peer.send(Message(code: .content, token: request.token))
                #expect(try await answer.code == .content)
            }
            // At one a second they would take 58 s.
            #expect(began.duration(to: .now) < .seconds(50))
        }
    }

    @Test("Many messages in one segment leave other connections their turn")
    func turns() async throws {
        let limits = TransportLimits(messagesPerSecond: nil, messagesPerTurn: 2)
        try await ListenerBench.with(limits: limits) { bench in
            let (peer, _) = try await bench.pair()
            var glued = ByteBuffer()
            for index in 0..<101 {
                Message(code: .ping, token: Token(eightBytes: UInt64(index))).writeFrame(into: &glued)
            }
            try await peer.send(bytes: Array(glued.readableBytesView))
            for index in 0..<101 {
                #expect(try await peer.receivePastCSM().token == Token(eightBytes: UInt64(index)))
            }
        }
    }

    @Test("C-6: a long token is taken and echoed where it was announced, one byte more is refused")
    func extendedTokens() async throws {
        let configuration = ConnectionConfiguration(limits: FrameLimits(maximumTokenLength: 64))
        try await ListenerBench.with(
            configuration, handling: { $0.respond(to: $2, with: Response(.content)) }
        ) { bench in
            let (peer, _) = try await bench.pair()
            let csm = try await peer.receive()
            #expect(csm.options.first(OptionNumber(rawValue: 6))?.uint == 64)
            for count in [8, 13, 64] {
                let token = Token([UInt8](repeating: 7, count: count))
                #expect(try await peer.ask(Request(.get, path: ["x"]), token: token).code == .content)
            }
            try await peer.start(Request(.get, path: ["x"]), token: Token([UInt8](repeating: 7, count: 65)))
            try await peer.receiveAbort()
        }
    }
}
