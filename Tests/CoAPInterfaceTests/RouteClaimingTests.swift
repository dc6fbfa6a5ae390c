import Cloud
import NIOCore
import Testing

@testable import CoAPInterface

@Suite("The way of a sign-in to its epoch")
struct RouteClaimingTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let limit = start + .milliseconds(500)
    private static let here = Pod(name: "a.1")
    private static let there = Pod(name: "b.1", address: "10.0.0.2:8081")

    private static func route(_ epoch: UInt64, in pod: Pod) throws -> Route {
        Route(
            di: try DeviceID("lamp"), uid: try UserID("alice"), pod: pod, epoch: epoch, state: .live,
            since: Timestamp(milliseconds: 0))
    }

    private static func claim(displaced: Route? = nil) throws -> RouteClaim {
        RouteClaim(route: try self.route(9, in: self.here), displaced: displaced)
    }

    private static func started() -> RouteClaiming {
        var machine = RouteClaiming(pod: self.here)
        #expect(machine.start(now: self.start) == .claim(replacing: nil, until: self.limit))
        return machine
    }

    @Test("A device nobody has begins at once, and so does one of this pod")
    func nobody() throws {
        for displaced in [nil, try Self.route(8, in: Self.here)] {
            var machine = Self.started()
            let claim = try Self.claim(displaced: displaced)
            #expect(machine.claimed(.success(.claimed(claim)), now: Self.start) == .begin(claim))
            #expect(machine.deadlineReached(now: Self.limit) == .nothing)
        }
    }

    @Test("A store that fails or says nothing for 500 ms keeps no session from beginning")
    func unwritten() {
        var failing = Self.started()
        #expect(failing.claimed(.failure(.init(reason: "gone")), now: Self.start) == .beginUnwritten)
        var silent = Self.started()
        #expect(silent.deadlineReached(now: Self.limit - .nanoseconds(1)) == .nothing)
        #expect(silent.deadlineReached(now: Self.limit) == .beginUnwritten)
        #expect(silent.deadlineReached(now: Self.limit) == .nothing)
    }

    @Test("An answer that comes after the session began without it is not lost")
    func late() throws {
        var machine = Self.started()
        _ = machine.deadlineReached(now: Self.limit)
        let claim = try Self.claim()
        #expect(machine.claimed(.success(.claimed(claim)), now: Self.limit) == .late(claim))
        var failed = Self.started()
        _ = failed.deadlineReached(now: Self.limit)
        #expect(failed.claimed(.failure(.init(reason: "late")), now: Self.limit) == .nothing)
    }

    @Test("The displaced pod is waited for, but no longer than what is left of the 500 ms")
    func notice() throws {
        let displaced = try Self.route(8, in: Self.there)
        let claim = try Self.claim(displaced: displaced)
        var machine = Self.started()
        #expect(
            machine.claimed(.success(.claimed(claim)), now: Self.start + .milliseconds(300))
                == .notify(claim, displaced: displaced, until: Self.limit))
        var acknowledged = machine
        #expect(acknowledged.acknowledged() == .begin(claim))
        #expect(acknowledged.acknowledged() == .nothing)
        #expect(acknowledged.deadlineReached(now: Self.limit) == .nothing)
        #expect(machine.deadlineReached(now: Self.limit) == .begin(claim))
        #expect(machine.acknowledged() == .nothing)
    }

    @Test("A contested device whose holder answers stays with it; so it does when nobody can say")
    func contestedAlive() throws {
        let holder = try Self.route(8, in: Self.there)
        for result in [RouteClaiming.Holder.alive, .unknown] {
            var machine = Self.started()
            #expect(
                machine.claimed(.success(.contested(holder: holder)), now: Self.start)
                    == .probe(holder: holder, until: Self.start + .seconds(5)))
            #expect(machine.probed(result, now: Self.start + .seconds(4)) == .refuse(holder: holder))
        }
        var silent = Self.started()
        _ = silent.claimed(.success(.contested(holder: holder)), now: Self.start)
        #expect(silent.deadlineReached(now: Self.start + .seconds(5)) == .refuse(holder: holder))
    }

    @Test("A contested device whose holder is dead is taken from it, and only from it")
    func contestedDead() throws {
        let holder = try Self.route(8, in: Self.there)
        var machine = Self.started()
        _ = machine.claimed(.success(.contested(holder: holder)), now: Self.start)
        let later = Self.start + .seconds(4)
        #expect(machine.probed(.dead, now: later) == .claim(replacing: 8, until: later + .milliseconds(500)))
        var admitted = machine
        let claim = try Self.claim()
        #expect(admitted.claimed(.success(.claimed(claim)), now: later) == .begin(claim))
        // Somebody else was faster.
        let other = try Self.route(10, in: Self.there)
        #expect(machine.claimed(.success(.contested(holder: other)), now: later) == .refuse(holder: other))
    }
}

@Suite("Which displaced pods have to acknowledge")
struct TakeoverNoticesTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let pod = Pod(name: "b.1")

    private static func notice(_ epoch: UInt64 = 9, _ di: String = "lamp") throws -> TakeoverNotice {
        TakeoverNotice(di: try DeviceID(di), epoch: epoch, pod: "a.1")
    }

    @Test("A notice is repeated with back-off until it is acknowledged")
    func repeats() throws {
        var notices = TakeoverNotices()
        let delivery = try #require(notices.add(try Self.notice(), to: Self.pod, now: Self.start))
        #expect(notices.due(now: Self.start + .seconds(20)) == .init())
        var now = Self.start
        for pause in [100, 200, 400, 800, 1600, 2000, 2000] {
            #expect(notices.answered(delivery, isAcknowledged: false, now: now) == .waits)
            #expect(notices.due(now: now + .milliseconds(Int64(pause) - 1)) == .init())
            now = now + .milliseconds(Int64(pause))
            #expect(notices.due(now: now) == .init(send: [delivery]))
            // Not a second time while its answer is awaited.
            #expect(notices.due(now: now) == .init())
        }
        #expect(notices.answered(delivery, isAcknowledged: true, now: now) == .acknowledged)
        #expect(notices.count == 0)
    }

    @Test("It is given up after 30 s, or when the lease of its pod is over")
    func givenUp() throws {
        var notices = TakeoverNotices()
        let delivery = try #require(notices.add(try Self.notice(), to: Self.pod, now: Self.start))
        #expect(notices.due(now: Self.start + .seconds(30)) == .init(expired: [delivery.key]))
        #expect(notices.answered(delivery, isAcknowledged: true, now: Self.start) == .stale)
        for lease in [PodLease.gone, .lapsed(for: .zero)] {
            _ = notices.add(delivery.notice, to: Self.pod, now: Self.start)
            #expect(notices.heard(.held, for: delivery) == .waits)
            #expect(notices.heard(lease, for: delivery) == .podGone)
        }
        #expect(notices.count == 0)
    }

    @Test("A newer notice of the same device takes the place of the one before; there is a bound to all of them")
    func bounds() throws {
        var notices = TakeoverNotices()
        let old = try #require(notices.add(try Self.notice(9), to: Self.pod, now: Self.start))
        let new = try #require(notices.add(try Self.notice(11), to: Self.pod, now: Self.start))
        #expect(notices.count == 1)
        #expect(notices.answered(old, isAcknowledged: true, now: Self.start) == .stale)
        #expect(notices.answered(new, isAcknowledged: true, now: Self.start) == .acknowledged)
        for number in 0..<TakeoverNotices.maximum {
            #expect(notices.add(try Self.notice(1, "d\(number)"), to: Self.pod, now: Self.start) != nil)
        }
        #expect(notices.add(try Self.notice(1, "one-more"), to: Self.pod, now: Self.start) == nil)
    }
}

@Suite("Epochs without the store, and rights that were taken away")
struct EpochTests {
    private struct FixedClock: WallClock {
        let milliseconds: Int64
        func now() -> Timestamp { Timestamp(milliseconds: self.milliseconds) }
    }

    @Test("An epoch is the clock's microsecond, and always greater than every one seen")
    func minting() {
        let epochs = EpochSource(clock: FixedClock(milliseconds: 1_000))
        #expect(epochs.mint() == 1_000_000)
        #expect(epochs.mint() == 1_000_001)
        epochs.observe(5_000_000)
        epochs.observe(4_000_000)
        #expect(epochs.floor == 5_000_000)
        #expect(epochs.mint() == 5_000_001)
    }

    @Test("A clock that is far ahead does not use the epochs up", arguments: [Int64.max, 9_007_199_254_741, -5])
    func wrongClock(milliseconds: Int64) {
        let epochs = EpochSource(clock: FixedClock(milliseconds: milliseconds))
        #expect(epochs.mint() < 1 << 53)
    }

    @Test("A change hits sign-ins that were granted before it, and none that was granted knowing of it")
    func revocations() throws {
        var revocations = Revocations()
        let session = Session(
            di: try DeviceID("lamp"), uid: try UserID("alice"), kind: .device, family: FamilyID(stored: "f"),
            sequence: 10, epoch: 1, expiresAt: nil)
        let asked = revocations.revision
        revocations.add(.family(FamilyID(stored: "g")), sequence: 12)
        #expect(!revocations.hit(session, askedAt: asked))
        revocations.add(.family(FamilyID(stored: "f")), sequence: 10)
        #expect(!revocations.hit(session, askedAt: asked))
        revocations.add(.family(FamilyID(stored: "f")), sequence: 11)
        #expect(revocations.hit(session, askedAt: asked))
        #expect(!revocations.hit(session, askedAt: revocations.revision))
        revocations.add(.user(session.uid), sequence: nil)
        #expect(revocations.hit(session, askedAt: revocations.revision - 1))
        // What is forgotten counts as taken from everybody who asked before.
        let before = revocations.revision
        for number in 0...Revocations.maximum {
            revocations.add(.device(DeviceID(stored: "d\(number)")), sequence: nil)
        }
        #expect(revocations.hit(session, askedAt: before))
    }
}
