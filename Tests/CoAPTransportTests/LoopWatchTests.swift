import CoAP
import NIOCore
import NIOEmbedded
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Event loops that stood still", .timeLimit(.minutes(1)))
struct LoopWatchTests {
    private final class Pauses: Sendable {
        private let gaps = Mutex<[TimeAmount]>([])
        var all: [TimeAmount] { self.gaps.withLock { $0 } }
        func note(_ gap: TimeAmount) { self.gaps.withLock { $0.append(gap) } }
    }

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test("A gap above the limit is told once, one up to it is not")
    func gaps() {
        let pauses = Pauses()
        let turn = LoopTurn(limit: .seconds(5), start: Self.start) { pauses.note($0) }
        turn.check(now: Self.start + .seconds(5))
        #expect(pauses.all.isEmpty)
        turn.check(now: Self.start + .milliseconds(10_001))
        turn.check(now: Self.start + .milliseconds(10_001))
        turn.check(now: Self.start + .milliseconds(10_002))
        #expect(pauses.all == [.milliseconds(5_001)])
        turn.check(now: Self.start + .seconds(20))
        #expect(pauses.all.count == 2)
    }

    @Test("Time that seems to go back is no pause, and does not make the next one longer")
    func backwards() {
        let pauses = Pauses()
        let turn = LoopTurn(limit: .seconds(5), start: Self.start) { pauses.note($0) }
        turn.check(now: Self.start - .seconds(60))
        turn.check(now: Self.start + .seconds(4))
        #expect(pauses.all.isEmpty)
    }

    @Test("Every loop notes the time by itself, and notices its own pause without a read")
    func timers() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let offset = Mutex(TimeAmount.zero)
        let (events, continuation) = AsyncStream.makeStream(of: TimeAmount.self)
        let watch = LoopWatch(
            interval: .milliseconds(5),
            clock: { .now() + offset.withLock { $0 } },
            onPause: { continuation.yield($0) })
        watch.start(on: group)
        defer { watch.stop() }
        offset.withLock { $0 = .minutes(1) }
        var loops = 0
        for await gap in events {
            #expect(gap >= .minutes(1))
            loops += 1
            if loops == Array(group.makeIterator()).count { break }
        }
        #expect(watch.turn(of: group.next()) != nil)
        watch.stop()
        #expect(watch.turn(of: group.next()) == nil)
    }

    @Test("The first read after a pause is told before anything in it is handled, and may close the connection")
    func beforeTheRead() throws {
        let channel = EmbeddedChannel()
        let delegate = Received()
        let pauses = Pauses()
        let box = Mutex<CoAPConnection?>(nil)
        // Long ago, so that the first read comes after a pause.
        let turn = LoopTurn(limit: .seconds(5), start: .now() - .seconds(6)) { gap in
            #expect(delegate.count == 0)
            pauses.note(gap)
            box.withLock { $0 }?.close(reason: "paused")
        }
        let ended = channel.eventLoop.makePromise(of: ConnectionEnd.self)
        let handler = ConnectionHandler(
            configuration: SharedConfiguration(ConnectionConfiguration()), limits: TransportLimits(),
            delegate: delegate, tokenSeed: 1,
            ended: ended, turn: turn, logger: ListenerBench.logger)
        try channel.pipeline.syncOperations.addHandler(handler)
        box.withLock { $0 = CoAPConnection(channel: channel, handler: handler, ended: ended.futureResult) }
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5683)).wait()
        var bytes = ByteBuffer()
        Message(code: .get, token: .empty).writeFrame(into: &bytes)
        try channel.writeInbound(bytes)
        #expect(pauses.all.count == 1)
        #expect(delegate.count == 0)
        #expect(try ended.futureResult.wait() == .closedByUs("paused"))
    }

    @Test("A timer that is the first to run after a pause writes nothing that waited before the pause is told")
    func beforeTheTimer() throws {
        let channel = EmbeddedChannel()
        let box = Mutex<CoAPConnection?>(nil)
        let turn = LoopTurn(limit: .seconds(5), start: .now() - .seconds(6)) { _ in
            box.withLock { $0 }?.withdrawQueued()
        }
        let ended = channel.eventLoop.makePromise(of: ConnectionEnd.self)
        let handler = ConnectionHandler(
            configuration: SharedConfiguration(ConnectionConfiguration(maximumInFlight: 1)), limits: TransportLimits(),
            delegate: Received(), tokenSeed: 1, ended: ended, turn: turn, logger: ListenerBench.logger)
        try channel.pipeline.syncOperations.addHandler(handler)
        let connection = CoAPConnection(channel: channel, handler: handler, ended: ended.futureResult)
        box.withLock { $0 = connection }
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5683)).wait()
        let first = NIODeadline.now() + .milliseconds(20)
        let outcomes = Mutex<[ExchangeFailure]>([])
        for deadline in [first, first + .minutes(1)] {
            connection.send(Request(.get, path: ["light"]), deadline: deadline) { result in
                if case .failure(let error) = result { outcomes.withLock { $0.append(error.failure) } }
            }
        }
        while NIODeadline.now() <= first {}
        channel.embeddedEventLoop.advanceTime(to: .now())
        #expect(outcomes.withLock { $0 } == [.closing, .timedOut])
        var written: [Code] = []
        while var bytes = try channel.readOutbound(as: ByteBuffer.self) {
            while let message = try Message(readingFrameFrom: &bytes, limits: FrameLimits()) {
                written.append(message.code)
            }
        }
        #expect(written == [.capabilitiesAndSettings, .get])
    }

    private final class Received: ConnectionDelegate, Sendable {
        private let requests = Atomic(0)
        var count: Int { self.requests.load(ordering: .relaxed) }

        func connectionOpened(_ connection: CoAPConnection) {}
        func connectionReceived(_ request: Request, id: IncomingID) { self.requests.add(1, ordering: .relaxed) }
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) {}
    }
}
