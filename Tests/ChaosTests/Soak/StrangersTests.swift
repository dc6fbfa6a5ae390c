import CoAP
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Chaos

@Suite("Who says what should not be said")
struct StrangersTests {
    private static let knowledge = StrangerHabit.Knowledge(di: "device-1", token: "token")

    @Test("What a stranger says is bounded, and the same for a seed", arguments: StrangerHabit.allCases)
    func bounded(habit: StrangerHabit) {
        for seed in 1...20 {
            var generator = SeededGenerator(seed: UInt64(seed))
            let steps = habit.steps(Self.knowledge, using: &generator)
            #expect(steps.reduce(0) { $0 + $1.bytes.readableBytes } <= 1 << 20)
            #expect(steps.reduce(TimeAmount.zero) { $0 + $1.pause } <= .seconds(30))
        }
    }

    @Test("Half a message is never a whole one")
    func halfFrame() throws {
        for seed in 1...100 {
            var generator = SeededGenerator(seed: UInt64(seed))
            var bytes = try #require(StrangerHabit.halfFrame.steps(Self.knowledge, using: &generator).first).bytes
            let limits = FrameLimits(maximumMessageSize: 1 << 20, maximumTokenLength: 65_804)
            #expect(try Message(readingFrameFrom: &bytes, limits: limits) == nil)
        }
    }

    @Test("Strangers come at their rate and by all habits, to the port their habit is for")
    func rate() async throws {
        let coap = try await Listening.start()
        let http = try await Listening.start()
        let plan = StrangersRun.Plan(
            coap: ("127.0.0.1", coap.port), http: ("127.0.0.1", http.port), rate: 400, leavings: [.close, .reset],
            seed: 7)
        let targets = TrafficTargets([.init(prefix: "device-", count: 3, token: "token")])
        let run = StrangersRun(plan, targets)
        let begun = ContinuousClock.now
        let task = Task { await run.run() }
        while run.count.habits.count < StrangerHabit.allCases.count || coap.accepted == 0 || http.accepted == 0 {
            try #require(ContinuousClock.now - begun < .seconds(30))
            try await Patience.pass(.milliseconds(10))
        }
        task.cancel()
        await task.value
        let seconds = (ContinuousClock.now - begun) / .seconds(1)
        let count = run.count
        #expect(Double(count.due) <= seconds * 400 + 1)
        #expect(count.begun == count.due)
        #expect(count.refused == 0)
        try await coap.stop()
        try await http.stop()
    }

    @Test("Where there is no room, nobody comes, and it is counted as due")
    func full() async throws {
        let server = try await Listening.start()
        let plan = StrangersRun.Plan(
            coap: ("127.0.0.1", server.port), http: ("127.0.0.1", server.port), rate: 1000, most: 3, leavings: [.stay],
            seed: 7)
        let run = StrangersRun(plan, TrafficTargets([.init(prefix: "device-", count: 3, token: "token")]))
        let begun = ContinuousClock.now
        let task = Task { await run.run() }
        while run.count.due < 100 {
            try #require(ContinuousClock.now - begun < .seconds(30))
            try await Patience.pass(.milliseconds(10))
        }
        task.cancel()
        await task.value
        #expect(run.count.begun == 3)
        try await server.stop()
    }
}

/// A server that takes everybody and says nothing.
private final class Listening: Sendable {
    let port: Int
    private let channel: any Channel
    private let count: Counter

    final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }

    private init(_ channel: any Channel, _ count: Counter) {
        self.channel = channel
        self.port = channel.localAddress?.port ?? 0
        self.count = count
    }

    static func start() async throws -> Listening {
        let count = Counter()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                count.value.add(1, ordering: .relaxed)
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return Listening(channel, count)
    }

    var accepted: Int { self.count.value.load(ordering: .relaxed) }

    func stop() async throws {
        try await self.channel.close()
    }
}
