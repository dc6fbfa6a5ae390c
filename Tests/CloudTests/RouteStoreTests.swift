import Cloud
import Synchronization
import Testing

@Suite("The routes of one process")
struct RouteStoreTests {
    private final class Clock: WallClock {
        private let moment = Mutex(Timestamp(milliseconds: 1_700_000_000_000))

        func now() -> Timestamp { self.moment.withLock { $0 } }

        func advance(_ duration: Duration) {
            self.moment.withLock { $0 = $0 + duration }
        }
    }

    private struct Bench {
        let clock = Clock()
        let store: InMemoryRouteStore
        let di: DeviceID
        let uid: UserID

        init() throws {
            self.store = InMemoryRouteStore(clock: self.clock)
            self.di = try DeviceID("lamp")
            self.uid = try UserID("alice")
        }

        func claim(_ pod: String = "pod-1", floor: UInt64 = 0) async throws -> RouteClaim {
            let outcome = try await withCheckedContinuation { continuation in
                self.store.claim(self.di, uid: self.uid, pod: Pod(name: pod), floor: floor, replacing: nil) {
                    continuation.resume(returning: $0)
                }
            }.get()
            guard case .claimed(let claim) = outcome else { throw RouteStoreUnavailable(reason: "\(outcome)") }
            return claim
        }

        func route() async throws -> Route? {
            try await withCheckedContinuation { continuation in
                self.store.find(self.di) { continuation.resume(returning: $0) }
            }.get()?.route
        }

        func presence() async -> Presence? { await self.store.presence(of: [self.di])[self.di] }
    }

    @Test("Each claim has a greater epoch than every one before, also when the clock stands still or goes back")
    func epochs() async throws {
        let bench = try Bench()
        var last: UInt64 = 0
        for step in 0..<10 {
            let epoch = try await bench.claim().route.epoch
            #expect(epoch > last)
            #expect(epoch < 1 << 53)
            last = epoch
            bench.clock.advance(step % 2 == 0 ? .seconds(125) : .seconds(-5))
        }
        #expect(try await bench.claim(floor: last + 100).route.epoch == last + 101)
    }

    @Test("C-44, C-45: a session that lost its route to a newer one cannot mark or drop it")
    func fenced() async throws {
        let bench = try Bench()
        let old = try await bench.claim().route
        let claim = try await bench.claim("pod-2")
        #expect(claim.displaced == old)
        bench.store.mark(bench.di, pod: old.pod, epoch: old.epoch, as: .left)
        bench.store.drop(bench.di, pod: old.pod, epoch: old.epoch)
        bench.store.drop(bench.di, pod: Pod(name: "pod-1"), epoch: claim.route.epoch)
        bench.store.drop(bench.di, pod: Pod(name: "pod-2"), epoch: old.epoch)
        #expect(try await bench.route() == claim.route)
        bench.store.drop(bench.di, pod: Pod(name: "pod-2"), epoch: claim.route.epoch)
        #expect(try await bench.route() == nil)
    }

    @Test("C-44: a device that left is known as such for 60 s, then not at all; a sign-in ends that at once")
    func left() async throws {
        let bench = try Bench()
        #expect(await bench.presence() == .offline(since: nil))
        let route = try await bench.claim().route
        #expect(await bench.presence() == .online(since: bench.clock.now()))
        bench.store.mark(bench.di, pod: route.pod, epoch: route.epoch, as: .left)
        let since = bench.clock.now()
        bench.clock.advance(.milliseconds(59_999))
        #expect(await bench.presence() == .offline(since: since))
        #expect(try await bench.route()?.state == .left)
        bench.clock.advance(.milliseconds(1))
        #expect(await bench.presence() == .offline(since: nil))
        #expect(try await bench.route() == nil)
        // What left takes nobody's place.
        let again = try await bench.claim()
        #expect(again.displaced == nil)
        #expect(again.route.epoch > route.epoch)
        #expect(await bench.presence() == .online(since: bench.clock.now()))
    }

    @Test("Takeovers of living sessions are counted over a minute")
    func takeovers() async throws {
        let bench = try Bench()
        var counts: [Int] = []
        for _ in 0..<4 {
            counts.append(try await bench.claim().route.takeovers)
            bench.clock.advance(.seconds(1))
        }
        #expect(counts == [0, 1, 2, 3])
        bench.clock.advance(.seconds(60))
        #expect(try await bench.claim().route.takeovers == 1)
    }
}
