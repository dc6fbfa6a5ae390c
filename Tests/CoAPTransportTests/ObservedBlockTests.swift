import CoAP
import NIOCore
import NIOEmbedded
import NIOPosix
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Notifications in blocks", .timeLimit(.minutes(2)))
struct ObservedBlockTests {
    typealias Told = Result<ObservationEvent, ExchangeError>

    /// The body whose blocks say which they are: 16 bytes each.
    private static func body(_ name: String, blocks: Int) -> ByteBuffer {
        ByteBuffer(string: (0..<blocks).map { "\(name) \($0)".padded }.joined())
    }

    private static func block(_ name: String, _ number: Int, of blocks: Int, isNotification: Bool = false) -> Response {
        var response = Response(.content, payload: ByteBuffer(string: "\(name) \(number)".padded))
        response.options.append(.eTag, bytes: Array(name.utf8))
        if isNotification { response.options.observe = 7 }
        response.options.block2 = BlockOption(number: number, more: number < blocks - 1, sizeExponent: 0)
        return response
    }

    private static func observe(
        _ connection: CoAPConnection, _ path: String = "light"
    ) -> (log: ObservationLog<Told>, handle: ObservationHandle) {
        let log = ObservationLog<Told>()
        let handle = connection.observe(.observing(path), deadline: .now() + .seconds(30)) { log.append($0) }
        return (log, handle)
    }

    /// Answers the next request, which is for this block of this body.
    private static func serve(_ peer: ScriptedPeer, _ name: String, _ number: Int, of blocks: Int) async throws {
        let request = try await peer.receiveRequest(.get, "light")
        #expect(request.options.block2?.number == number)
        #expect(request.options.observe == nil)
        try await peer.answer(request, Self.block(name, number, of: blocks))
    }

    private static func expect(_ body: ByteBuffer, _ log: ObservationLog<Told>) async throws {
        guard case .success(.notified(let response)) = try await log.next() else {
            Issue.record("not notified")
            return
        }
        #expect(response.payload == body)
        #expect(response.options.contains(.observe))
        #expect(response.options.block2 == nil)
    }

    @Test("RFC 7959 §2.6: the rest of a notification is fetched, and whoever observes is told the whole, each once")
    func whole() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let (log, handle) = Self.observe(connection)
            let registration = try await peer.receiveRequest(.get, "light")
            for name in ["a", "b"] {
                try await peer.answer(registration, Self.block(name, 0, of: 3, isNotification: true))
                try await Self.serve(peer, name, 1, of: 3)
                try await Self.serve(peer, name, 2, of: 3)
                try await Self.expect(Self.body(name, blocks: 3), log)
            }
            try await peer.answer(registration, Self.block("c", 0, of: 1, isNotification: true))
            try await Self.expect(Self.body("c", blocks: 1), log)
            handle.cancel()
            #expect(try await peer.receiveRequest(.get, "light").options.observe == 1)
            #expect(log.count == 3)
        }
    }

    @Test("A notification that comes while another is fetched is the last that is told, whole or in blocks")
    func newer() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let (log, _) = Self.observe(connection)
            let registration = try await peer.receiveRequest(.get, "light")
            try await peer.answer(registration, Self.block("a", 0, of: 2, isNotification: true))
            let rest = try await peer.receiveRequest(.get, "light")
            // In blocks: each takes the place of the one before, and waits.
            try await peer.answer(registration, Self.block("b", 0, of: 2, isNotification: true))
            try await peer.answer(registration, Self.block("c", 0, of: 2, isNotification: true))
            try await peer.answer(rest, Self.block("a", 1, of: 2))
            try await Self.expect(Self.body("a", blocks: 2), log)
            let more = try await peer.receiveRequest(.get, "light")
            // Whole: it is told at once, and what is fetched is old.
            try await peer.answer(registration, Self.block("d", 0, of: 1, isNotification: true))
            try await Self.expect(Self.body("d", blocks: 1), log)
            try await peer.answer(more, Self.block("c", 1, of: 2))
            try await peer.expectSilence()
            #expect(log.count == 2)
        }
    }

    @Test("What cannot be fetched to its end ends the observation, and the device is told so")
    func broken() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let (log, _) = Self.observe(connection)
            let registration = try await peer.receiveRequest(.get, "light")
            try await peer.answer(registration, Self.block("a", 0, of: 3, isNotification: true))
            let rest = try await peer.receiveRequest(.get, "light")
            try await peer.answer(rest, Self.block("a", 2, of: 3))
            guard case .failure(let error) = try await log.next() else {
                Issue.record("no failure")
                return
            }
            #expect(error.delivered)
            #expect(try await peer.receiveRequest(.get, "light").options.observe == 1)
            try await peer.answer(registration, Self.block("a", 1, of: 3, isNotification: true))
            try await peer.expectSilence()
            #expect(log.count == 1)
        }
    }

    @Test(
        "A plain answer in blocks ends the observation once it is whole, or with the connection, each once",
        arguments: [true, false])
    func plain(isLost: Bool) async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            let (log, _) = Self.observe(connection)
            let registration = try await peer.receiveRequest(.get, "light")
            try await peer.answer(registration, Self.block("a", 0, of: 2))
            if isLost {
                _ = try await peer.receiveRequest(.get, "light")
                await peer.close()
                #expect(try await log.next() == .failure(ExchangeError(.connectionLost, delivered: true)))
            } else {
                try await Self.serve(peer, "a", 1, of: 2)
                guard case .success(.ended(let response)) = try await log.next() else {
                    Issue.record("no end")
                    return
                }
                #expect(response.payload == Self.body("a", blocks: 2))
                try await peer.expectSilence()
            }
            #expect(log.count == 1)
        }
    }

    @Test("So many notifications are fetched at one time; the others wait, and all arrive; the end fails what waits")
    func bounded() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            var logs: [ObservationLog<Told>] = []
            var registrations: [Message] = []
            for _ in 0..<6 {
                logs.append(Self.observe(connection).log)
                registrations.append(try await peer.receiveRequest(.get, "light"))
            }
            for registration in registrations {
                try await peer.answer(registration, Self.block("a", 0, of: 2, isNotification: true))
            }
            var asked: [Message] = []
            for _ in 0..<4 { asked.append(try await peer.receiveRequest(.get, "light")) }
            try await peer.expectSilence()
            try await peer.answer(asked[0], Self.block("a", 1, of: 2))
            try await Self.expect(Self.body("a", blocks: 2), logs[0])
            _ = try await peer.receiveRequest(.get, "light")
            await peer.close()
            for log in logs {
                #expect(try await log.next() == .failure(ExchangeError(.connectionLost, delivered: true)))
            }
            #expect(logs.map(\.count) == [2, 1, 1, 1, 1, 1])
        }
    }

    @Test("RFC 7959 §2.6: a notification of ours that is too large goes out as its first block, the rest is asked for")
    func served() async throws {
        let resource = ScriptedResource()
        try await ListenerBench.with(BlockTests.taking(1152)) { bench in
            let dialer = BlockTests.dialer(BlockTests.taking(1152))
            let device = try await dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(20), server: resource)
            let cloud = try await bench.next("a connection") { event -> CoAPConnection? in
                if case .opened(let connection) = event { connection } else { nil }
            }
            let (log, handle) = Self.observe(cloud)
            let observer = try await resource.observer()
            for name in ["first", "second", "third"] {
                let body = Self.body(name, blocks: 600)
                observer.notify(Response(.content, payload: body))
                try await Self.expect(body, log)
            }
            handle.cancel()
            try await resource.cancellation()
            await device.close()
            #expect(log.count == 3)
        }
    }

    @Test("RFC 7641 §3.6: of registrations that were cancelled or overtaken nothing is kept for their answers")
    func forgotten() throws {
        let channel = EmbeddedChannel()
        let delegate = Registering()
        let handler = ConnectionHandler(
            configuration: SharedConfiguration(ConnectionConfiguration()),
            limits: TransportLimits(messagesPerSecond: nil), delegate: delegate, tokenSeed: 1,
            ended: channel.eventLoop.makePromise(), logger: ListenerBench.logger)
        try channel.pipeline.syncOperations.addHandler(handler)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5683)).wait()
        func receive(_ message: Message) throws {
            var bytes = ByteBuffer()
            message.writeFrame(into: &bytes)
            try channel.writeInbound(bytes)
        }
        var csm = Options()
        csm.append(OptionNumber(rawValue: 4))
        try receive(Message(code: .capabilitiesAndSettings, token: .empty, options: csm))
        for number in 0..<1000 {
            // Under one token: each overtakes the one before, or cancels it.
            var options = Options()
            options.path = ["light"]
            options.observe = number % 3 == 2 ? 1 : 0
            try receive(Message(code: .get, token: Token([1]), options: options))
            #expect(handler.blocks.server.askedCount <= 1)
        }
        #expect(delegate.cancelled == 666)
        // A notification that the peer cannot take is an error for it, and so the last.
        let before = handler.blocks.server.askedCount
        var large = Response(.content)
        large.options.observe = 0
        large.options.append(.eTag, bytes: [UInt8](repeating: 1, count: 2000))
        handler.answer(try #require(delegate.last), with: large)
        channel.embeddedEventLoop.run()
        #expect(before == 1)
        #expect(handler.blocks.server.askedCount == 0)
        _ = try channel.finish()
    }

    private final class Registering: ConnectionDelegate {
        private var connection: CoAPConnection?
        var cancelled = 0
        var last: IncomingID?

        func connectionOpened(_ connection: CoAPConnection) { self.connection = connection }

        func connectionReceived(_ request: Request, id: IncomingID) {
            var response = Response.text("on")
            if request.registers {
                self.last = id
                response.options.observe = 0
            }
            self.connection?.respond(to: id, with: response)
        }

        func connectionCancelled(_ id: IncomingID) { self.cancelled += 1 }
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) { self.connection = nil }
    }
}

extension String {
    fileprivate var padded: String { self + String(repeating: ".", count: max(0, 16 - self.utf8.count)) }
}
