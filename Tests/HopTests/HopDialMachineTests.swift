import Hop
import NIOCore
import Testing

@Suite("When a connection between programs is opened: the rules")
struct HopDialMachineTests {
    private static let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let fresh = HopDialMachine(firstBackOff: .milliseconds(250), longestBackOff: .seconds(2))

    @Test("The first request dials, those behind it wait, and once it is open all are sent")
    func opens() {
        var machine = Self.fresh
        #expect(machine.request(now: Self.now) == .dial)
        #expect(machine.request(now: Self.now) == .wait)
        machine.opened()
        #expect(machine.request(now: Self.now) == .send)
        machine.ended()
        #expect(machine.request(now: Self.now) == .dial)
    }

    @Test("After a failure requests are refused, for longer each time up to the longest, and an opening forgets that")
    func backsOff() {
        var machine = Self.fresh
        var now = Self.now
        for milliseconds: Int64 in [250, 500, 1000, 2000, 2000, 2000] {
            #expect(machine.request(now: now) == .dial)
            machine.failed(jitter: 1, now: now)
            #expect(machine.request(now: now + .milliseconds(milliseconds - 1)) == .refuse)
            now = now + .milliseconds(milliseconds)
        }
        #expect(machine.request(now: now) == .dial)
        machine.opened()
        machine.ended()
        _ = machine.request(now: now)
        machine.failed(jitter: 0.5, now: now)
        #expect(machine.request(now: now + .milliseconds(125)) == .dial)
    }

    @Test("A connection that ends while another is opened changes nothing, and only what is closed may be forgotten")
    func late() {
        var machine = Self.fresh
        #expect(machine.isForgettable(now: Self.now))
        _ = machine.request(now: Self.now)
        machine.ended()
        #expect(machine.request(now: Self.now) == .wait)
        #expect(!machine.isForgettable(now: Self.now))
        machine.failed(jitter: 1, now: Self.now)
        #expect(!machine.isForgettable(now: Self.now + .seconds(1)))
        #expect(machine.isForgettable(now: Self.now + .seconds(5)))
    }
}
