import NIOCore
import Testing

@testable import CoAPTransport

@Suite("The queue of TLS handshakes")
struct HandshakeQueueTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static func queue(slots: Int = 2, waiting: Int = 100) -> HandshakeQueue<Int> {
        HandshakeQueue(limits: HandshakeLimits(slots: slots, waiting: waiting))
    }

    /// A queue whose one slot is taken, by 0.
    private static func taken(waiting: Int = 100) -> HandshakeQueue<Int> {
        var queue = Self.queue(slots: 1, waiting: waiting)
        _ = queue.arrived(0, resumes: false, now: Self.start)
        return queue
    }

    @Test("While a slot is free nobody waits; then everybody does, and goes on in the order they came")
    func order() {
        var queue = Self.queue()
        let now = Self.start
        #expect(queue.arrived(1, resumes: false, now: now) == .begin)
        #expect(queue.arrived(2, resumes: false, now: now) == .begin)
        for id in 3...7 { #expect(queue.arrived(id, resumes: false, now: now) == .wait) }
        let later = now + .milliseconds(3)
        #expect(queue.finished(1, now: later).begin == [.init(id: 3, wait: .milliseconds(3))])
        #expect(queue.finished(2, now: later).begin.map(\.id) == [4, 5])
        #expect(queue.finished(2, now: later).begin.map(\.id) == [6, 7])
        #expect(queue.finished(2, now: later) == .init())
        #expect(queue.arrived(8, resumes: false, now: later) == .begin)
    }

    @Test("Who has waited for 5 s is refused, whether a slot comes or time passes, and not a moment before")
    func patience() {
        var queue = Self.taken()
        _ = queue.arrived(1, resumes: false, now: Self.start)
        _ = queue.arrived(2, resumes: true, now: Self.start + .seconds(1))
        #expect(queue.deadline() == Self.start + .seconds(5))
        #expect(queue.expired(now: Self.start + .milliseconds(4999)) == [])
        let turns = queue.finished(1, now: Self.start + .seconds(5))
        #expect(turns.refuse == [1])
        #expect(turns.begin.map(\.id) == [2])
        #expect(queue.deadline() == nil)
    }

    @Test("Beyond as many as may wait nobody is taken; a place that is left is free again")
    func full() {
        var queue = Self.taken(waiting: 2)
        #expect(queue.arrived(1, resumes: false, now: Self.start) == .wait)
        #expect(queue.arrived(2, resumes: false, now: Self.start) == .wait)
        #expect(queue.arrived(3, resumes: false, now: Self.start) == .refuse)
        queue.left(1)
        #expect(queue.arrived(4, resumes: false, now: Self.start) == .wait)
        #expect(queue.finished(1, now: Self.start).begin.map(\.id) == [2])
        #expect(queue.finished(1, now: Self.start).begin.map(\.id) == [4])
    }

    @Test("Who resumes a session goes first, and every fourth slot is for somebody who does not")
    func resuming() {
        var queue = Self.taken()
        for id in 1...3 { _ = queue.arrived(id, resumes: false, now: Self.start) }
        for id in 11...17 { _ = queue.arrived(id, resumes: true, now: Self.start) }
        var order: [Int] = []
        while let next = queue.finished(1, now: Self.start).begin.first { order.append(next.id) }
        #expect(order == [11, 12, 13, 1, 14, 15, 16, 2, 17, 3])
    }

    @Test("The parts of the event loops together are the whole, and none is empty")
    func parts() {
        let limits = HandshakeLimits(slots: 8, waiting: 20_000)
        #expect(limits.divided(by: 4) == HandshakeLimits(slots: 2, waiting: 5000))
        #expect(HandshakeLimits(slots: 2).divided(by: 4).slots == 1)
    }
}
