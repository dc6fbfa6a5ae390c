import Cloud
import RedisStore
import TestServers
import TestSupport
import Testing

@Suite("Routes, wherever they are kept")
struct RouteStoreTests {
    @Test(
        "Each claim has a greater epoch than every one before, also from a greater floor", arguments: StoreKind.allCases
    )
    func epochs(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            var last: UInt64 = 0
            for step in 0..<10 {
                let epoch = try await bench.claim().route.epoch
                #expect(epoch > last)
                #expect(epoch < 1 << 53)
                last = epoch
                bench.clock.advance(step % 2 == 0 ? .seconds(125) : .seconds(-5))
            }
            let far = last + 3_600_000_000
            #expect(try await bench.claim(floor: far).route.epoch == far + 1)
            #expect(try await bench.claim().route.epoch == far + 2)
        }
    }

    @Test(
        "C-44, C-45: a session that lost its route to a newer one can neither mark nor drop it",
        arguments: StoreKind.allCases)
    func fenced(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            try await bench.renew("pod-1")
            try await bench.renew("pod-2")
            let old = try await bench.claim().route
            let claim = try await bench.claim("pod-2")
            #expect(claim.displaced == old)
            bench.store.mark(bench.di, pod: old.pod, epoch: old.epoch, as: .left)
            bench.store.drop(bench.di, pod: old.pod, epoch: old.epoch)
            bench.store.drop(bench.di, pod: old.pod, epoch: claim.route.epoch)
            bench.store.drop(bench.di, pod: claim.route.pod, epoch: old.epoch)
            let found = try await bench.find()
            #expect(found?.route == claim.route)
            #expect(found?.isLive == true)
            bench.store.mark(bench.di, pod: claim.route.pod, epoch: claim.route.epoch, as: .moving)
            #expect(try await bench.find()?.route.state == .moving)
            bench.store.drop(bench.di, pod: claim.route.pod, epoch: claim.route.epoch)
            #expect(try await bench.find() == nil)
        }
    }

    @Test("A device that was asked to go is waited for as long as it is known of", arguments: StoreKind.allCases)
    func asked(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            try await bench.renew()
            let route = try await bench.claim().route
            bench.store.mark(bench.di, pod: route.pod, epoch: route.epoch, as: .moving)
            #expect(try await bench.find()?.isWorthWaiting == true)
            bench.clock.advance(.seconds(5))
            bench.store.mark(bench.di, pod: route.pod, epoch: route.epoch, as: .left)
            bench.clock.advance(.seconds(45))
            #expect(try await bench.find()?.isWorthWaiting == true)
            #expect(await bench.presence() != .online(since: route.since))
            // It was there again since: what it does now has nothing to do with that.
            let again = try await bench.claim().route
            bench.clock.advance(.seconds(20))
            bench.store.mark(bench.di, pod: again.pod, epoch: again.epoch, as: .left)
            bench.clock.advance(.seconds(16))
            #expect(try await bench.find()?.isWorthWaiting == false)
        }
    }

    @Test("C-44: a device that left is known as such for 60 s, then not at all", arguments: StoreKind.allCases)
    func left(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            #expect(await bench.presence() == .offline(since: nil))
            try await bench.renew()
            let route = try await bench.claim().route
            #expect(await bench.presence() == .online(since: route.since))
            bench.store.mark(bench.di, pod: route.pod, epoch: route.epoch, as: .left)
            let left = try #require(try await bench.find())
            #expect(left.route.state == .left)
            #expect(left.isWorthWaiting)
            bench.clock.advance(.seconds(16))
            #expect(try await bench.find()?.isWorthWaiting == false)
            #expect(await bench.presence() == .offline(since: left.route.since))
            bench.clock.advance(.seconds(60))
            #expect(await bench.presence() == .offline(since: nil))
            #expect(try await bench.find() == nil)
            // What left takes nobody's place.
            let again = try await bench.claim()
            #expect(again.displaced == nil)
            #expect(again.route.epoch > route.epoch)
        }
    }

    @Test(
        "From the 6th takeover of a living session within a minute a device is contested", arguments: StoreKind.allCases
    )
    func contested(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            var counts: [Int] = []
            for step in 0..<7 { counts.append(try await bench.claim("pod-\(step % 2)").route.takeovers) }
            #expect(counts == [0, 1, 2, 3, 4, 5, 6])
            let holder = try #require(try await bench.find()).route
            #expect(try await bench.outcome("pod-1") == .contested(holder: holder))
            #expect(try await bench.outcome("pod-1", replacing: holder.epoch - 1) == .contested(holder: holder))
            let taken = try await bench.claim("pod-1", replacing: holder.epoch)
            #expect(taken.displaced == holder)
            // Which was the 7th, and so it goes on.
            #expect(try await bench.outcome("pod-0") == .contested(holder: taken.route))
            bench.clock.advance(.seconds(299))
            #expect(try await bench.outcome("pod-0") == .contested(holder: taken.route))
            bench.clock.advance(.seconds(2))
            #expect(try await bench.claim("pod-0").route.takeovers == 1)
        }
    }

    @Test("An assertion writes what is absent or older, and loses to what is newer", arguments: StoreKind.allCases)
    func assertion(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            #expect(try await bench.assert("pod-b", 1000) == .ours(displaced: nil))
            let first = try #require(try await bench.find()).route
            #expect(first.pod == Pod(name: "pod-b", address: "pod-b:8081"))
            #expect(first.epoch == 1000)
            #expect(try await bench.assert("pod-b", 1000) == .ours(displaced: nil))
            #expect(try await bench.assert("pod-c", 999) == .superseded(by: first))
            // Equal epochs: the greater name wins, whoever comes first.
            #expect(try await bench.assert("pod-a", 1000) == .superseded(by: first))
            #expect(try await bench.assert("pod-B", 1000) == .superseded(by: first))
            #expect(try await bench.assert("pod-", 1000) == .superseded(by: first))
            #expect(try await bench.assert("pod-b.x", 1000) == .ours(displaced: first))
            let second = try #require(try await bench.find()).route
            #expect(try await bench.assert("pod-a", 1001) == .ours(displaced: second))
            #expect(try await bench.claim().route.epoch > 1001)
        }
    }

    @Test(
        "A pod whose lease lapsed has no device online; waiting for it makes sense for 15 s",
        arguments: StoreKind.allCases)
    func leases(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            let first = try await bench.renew()
            #expect(first.hadLapsed)
            #expect(!first.generation.isEmpty)
            let second = try await bench.renew()
            #expect(!second.hadLapsed)
            #expect(second.generation == first.generation)
            #expect(second.connection == first.connection)
            _ = try await bench.claim()
            #expect(try await bench.find()?.isLive == true)
            bench.clock.advance(.seconds(11))
            let found = try #require(try await bench.find())
            guard case .lapsed(let span) = found.lease else { throw PeerError("\(found.lease)") }
            #expect((.milliseconds(900)...Duration.seconds(9)).contains(span))
            #expect(found.isWorthWaiting)
            #expect(await bench.presence() == .offline(since: nil))
            bench.clock.advance(.seconds(15))
            #expect(try await bench.find()?.isWorthWaiting == false)
            #expect(try await bench.renew().hadLapsed)
            #expect(try await bench.find()?.isLive == true)
            bench.store.resign(Pod(name: "pod-1"))
            let gone = try #require(try await bench.find())
            #expect(!gone.isLive && !gone.isWorthWaiting)
        }
    }

    private static let endpoints = ["coap+tcp://[::1]:5683", "coaps+tcp://two.example:5684"]

    @Test(
        "All pods with a lease are listed: sessions, whether they drain, how old they and the count are",
        arguments: StoreKind.allCases)
    func allLeases(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            #expect(try await bench.leases().isEmpty)
            try await bench.renew("pod-2", load: PodLoad(sessions: 7, age: .seconds(100), endpoints: Self.endpoints))
            bench.clock.advance(.seconds(5))
            try await bench.renew("pod-1", load: PodLoad(sessions: 3, isDraining: true, age: .seconds(20)))
            let pods = try await bench.leases()
            #expect(pods.map(\.pod) == ["pod-1", "pod-2"].map { Pod(name: $0, address: "\($0):8081") })
            #expect(pods.map(\.sessions) == [3, 7])
            #expect(pods.map(\.isDraining) == [true, false])
            #expect(pods.map(\.endpoints) == [[], Self.endpoints])
            for (pod, (age, countAge)) in zip(pods, [(20, 0), (105, 5)]) {
                // Real time goes on meanwhile.
                #expect((.seconds(age)...Duration.seconds(age + 3)).contains(pod.age), "\(pod)")
                #expect((.seconds(countAge)...Duration.seconds(countAge + 3)).contains(pod.countAge), "\(pod)")
            }
            // One that does not renew its lease is not there, one that gave it back neither.
            bench.clock.advance(.seconds(6))
            #expect(try await bench.leases().map(\.pod.name) == ["pod-1"])
            bench.store.resign(Pod(name: "pod-1"))
            #expect(try await bench.leases().isEmpty)
            try await bench.renew("pod-2")
            #expect(try await bench.leases().map(\.pod.name) == ["pod-2"])
        }
    }

    @Test("A pod that ended without a word leaves the list of pods once nothing is known of it")
    func forgottenPod() async throws {
        try await withRoutes(.redis) { bench in
            let client = try #require(bench.client)
            let pods = "\(client.configuration.keyPrefix)pods"
            try await bench.renew("pod-1")
            _ = try await client.ask(
                RedisCommand("DEL", "\(client.configuration.keyPrefix)pod:{pod-1}"), within: .seconds(60)
            ).get()
            #expect(try await bench.leases().isEmpty)
            try await eventually("it is taken out") {
                try await client.ask(RedisCommand("SMEMBERS", pods), within: .seconds(60)).get().elements?.isEmpty
                    == true
            }
        }
    }

    @Test("The lease of another pod is held, lapses, and is gone once given back", arguments: StoreKind.allCases)
    func otherLease(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            // In one process the first device may be quicker than the first renewal.
            #expect(try await bench.lease() == (kind == .memory ? .held : .gone))
            try await bench.renew()
            #expect(try await bench.lease() == .held)
            bench.clock.advance(.seconds(14))
            guard case .lapsed(let span) = try await bench.lease() else { throw PeerError("not lapsed") }
            #expect((.milliseconds(3900)...Duration.seconds(50)).contains(span))
            #expect(try await bench.renew().hadLapsed)
            #expect(try await bench.lease() == .held)
            bench.store.resign(Pod(name: "pod-1"))
            #expect(try await bench.lease() == .gone)
            #expect(try await bench.renew().hadLapsed)
            #expect(try await bench.lease() == .held)
        }
    }

    @Test(
        "Who waits for a device is told of the next claim and the next assertion, once each",
        arguments: StoreKind.allCases)
    func waiting(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            try await bench.renew()
            var heard = try await bench.listen().makeAsyncIterator()
            #expect(try await bench.wait() == nil)
            let claimed = try await bench.claim().route
            #expect(await heard.next() == claimed)
            // It is live: nobody waits, and nobody is told.
            #expect(try await bench.wait()?.route == claimed)
            let unheard = try await bench.claim().route
            bench.store.mark(bench.di, pod: unheard.pod, epoch: unheard.epoch, as: .left)
            #expect(try await bench.wait()?.route.state == .left)
            #expect(try await bench.assert("pod-1", unheard.epoch + 10) == .ours(displaced: nil))
            #expect(await heard.next()?.epoch == unheard.epoch + 10)
            // Live by its state, but its pod is silent.
            bench.clock.advance(.seconds(12))
            #expect(try await bench.wait()?.isLive == false)
            let last = try await bench.claim().route
            #expect(await heard.next() == last)
        }
    }

    @Test("Ids with braces and other odd letters have routes of their own", arguments: StoreKind.allCases)
    func oddIDs(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            let ids = [
                "}", "{", "{}", "}{", "a{b}c", "a}b", "%7D", "%257D", "é", "e\u{301}", "lamp}:wait:{lamp", "*", "\"'\\",
            ]
            var epochs: [String: UInt64] = [:]
            for id in ids { epochs[id] = try await bench.with(id).claim(id).route.epoch }
            for id in ids where id != "é" && id != "e\u{301}" {
                let found = try #require(try await bench.with(id).find()).route
                #expect(found.epoch == epochs[id])
                #expect(found.pod.name == id)
            }
            let one = try #require(try await bench.with("é").find()).route
            let other = try #require(try await bench.with("e\u{301}").find()).route
            #expect(one.epoch != other.epoch)
        }
    }

    @Test("Of many claims at once each has an epoch of its own, and the greatest stays", arguments: StoreKind.allCases)
    func atOnce(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            let epochs = try await withThrowingTaskGroup(of: [UInt64].self) { group in
                for pod in 0..<20 {
                    group.addTask {
                        var epochs: [UInt64] = []
                        for _ in 0..<10 {
                            let outcome = try await bench.outcome("pod-\(pod)")
                            switch outcome {
                            case .claimed(let claim): epochs.append(claim.route.epoch)
                            case .contested(let holder):
                                let again = try await bench.outcome("pod-\(pod)", replacing: holder.epoch)
                                if case .claimed(let claim) = again { epochs.append(claim.route.epoch) }
                            }
                        }
                        return epochs
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(epochs.count >= 7)
            #expect(Set(epochs).count == epochs.count)
            #expect(try await bench.find()?.route.epoch == epochs.max())
        }
    }

    @Test("The presence of more devices than one batch holds is told for each", arguments: StoreKind.allCases)
    func presence(_ kind: StoreKind) async throws {
        try await withRoutes(kind) { bench in
            try await bench.renew()
            let ids = (0..<1203).map { DeviceID(stored: "d\($0)") }
            for id in ids where id.text.hasSuffix("7") { _ = try await bench.with(id.text).claim() }
            let presence = await bench.store.presence(of: ids)
            #expect(presence.count == ids.count)
            for id in ids {
                if case .online? = presence[id] {
                    #expect(id.text.hasSuffix("7"))
                } else {
                    #expect(presence[id] == .offline(since: nil))
                }
            }
        }
    }
}
