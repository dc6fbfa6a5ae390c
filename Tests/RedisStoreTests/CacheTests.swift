import Cloud
import NIOCore
import RedisStore
import Synchronization
import TestServers
import TestSupport
import Testing

@Suite("What else is kept in Redis or in memory: tokens, events, nudges")
struct CacheTests {
    private func withTokens(_ kind: StoreKind, _ body: @escaping (any TokenCache) async throws -> Void) async throws {
        switch kind {
        case .memory: try await body(InMemoryTokenCache(capacity: 20))
        case .redis: try await withRedis { try await body(RedisTokenCache(client: $0)) }
        }
    }

    private func withEvents(
        _ kind: StoreKind, _ body: @escaping (any EventHistory, SteppedClock) async throws -> Void
    ) async throws {
        let clock = SteppedClock()
        switch kind {
        case .memory: try await body(InMemoryEventLog(clock: clock), clock)
        case .redis: try await withRedis { try await body(RedisEventLog(client: $0, clock: clock), clock) }
        }
    }

    private static let entries: [CachedPrincipal] = [
        CachedPrincipal(
            principal: Principal(kind: .user, uid: UserID(stored: "alice"), di: nil, expiresAt: nil), sequence: 0),
        CachedPrincipal(
            principal: Principal(
                kind: .device, uid: UserID(stored: "bób{}"), di: DeviceID(stored: "d}{1"),
                expiresAt: Timestamp(milliseconds: 1_900_000_000_123), family: FamilyID(stored: "00ff")),
            sequence: .max),
        CachedPrincipal(
            principal: Principal(kind: .client, uid: UserID(stored: "c"), di: DeviceID(stored: "e"), expiresAt: nil),
            sequence: 7),
        CachedPrincipal(
            principal: Principal(kind: .mediator, uid: UserID(stored: "m"), di: nil, expiresAt: nil), sequence: 1),
    ]

    @Test("What is kept under a token's hash is found under it, and nothing else is", arguments: StoreKind.allCases)
    func tokens(_ kind: StoreKind) async throws {
        try await self.withTokens(kind) { cache in
            #expect(await cache.find(SecretHash(of: "nobody")) == nil)
            for (index, entry) in Self.entries.enumerated() {
                cache.keep(entry, for: SecretHash(of: "token-\(index)"), lifetime: .seconds(60))
            }
            for (index, entry) in Self.entries.enumerated() {
                #expect(await cache.find(SecretHash(of: "token-\(index)")) == entry)
            }
            cache.keep(Self.entries[0], for: SecretHash(of: "over"), lifetime: .zero)
            #expect(await cache.find(SecretHash(of: "over")) == nil)
        }
    }

    @Test("No token is a key, a value or an argument, and none stays longer than 10 min")
    func tokensAreHashed() async throws {
        try await withRedis { client in
            let cache = RedisTokenCache(client: client)
            let secret = Secret(random: SystemRandomSource())
            cache.keep(Self.entries[1], for: secret.hash, lifetime: .seconds(86_400))
            let hash = secret.hash.bytes.map { $0 < 16 ? "0\(String($0, radix: 16))" : String($0, radix: 16) }.joined()
            let key = "\(client.configuration.keyPrefix)token:\(hash)"
            let kept = try await client.ask(RedisCommand("GET", key), within: .seconds(60)).get()
            #expect(kept.text?.contains(secret.reveal()) == false)
            guard case .integer(let rest) = try await client.ask(RedisCommand("PTTL", key), within: .seconds(60)).get()
            else { throw PeerError("no lifetime") }
            #expect((500_000...600_000).contains(rest))
            // What is not ours is not understood.
            _ = try await client.ask(RedisCommand("SET", key, "2\nx"), within: .seconds(60)).get()
            #expect(await cache.find(secret.hash) == nil)
        }
    }

    @Test("A cache in memory keeps its bound, and forgets who was asked for longest ago")
    func bound() async {
        let cache = InMemoryTokenCache(capacity: 10)
        for index in 0..<10 { cache.keep(Self.entries[0], for: SecretHash(of: "\(index)"), lifetime: .seconds(60)) }
        _ = await cache.find(SecretHash(of: "0"))
        cache.keep(Self.entries[0], for: SecretHash(of: "10"), lifetime: .seconds(60))
        #expect(await cache.find(SecretHash(of: "0")) != nil)
        #expect(await cache.find(SecretHash(of: "1")) == nil)
        #expect(await cache.find(SecretHash(of: "10")) != nil)
    }

    private static var fiveEvents: [OwnerEvent] {
        (0..<5).map { (index: Int) -> OwnerEvent in
            let kind: OwnerEvent.Kind = index.isMultiple(of: 2) ? .tokenReuse : .deviceContested
            let di: DeviceID? = index == 0 ? nil : DeviceID(stored: "d\(index)")
            let at = Timestamp(milliseconds: Int64(index))
            return OwnerEvent(kind: kind, di: di, at: at, text: "what happened, \(index)\n")
        }
    }

    @Test(
        "Events of each owner come in order, from behind an id on, and not older than 7 days",
        arguments: StoreKind.allCases)
    func events(_ kind: StoreKind) async throws {
        try await self.withEvents(kind) { log, clock in
            let (alice, bob) = (UserID(stored: "alice"), UserID(stored: "b{}ob"))
            #expect(try await log.events(of: alice, after: nil, limit: 10) == [])
            let events = Self.fiveEvents
            for event in events { log.append(event, of: alice) }
            log.append(events[4], of: bob)
            let all = try await log.events(of: alice, after: nil, limit: 10)
            #expect(all.map(\.event) == events)
            #expect(try await log.events(of: bob, after: nil, limit: 10).map(\.event) == [events[4]])
            #expect(try await log.events(of: alice, after: nil, limit: 2) == Array(all[..<2]))
            #expect(try await log.events(of: alice, after: all[1].id, limit: 2) == Array(all[2..<4]))
            #expect(try await log.events(of: alice, after: all[4].id, limit: 2) == [])
            // What is no id of ours counts as none.
            #expect(try await log.events(of: alice, after: "*", limit: 10) == all)
            clock.advance(.seconds(8 * 24 * 3600))
            #expect(try await log.events(of: alice, after: nil, limit: 10) == [])
        }
    }

    @Test("A log has about 1,000 events of an owner at most, the newest", arguments: StoreKind.allCases)
    func manyEvents(_ kind: StoreKind) async throws {
        try await self.withEvents(kind) { log, _ in
            let alice = UserID(stored: "alice")
            for index in 0..<2500 {
                let event = OwnerEvent(
                    kind: .tokenReuse, di: nil, at: Timestamp(milliseconds: Int64(index)),
                    text: String(repeating: "é", count: 400))
                log.append(event, of: alice)
            }
            var all: [LoggedEvent] = []
            while true {
                let more = try await log.events(of: alice, after: all.last?.id, limit: 300)
                if more.isEmpty { break }
                all += more
            }
            #expect((1000...1200).contains(all.count))
            #expect(all.last?.event.at == Timestamp(milliseconds: 2499))
            #expect(all.allSatisfy { $0.event.text.utf8.count == 512 })
        }
    }

    @Test(
        "A log is read on and on, by several at once, without hole or double, and a hole is noticed",
        arguments: StoreKind.allCases)
    func history(_ kind: StoreKind) async throws {
        try await self.withEvents(kind) { log, _ in
            let (alice, bob) = (UserID(stored: "alice"), UserID(stored: "bob"))
            let start = try await log.last(of: alice)
            #expect(try await log.read(of: alice, after: start, limit: 9) == .init(events: [], gap: false, last: start))
            func append(_ number: Int64, to uid: UserID) {
                log.append(
                    OwnerEvent(kind: .deviceSignedIn, di: nil, at: Timestamp(milliseconds: number), text: ""), of: uid)
            }
            for number in 0..<25 { append(Int64(number), to: alice) }
            append(99, to: bob)
            var place = start
            var read: [LoggedEvent] = []
            while true {
                let page = try await log.read(of: alice, after: place, limit: 10)
                #expect(!page.gap)
                read += page.events
                if page.last == place { break }
                place = page.last
            }
            #expect(read.map(\.event.at.milliseconds) == Array(0..<25))
            #expect(read.compactMap { EventLogID($0.id)?.number } == Array(1...25))
            #expect(try await log.last(of: alice) == place)
            // A place of no log of ours is a gap, and goes on at the end.
            for stranger in [
                EventLogID(milliseconds: place.milliseconds + 9, number: 26),
                EventLogID(milliseconds: place.milliseconds, number: 26),
            ] {
                let page = try await log.read(of: alice, after: stranger, limit: 10)
                #expect(page == EventPage(events: [], gap: true, last: place))
            }
            // As after a failover to a replica that did not have the last ones yet.
            let page = try await log.read(of: alice, after: EventLogID(milliseconds: 1, number: 1), limit: 1)
            #expect(page.gap && page.events == [read[0]])
            let largest = EventLogID(milliseconds: 1, number: .max)
            #expect(try await log.read(of: alice, after: largest, limit: 1) == page)
        }
    }

    @Test("What was trimmed is a gap, and a user who is forgotten leaves nothing behind", arguments: StoreKind.allCases)
    func trimmed(_ kind: StoreKind) async throws {
        try await self.withEvents(kind) { log, _ in
            let alice = UserID(stored: "alice")
            let event = OwnerEvent(kind: .deviceDeleted, di: nil, at: Timestamp(milliseconds: 0), text: "")
            log.append(event, of: alice)
            let early = try await log.last(of: alice)
            for _ in 0..<1500 { log.append(event, of: alice) }
            let page = try await log.read(of: alice, after: early, limit: 10)
            #expect(page.gap)
            #expect(page.events.count == 10)
            #expect(try await !log.read(of: alice, after: page.last, limit: 10).gap)
            let late = try await log.last(of: alice)
            log.forget(alice)
            #expect(try await log.events(of: alice, after: nil, limit: 10).isEmpty)
            log.append(event, of: alice)
            let next = try await log.read(of: alice, after: late, limit: 10)
            #expect(next.gap)
        }
    }

    @Test("Of too many owners the one without news for longest is forgotten")
    func owners() async throws {
        let clock = SteppedClock()
        let log = InMemoryEventLog(clock: clock, perOwner: 2, maximumOwners: 3)
        for index in 0..<4 {
            clock.advance(.seconds(1))
            for _ in 0..<3 {
                let event = OwnerEvent(kind: .tokenReuse, di: nil, at: clock.now(), text: "")
                log.append(event, of: UserID(stored: "\(index)"))
            }
        }
        #expect(try await log.events(of: UserID(stored: "0"), after: nil, limit: 9).isEmpty)
        for index in 1..<4 {
            #expect(try await log.events(of: UserID(stored: "\(index)"), after: nil, limit: 9).count == 2)
        }
        // How many events he had is not forgotten: who has read them all has missed nothing, others have.
        let forgotten = UserID(stored: "0")
        let last = try await log.last(of: forgotten)
        #expect(last.number == 3)
        #expect(try await !log.read(of: forgotten, after: last, limit: 9).gap)
        #expect(try await log.read(of: forgotten, after: EventLogID(milliseconds: 0, number: 2), limit: 9).gap)
        let stranger = UserID(stored: "stranger")
        let start = try await log.last(of: stranger)
        #expect(try await !log.read(of: stranger, after: start, limit: 9).gap)
        #expect(try await log.read(of: stranger, after: .start, limit: 9).gap)
    }

    @Test("A nudge reaches who listens, and who begins to listen anew is told at once", arguments: StoreKind.allCases)
    func nudges(_ kind: StoreKind) async throws {
        let heard = Mutex(0)
        let body: @Sendable (any Nudge) async throws -> Void = { nudge in
            nudge.listen(to: .changes) { heard.withLock { $0 += 1 } }
            if kind == .redis { try await eventually("subscribed") { heard.withLock { $0 } == 1 } }
            let before = heard.withLock { $0 }
            nudge.nudge(.changes)
            try await eventually("nudged") { heard.withLock { $0 } == before + 1 }
        }
        switch kind {
        case .memory: try await body(InProcessNudge())
        case .redis: try await withRedis { try await body(RedisNudge(client: $0)) }
        }
    }
}
