import Cloud
import CoAP
import Synchronization
import Testing

@testable import CoAPInterface

@Suite("Who is told that links of an owner may have changed")
struct LinksWatchTests {
    private final class Calls: Sendable {
        private let number = Atomic<Int>(0)
        var count: Int { self.number.load(ordering: .relaxed) }
        func add() { self.number.wrappingAdd(1, ordering: .relaxed) }
    }

    /// An event log that can be out of reach.
    private final class MoodyLog: EventHistory {
        let log: InMemoryEventLog
        private let down = Atomic<Bool>(false)
        private let reads = Atomic<Int>(0)

        init(clock: any WallClock) { self.log = InMemoryEventLog(clock: clock) }

        /// How often events were read.
        var readCount: Int { self.reads.load(ordering: .relaxed) }
        func setDown(_ isDown: Bool) { self.down.store(isDown, ordering: .relaxed) }
        func append(_ event: OwnerEvent, of uid: UserID) { self.log.append(event, of: uid) }
        func forget(_ uid: UserID) { self.log.forget(uid) }

        func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID {
            if self.down.load(ordering: .relaxed) { throw RouteStoreUnavailable(reason: "down") }
            return try await self.log.last(of: uid)
        }

        func read(
            of uid: UserID, after place: EventLogID, limit: Int
        ) async throws(RouteStoreUnavailable) -> EventPage {
            self.reads.add(1, ordering: .relaxed)
            if self.down.load(ordering: .relaxed) { throw RouteStoreUnavailable(reason: "down") }
            return try await self.log.read(of: uid, after: place, limit: limit)
        }
    }

    private static func event(_ kind: OwnerEvent.Kind) -> OwnerEvent {
        OwnerEvent(kind: kind, di: nil, at: Timestamp(milliseconds: 0), text: "")
    }

    @Test("What changes links of the owner is told, also what came just before the first look; nothing else is")
    func told() async throws {
        let log = MoodyLog(clock: SteppingClock())
        let watch = LinksWatch(events: log)
        var follower = EventFollower(log)
        let (alice, bob) = (try UserID("alice"), try UserID("bob"))
        for _ in 0..<EventLogLimits.perOwner { log.append(Self.event(.linksPublished), of: alice) }
        let calls = Calls()
        let handle = try #require(watch.subscribe(to: alice) { calls.add() })
        await watch.look(&follower, log)
        #expect(calls.count == 1)
        // What is old is nobody's news.
        #expect(log.readCount == 0)
        await watch.look(&follower, log)
        #expect(calls.count == 1)
        let news: [OwnerEvent.Kind] = [.linksPublished, .linksChanged, .linksUnpublished, .deviceDeleted]
        for (index, kind) in news.enumerated() {
            log.append(Self.event(kind), of: alice)
            await watch.look(&follower, log)
            #expect(calls.count == 2 + index)
        }
        for kind in [OwnerEvent.Kind.deviceSignedIn, .deviceSignedOut, .tokenReuse, .deviceContested] {
            log.append(Self.event(kind), of: alice)
        }
        log.append(Self.event(.linksPublished), of: bob)
        await watch.look(&follower, log)
        #expect(calls.count == 5)
        watch.changed(bob)
        #expect(calls.count == 5)
        watch.changed(alice)
        #expect(calls.count == 6)
        handle.cancel()
        handle.cancel()
        #expect(watch.count == 0)
        log.append(Self.event(.linksPublished), of: alice)
        await watch.look(&follower, log)
        watch.changed(alice)
        #expect(calls.count == 6)
    }

    @Test("What may have been missed while the log could not be read is told when it can be read again")
    func outage() async throws {
        let log = MoodyLog(clock: SteppingClock())
        let watch = LinksWatch(events: log)
        var follower = EventFollower(log)
        let alice = try UserID("alice")
        let calls = Calls()
        let handle = try #require(watch.subscribe(to: alice) { calls.add() })
        await watch.look(&follower, log)
        #expect(calls.count == 1)
        log.setDown(true)
        await watch.look(&follower, log)
        #expect(calls.count == 1)
        log.setDown(false)
        await watch.look(&follower, log)
        #expect(calls.count == 2)
        await watch.look(&follower, log)
        #expect(calls.count == 2)
        handle.cancel()
    }

    @Test("BI-26: so many owners and subscribers, and no more; who leaves makes room")
    func bounded() throws {
        let watch = LinksWatch(events: nil)
        var handles = try (0..<LinksWatch.maximumOwners).map { number in
            try #require(watch.subscribe(to: UserID("u\(number)")) {})
        }
        #expect(watch.subscribe(to: try UserID("more")) {} == nil)
        let first = try UserID("u0")
        while handles.count < LinksWatch.maximumSubscribers {
            handles.append(try #require(watch.subscribe(to: first) {}))
        }
        #expect(watch.subscribe(to: first) {} == nil)
        handles[1].cancel()
        #expect(watch.subscribe(to: try UserID("more")) {} != nil)
    }
}
