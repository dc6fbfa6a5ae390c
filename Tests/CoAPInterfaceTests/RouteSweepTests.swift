import Cloud
import NIOCore
import Testing

@testable import CoAPInterface

@Suite("When which route is asserted")
struct RouteSweepTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let tick = TimeAmount.milliseconds(100)

    private static func entry(_ number: Int) throws -> RouteSweep.Entry {
        RouteSweep.Entry(di: try DeviceID("device-\(number)"), epoch: UInt64(number))
    }

    private static func renewal(
        connection: UInt64 = 1, hadLapsed: Bool = false, generation: String = "g"
    ) -> LeaseRenewal {
        LeaseRenewal(connection: connection, hadLapsed: hadLapsed, generation: generation)
    }

    /// A sweep in its steady state, with so many sessions.
    private static func steady(_ sessions: Int) throws -> RouteSweep {
        var sweep = RouteSweep()
        for number in 0..<sessions { sweep.entered(try self.entry(number), isWritten: true) }
        _ = sweep.tick(now: self.start)
        _ = sweep.renewed(self.renewal())
        return sweep
    }

    @Test("Each route comes up once in 10 min, evenly", arguments: [3, 1200, 20_000])
    func evenly(sessions: Int) throws {
        var sweep = try Self.steady(sessions)
        var seen: [RouteSweep.Entry: Int] = [:]
        var perSecond: [Int] = []
        var now = Self.start
        for _ in 0..<600 {
            var number = 0
            for _ in 0..<10 {
                now = now + Self.tick
                let work = sweep.tick(now: now)
                #expect(work.urgent.isEmpty)
                if work.renews { #expect(sweep.renewed(Self.renewal()) == false) }
                for entry in work.regular {
                    seen[entry, default: 0] += 1
                    sweep.requeue(entry)
                    sweep.answered()
                }
                number += work.regular.count
            }
            perSecond.append(number)
        }
        let even = Double(sessions) / 600
        #expect(perSecond.allSatisfy { abs(Double($0) - even) <= 1 })
        // The one at the seam of two rounds may miss this one by a tick, or come twice.
        #expect(seen.count >= sessions - 1)
        #expect(seen.values.allSatisfy { $0 <= 2 })
        #expect(abs(seen.values.reduce(0, +) - sessions) <= 1)
    }

    @Test("All come up, newest first and at most 2,000 in a second, when the store may have forgotten some")
    func burst() throws {
        var sweep = try Self.steady(5000)
        var entries: [RouteSweep.Entry] = []
        for number in 0..<5000 { entries.append(try Self.entry(number)) }
        sweep.assertAll(entries.shuffled())
        var given: [UInt64] = []
        var now = Self.start
        for second in 1...3 {
            var number = 0
            for _ in 0..<10 {
                now = now + Self.tick
                let work = sweep.tick(now: now)
                if work.renews { _ = sweep.renewed(Self.renewal()) }
                number += work.urgent.count
                given += work.urgent.map(\.epoch)
                for _ in work.urgent { sweep.answered() }
            }
            #expect(number <= RouteSweep.rate, "second \(second)")
        }
        #expect(given == (0..<5000).reversed().map(UInt64.init))
        #expect(!sweep.isUrgent)
    }

    @Test("A process that slept does not make up for it at once")
    func sleeper() throws {
        var sweep = try Self.steady(6000)
        let work = sweep.tick(now: Self.start + .minutes(5))
        #expect(work.regular.count <= 10)
    }

    @Test("A new connection, a lapsed lease and another generation call for all routes, nothing else does")
    func triggers() {
        var sweep = RouteSweep()
        #expect(sweep.renewed(Self.renewal(hadLapsed: true)) == true)
        #expect(sweep.renewed(Self.renewal()) == false)
        #expect(sweep.renewed(Self.renewal(connection: 2)) == true)
        #expect(sweep.renewed(Self.renewal(connection: 2)) == false)
        #expect(sweep.renewed(Self.renewal(connection: 2, generation: "h")) == true)
        #expect(sweep.renewed(Self.renewal(connection: 2, hadLapsed: true, generation: "h")) == true)
        #expect(sweep.renewed(Self.renewal(connection: 2, generation: "h")) == false)
    }

    @Test("The lease is renewed every 3 s; a renewal without an answer by then counts as a store that is silent")
    func renewals() {
        var sweep = RouteSweep()
        #expect(sweep.tick(now: Self.start) == .init(renews: true))
        #expect(sweep.tick(now: Self.start + .seconds(2)) == .init())
        _ = sweep.renewed(Self.renewal())
        #expect(sweep.tick(now: Self.start + .seconds(3)) == .init(renews: true))
        #expect(sweep.tick(now: Self.start + .seconds(6)) == .init(renews: true, isStoreSilent: true))
        #expect(!sweep.isReachable)
    }

    @Test("A renewal that fails is tried again soon: a pod without a lease is sent nothing")
    func failedRenewal() {
        var sweep = RouteSweep()
        #expect(sweep.tick(now: Self.start).renews == true)
        sweep.renewalFailed(now: Self.start)
        #expect(sweep.tick(now: Self.start + .milliseconds(200)).renews == false)
        #expect(sweep.tick(now: Self.start + .milliseconds(250)) == .init(renews: true))
    }

    @Test("What got no answer, or began without the store, is asserted once the store answers again, newest first")
    func again() throws {
        var sweep = try Self.steady(10)
        sweep.assertAll([try Self.entry(4)])
        #expect(sweep.tick(now: Self.start + .seconds(1)).urgent == [try Self.entry(4)])
        sweep.unanswered(try Self.entry(4))
        sweep.entered(try Self.entry(11), isWritten: false)
        // Nothing is asked of a store that does not answer.
        #expect(sweep.tick(now: Self.start + .seconds(2)).urgent.isEmpty)
        #expect(sweep.tick(now: Self.start + .seconds(3)) == .init(renews: true))
        #expect(sweep.renewed(Self.renewal()) == false)
        #expect(sweep.tick(now: Self.start + .seconds(4)).urgent == [try Self.entry(11), try Self.entry(4)])
        #expect(!sweep.isUrgent)
    }

    @Test("More failures than are remembered one by one call for all routes")
    func manyFailures() throws {
        var sweep = try Self.steady(0)
        for number in 0...RouteSweep.maximumFailed { sweep.retry(try Self.entry(number)) }
        #expect(sweep.renewed(Self.renewal()) == true)
        #expect(sweep.renewed(Self.renewal()) == false)
    }

    @Test("While the store is slow no more are under way than may be")
    func underWay() throws {
        var sweep = try Self.steady(0)
        var entries: [RouteSweep.Entry] = []
        for number in 0..<5000 { entries.append(try Self.entry(number)) }
        sweep.assertAll(entries)
        var given = 0
        for tick in 1...20 {
            let work = sweep.tick(now: Self.start + .milliseconds(Int64(tick) * 100))
            given += work.urgent.count
        }
        #expect(given == RouteSweep.maximumUnderWay)
        #expect(sweep.startsNow() == false)
        sweep.answered()
        #expect(sweep.startsNow() == true)
    }

    @Test("Sessions that are over leave the regular round when it is mostly made of them")
    func shrinking() throws {
        var sweep = try Self.steady(2000)
        #expect(!sweep.isOvergrown(sessions: 1000))
        #expect(sweep.isOvergrown(sessions: 10))
        sweep.shrink { $0.epoch < 10 }
        #expect(sweep.count == 10)
    }
}
