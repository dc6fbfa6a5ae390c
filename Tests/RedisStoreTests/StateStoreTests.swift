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
        case .redis: try await withRedis { try await body(RedisStateStore(client: $0, clock: clock), clock) }
        }
    }

    private static let di = DeviceID(stored: "a}device{")

    private static func expect(
        _ wanted: StoredState?, _ store: any StateStore, _ resource: StoredResource,
        at location: SourceLocation = #_sourceLocation
    ) async throws {
        // Nobody is told when it is written: the first script a server does not know takes two turns.
        try await eventually("\(location): \(String(describing: wanted))") {
            let found = try await store.state(of: resource)
            return found == wanted
        }
    }

    private static func resource(_ path: String..., queries: [String] = []) -> StoredResource {
        StoredResource(di: Self.di, path: path, queries: queries)
    }

    private static func state(_ payload: [UInt8], at: Timestamp, format: UInt16? = 10_000) -> StoredState {
        StoredState(uid: UserID(stored: "álice"), payload: payload, contentFormat: format, at: at)
    }

    @Test("What was kept last is what is read, byte for byte, each interface for itself", arguments: StoreKind.allCases)
    func lastOne(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, clock in
            try await Self.expect(nil, store, Self.resource("light"))
            let bytes = Array(UInt8.min ... .max)
            let first = Self.state([1], at: clock.now())
            let second = Self.state(bytes, at: clock.now(), format: nil)
            store.keep(first, of: Self.resource("light"))
            store.keep(second, of: Self.resource("light"))
            store.keep(first, of: Self.resource("light", queries: ["if=oic.if.b"]))
            try await Self.expect(second, store, Self.resource("light"))
            try await Self.expect(first, store, Self.resource("light", queries: ["if=oic.if.b"]))
            try await Self.expect(nil, store, Self.resource("light", "1"))
            store.forget(Self.di)
            try await Self.expect(nil, store, Self.resource("light"))
        }
    }

    @Test(
        "More resources than a device may have, too large a state and an old one are not kept",
        arguments: StoreKind.allCases)
    func bounds(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store, clock in
            let state = Self.state([1], at: clock.now())
            for number in 0...StoredStateLimits.perDevice {
                store.keep(state, of: Self.resource("r", "\(number)"))
            }
            try await Self.expect(state, store, Self.resource("r", "\(StoredStateLimits.perDevice - 1)"))
            try await Self.expect(nil, store, Self.resource("r", "\(StoredStateLimits.perDevice)"))
            let large = Self.state(Array(repeating: 0, count: StoredStateLimits.payloadBytes + 1), at: clock.now())
            store.keep(large, of: Self.resource("r", "0"))
            try await Self.expect(state, store, Self.resource("r", "0"))
            clock.advance(StoredStateLimits.age + .seconds(60))
            try await Self.expect(nil, store, Self.resource("r", "0"))
        }
    }

    @Test("In memory there is a bound to all of them: who said nothing for longest is forgotten")
    func memory() async throws {
        let clock = SteppedClock()
        let store = InMemoryStateStore(clock: clock, maximumBytes: 200_000)
        let payload = [UInt8](repeating: 7, count: 10_000)
        for number in 0..<100 {
            let resource = StoredResource(di: DeviceID(stored: "d\(number)"), path: ["light"], queries: [])
            store.keep(Self.state(payload, at: clock.now()), of: resource)
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
