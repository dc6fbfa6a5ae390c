import Cloud
import RedisStore
import TestSupport
import Testing

@Suite("What resources last said, in Redis and in memory")
struct StateStoreTests {
    private func withStore(
        _ kind: StoreKind, _ body: @escaping (any StateStore, SteppedClock) async throws -> Void
    ) async throws {
        let clock = SteppedClock()
        switch kind {
        case .memory: try await body(InMemoryStateStore(clock: clock), clock)
        case .redis:
            try await withRedis { try await body(RedisStateStore(client: $0, shift: { clock.shift }), clock) }
        }
    }

    private static let di = DeviceID(stored: "a}device{")

    private static func keep(_ state: StoredState, _ store: any StateStore, _ resource: StoredResource) async {
        await withCheckedContinuation { continuation in
            store.keep(state, of: resource) {
                #expect($0)
                continuation.resume()
            }
        }
    }

    /// What is stored, as it was given: without the time that went by.
    private static func expect(
        _ wanted: StoredState?, _ store: any StateStore, _ resource: StoredResource,
        at location: SourceLocation = #_sourceLocation
    ) async throws {
        var found = try await store.state(of: resource)
        found?.age = .zero
        #expect(found == wanted, sourceLocation: location)
    }

    private static func resource(_ path: String..., queries: [String] = []) -> StoredResource {
        StoredResource(di: Self.di, path: path, queries: queries)
    }

    private static func state(
        _ payload: [UInt8], format: UInt16? = 10_000, age: Duration = .zero, epoch: UInt64 = 1, _ number: UInt64 = 1
    ) -> StoredState {
        StoredState(
            uid: UserID(stored: "álice"), payload: payload, contentFormat: format, age: age,
            order: StateOrder(epoch: epoch, number: number))
    }

    @Test("What was kept last is what is read, byte for byte, each interface for itself", arguments: StoreKind.allCases)
    func lastOne(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, _ in
            try await Self.expect(nil, store, Self.resource("light"))
            let first = Self.state([1])
            let second = Self.state(Array(UInt8.min ... .max), format: nil, 2)
            await Self.keep(first, store, Self.resource("light"))
            await Self.keep(second, store, Self.resource("light"))
            await Self.keep(first, store, Self.resource("light", queries: ["if=oic.if.b"]))
            try await Self.expect(second, store, Self.resource("light"))
            try await Self.expect(first, store, Self.resource("light", queries: ["if=oic.if.b"]))
            try await Self.expect(nil, store, Self.resource("light", "1"))
            store.forget(Self.di)
            try await Self.expect(nil, store, Self.resource("light"))
        }
    }

    @Test(
        "What comes late never takes the place of what is newer: by session, then by what the pod heard first",
        arguments: StoreKind.allCases)
    func order(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, _ in
            let light = Self.resource("light")
            // Of a size that a number of Lua holds, but not its usual text.
            let epoch: UInt64 = 1_790_000_000_000_001
            let newest = Self.state([3], epoch: epoch, 2)
            await Self.keep(newest, store, light)
            await Self.keep(Self.state([1], epoch: epoch - 1, 900), store, light)
            await Self.keep(Self.state([2], epoch: epoch, 1), store, light)
            try await Self.expect(newest, store, light)
            // The same once more, as a pod gives it that does not know whether it was kept.
            await Self.keep(newest, store, light)
            let next = Self.state([4], epoch: epoch + 1, 1)
            await Self.keep(next, store, light)
            try await Self.expect(next, store, light)
        }
    }

    @Test(
        "The age of a state goes by the clock of the store, whatever that of a pod says", arguments: StoreKind.allCases)
    func age(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, clock in
            let light = Self.resource("light")
            await Self.keep(Self.state([1], age: .seconds(5)), store, light)
            clock.advance(.seconds(100))
            let state = try await store.state(of: light)
            let age = try #require(state?.age)
            #expect(age >= .seconds(105) && age < .seconds(165), "\(age)")
        }
    }

    @Test(
        "One resource more than a device may have takes the place of the one that said nothing for longest",
        arguments: StoreKind.allCases)
    func resources(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, clock in
            let state = Self.state([1])
            for number in 0..<StoredStateLimits.perDevice {
                await Self.keep(state, store, Self.resource("r", "\(number)"))
                clock.advance(.seconds(1))
            }
            await Self.keep(state, store, Self.resource("r", "0"))
            await Self.keep(state, store, Self.resource("one more"))
            try await Self.expect(state, store, Self.resource("r", "0"))
            try await Self.expect(nil, store, Self.resource("r", "1"))
            try await Self.expect(state, store, Self.resource("r", "2"))
            try await Self.expect(state, store, Self.resource("one more"))
        }
    }

    @Test("Too large a state and one of an earlier week are not kept", arguments: StoreKind.allCases)
    func bounds(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, clock in
            let state = Self.state([1])
            await Self.keep(state, store, Self.resource("light"))
            let large = Self.state(Array(repeating: 0, count: StoredStateLimits.payloadBytes + 1), 2)
            await Self.keep(large, store, Self.resource("light"))
            try await Self.expect(state, store, Self.resource("light"))
            let key = String(repeating: "k", count: StoredStateLimits.keyBytes)
            await Self.keep(state, store, Self.resource(key))
            try await Self.expect(nil, store, Self.resource(key))
            clock.advance(StoredStateLimits.age + .seconds(60))
            try await Self.expect(nil, store, Self.resource("light"))
        }
    }

    @Test("In memory there is a bound to all of them: who said nothing for longest is forgotten")
    func memory() async throws {
        let clock = SteppedClock()
        let store = InMemoryStateStore(clock: clock, maximumBytes: 200_000)
        let payload = [UInt8](repeating: 7, count: 10_000)
        for number in 0..<100 {
            let resource = StoredResource(di: DeviceID(stored: "d\(number)"), path: ["light"], queries: [])
            await Self.keep(Self.state(payload), store, resource)
            #expect(store.bytes <= 200_000)
            let kept = try await store.state(of: resource)
            #expect(kept != nil)
        }
        let first = StoredResource(di: DeviceID(stored: "d0"), path: ["light"], queries: [])
        let forgotten = try await store.state(of: first)
        #expect(forgotten == nil)
    }

    @Test("No two resources have the same key, whatever their names are made of")
    func keys() {
        let paths: [([String], [String])] = [
            (["a", "b"], []), (["a/b"], []), (["a%2Fb"], []), (["a?b"], []), (["a"], ["b"]), (["a"], ["b", "c"]),
            (["a"], ["b&c"]), (["a", ""], []), ([""], ["a"]), ([], []),
        ]
        let keys = paths.map { StoredResource(di: Self.di, path: $0.0, queries: $0.1).key }
        #expect(Set(keys).count == keys.count, "\(keys)")
    }
}
