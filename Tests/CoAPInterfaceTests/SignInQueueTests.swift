import NIOCore
import Testing

@testable import CoAPInterface

@Suite("The queue of sign-ins")
struct SignInQueueTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// A queue whose one slot is taken.
    private static func taken(waiting: Int = 100) -> SignInQueue {
        var queue = SignInQueue(limits: .init(concurrent: 1, waiting: waiting))
        _ = queue.begins()
        return queue
    }

    private static func wait(
        _ queue: inout SignInQueue, isKnown: Bool = false, turnedAway: Int = 0, at now: NIODeadline
    ) -> SignInQueue.ID? {
        if case .wait(let id, nil) = queue.arrived(isKnown: isKnown, turnedAway: turnedAway, now: now) {
            id
        } else {
            nil
        }
    }

    @Test("While a slot is free nobody waits; then in the order they came, those who are known first")
    func order() throws {
        var queue = SignInQueue(limits: .init(concurrent: 2))
        let now = Self.start
        #expect(queue.arrived(isKnown: false, now: now) == .begin)
        #expect(queue.begins() == true)
        #expect(queue.begins() == false)
        let first = try #require(Self.wait(&queue, at: now))
        let second = try #require(Self.wait(&queue, at: now))
        let known = try #require(Self.wait(&queue, isKnown: true, at: now))
        let later = now + .milliseconds(20)
        #expect(queue.wait(now: later) == .milliseconds(20))
        #expect(queue.finished(now: later).begin == [.init(id: known, wait: .milliseconds(20))])
        #expect(queue.finished(now: later).begin.map(\.id) == [first])
        #expect(queue.finished(now: later).begin.map(\.id) == [second])
        #expect(queue.wait(now: later) == .zero)
        #expect(queue.finished(now: later) == .init())
    }

    @Test("What is 1.5 s old is answered unprocessed, known or not, whether a slot comes or time passes")
    func age() throws {
        var queue = Self.taken()
        let first = try #require(Self.wait(&queue, at: Self.start))
        let known = try #require(Self.wait(&queue, isKnown: true, at: Self.start))
        let young = try #require(Self.wait(&queue, at: Self.start + .milliseconds(100)))
        #expect(queue.late(now: Self.start + .milliseconds(1499)) == [])
        #expect(queue.late(now: Self.start + .milliseconds(1500)) == [known, first])
        let turns = queue.finished(now: Self.start + .milliseconds(1600))
        #expect(turns.late == [young])
        #expect(turns.begin == [])
        #expect(queue.begins() == true)
    }

    @Test("Who was turned away may wait twice as long each time, up to 12 s, as it does itself, and goes first")
    func turnedAway() throws {
        var queue = Self.taken()
        let ids = try (0...4).map { try #require(Self.wait(&queue, turnedAway: $0, at: Self.start)) }
        for (milliseconds, late) in [(1499, []), (1500, [0]), (2999, []), (3000, [1]), (6000, [2]), (11_999, [])] {
            #expect(queue.late(now: Self.start + .milliseconds(Int64(milliseconds))) == late.map { ids[$0] })
        }
        #expect(Set(queue.late(now: Self.start + .milliseconds(12_000))) == Set(ids[3...]))

        let now = Self.start + .seconds(20)
        let first = try #require(Self.wait(&queue, at: now))
        let twice = try #require(Self.wait(&queue, turnedAway: 2, at: now))
        let once = try #require(Self.wait(&queue, turnedAway: 1, at: now))
        let known = try #require(Self.wait(&queue, isKnown: true, at: now))
        let order = (0..<4).flatMap { _ in queue.finished(now: now).begin.map(\.id) }
        #expect(order == [known, twice, once, first])
    }

    @Test("When the wait stays above 500 ms for 100 ms the newest goes first, until it is below again")
    func newestFirst() throws {
        var queue = Self.taken()
        var ids: [SignInQueue.ID] = []
        for step in 0..<8 {
            ids.append(try #require(Self.wait(&queue, at: Self.start + .milliseconds(Int64(step) * 70))))
        }
        // 510 ms: above, but not for long enough.
        #expect(queue.finished(now: Self.start + .milliseconds(510)).begin.map(\.id) == [ids[0]])
        _ = queue.late(now: Self.start + .milliseconds(600))
        #expect(!queue.isNewestFirst)
        #expect(queue.finished(now: Self.start + .milliseconds(700)).begin.map(\.id) == [ids[7]])
        #expect(queue.isNewestFirst)
        #expect(queue.finished(now: Self.start + .milliseconds(720)).begin.map(\.id) == [ids[6]])
        // The old ones among them are answered, and those who come now are in order again.
        #expect(queue.late(now: Self.start + .milliseconds(1910)) == Array(ids[1...5]))
        let next = try #require(Self.wait(&queue, at: Self.start + .milliseconds(1920)))
        _ = try #require(Self.wait(&queue, at: Self.start + .milliseconds(1930)))
        #expect(!queue.isNewestFirst)
        #expect(queue.finished(now: Self.start + .milliseconds(1940)).begin.map(\.id) == [next])
    }

    @Test("Of more than may wait the oldest that is not known gives way, and a known one only if all are")
    func full() throws {
        var queue = Self.taken(waiting: 2)
        let known = try #require(Self.wait(&queue, isKnown: true, at: Self.start))
        let other = try #require(Self.wait(&queue, at: Self.start))
        guard case .wait(_, late: other) = queue.arrived(isKnown: true, now: Self.start) else {
            Issue.record("the other one stays")
            return
        }
        guard case .wait(_, late: known) = queue.arrived(isKnown: false, now: Self.start) else {
            Issue.record("the known one stays")
            return
        }
        #expect(queue.waitingCount == 2)
    }

    @Test("Whatever comes, everybody who waited is begun or answered exactly once, and slots are never exceeded")
    func exactlyOnce() {
        var generator = SystemRandomNumberGenerator()
        var queue = SignInQueue(limits: .init(concurrent: 3, waiting: 20))
        var now = Self.start
        var running = 0
        var waiting: Set<SignInQueue.ID> = []
        func take(_ turns: SignInQueue.Turns) {
            for id in turns.begin.map(\.id) + turns.late { #expect(waiting.remove(id) != nil) }
            running += turns.begin.count
            #expect(running <= 3)
        }
        for _ in 0..<20_000 {
            now = now + .milliseconds(.random(in: 0...60, using: &generator))
            switch Int.random(in: 0..<5, using: &generator) {
            case 0...2:
                let turnedAway = Int.random(in: 0...5, using: &generator)
                switch queue.arrived(isKnown: .random(using: &generator), turnedAway: turnedAway, now: now) {
                case .begin: running += 1
                case .wait(let id, let late):
                    waiting.insert(id)
                    if let late { #expect(waiting.remove(late) != nil) }
                }
            case 3 where running > 0:
                running -= 1
                take(queue.finished(now: now))
            default:
                take(.init(late: queue.late(now: now)))
            }
            #expect(queue.waitingCount == waiting.count)
            if running < 3 { #expect(waiting.isEmpty) }
        }
    }
}
