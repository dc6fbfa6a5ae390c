import Cloud
import RedisStore
import TestSupport
import Testing

@Suite("Answers to requests with keys, in Redis and in memory")
struct KeyedAnswerStoreTests {
    private func withStore(
        _ kind: StoreKind, _ body: @escaping (any KeyedAnswerStore) async throws -> Void
    ) async throws {
        switch kind {
        case .memory: try await body(InMemoryKeyedAnswerStore())
        case .redis: try await withRedis { try await body(RedisKeyedAnswerStore(client: $0)) }
        }
    }

    private static func principal(_ uid: String, kind: Principal.Kind = .user, di: String? = nil) -> Principal {
        Principal(kind: kind, uid: UserID(stored: uid), di: di.map { DeviceID(stored: $0) }, expiresAt: nil)
    }

    private static func request(
        _ key: String = "k", of principal: Principal = Self.principal("{alice"), _ content: String = "POST /lamp 1"
    ) -> KeyedRequest {
        KeyedRequest(key, of: principal, content: Array(content.utf8))
    }

    private static let answer = KeyedAnswer(
        status: 200,
        fields: [.init(name: "content-type", value: "application/json"), .init(name: "etag", value: "\"a: b\"")],
        body: Array(UInt8.min ... .max))

    private static func begin(
        _ store: any KeyedAnswerStore, _ request: KeyedRequest, limit: Duration = .seconds(30),
        is expected: KeyedStanding, at location: SourceLocation = #_sourceLocation
    ) async throws {
        let standing = try await store.begin(request, limit: limit)
        #expect(standing == expected, sourceLocation: location)
    }

    @Test("The first one is told from those that follow, until and after it is answered", arguments: StoreKind.allCases)
    func answered(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store in
            let request = Self.request()
            try await Self.begin(store, request, is: .first)
            try await Self.begin(store, request, is: .running)
            await store.end(request, .answered(Self.answer))
            try await Self.begin(store, request, is: .answered(Self.answer))
            let empty = KeyedAnswer(status: 204, fields: [], body: [])
            try await Self.begin(store, Self.request("2"), is: .first)
            await store.end(Self.request("2"), .answered(empty))
            try await Self.begin(store, Self.request("2"), is: .answered(empty))
        }
    }

    @Test("What nobody got is the first again; what nobody knows of never is", arguments: StoreKind.allCases)
    func ends(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store in
            try await Self.begin(store, Self.request("a"), is: .first)
            await store.end(Self.request("a"), .undelivered)
            try await Self.begin(store, Self.request("a"), is: .first)
            await store.end(Self.request("a"), .unknown)
            try await Self.begin(store, Self.request("a"), is: .unknown)
            // Whoever was to say how it ended, did not.
            try await Self.begin(store, Self.request("b"), limit: .zero, is: .first)
            try await Self.begin(store, Self.request("b"), is: .unknown)
            let large = KeyedAnswer(
                status: 200, fields: [], body: Array(repeating: 7, count: KeyedAnswerLimits.answerBytes + 1))
            try await Self.begin(store, Self.request("c"), is: .first)
            await store.end(Self.request("c"), .answered(large))
            try await Self.begin(store, Self.request("c"), is: .unknown)
        }
    }

    @Test("A key is one principal's, and stands for one request", arguments: StoreKind.allCases)
    func names(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store in
            try await Self.begin(store, Self.request(), is: .first)
            try await Self.begin(store, Self.request("k", "POST /lamp 2"), is: .different)
            for other in [
                Self.principal("bob"), Self.principal("{alice", kind: .client, di: "phone"),
                Self.principal("{alice", kind: .client, di: "tablet"),
            ] {
                try await Self.begin(store, Self.request(of: other), is: .first)
            }
            // The end of another request is not the end of this one.
            await store.end(Self.request("k", "POST /lamp 2"), .undelivered)
            try await Self.begin(store, Self.request(), is: .running)
        }
    }

    @Test("An owner's answers take no more than their room, and nobody else's", arguments: StoreKind.allCases)
    func room(_ kind: StoreKind) async throws {
        try await self.withStore(kind) { store in
            let body = [UInt8](repeating: 1, count: KeyedAnswerLimits.answerBytes - 100)
            var number = 0
            while try await store.begin(Self.request("\(number)"), limit: .seconds(30)) == .first {
                await store.end(
                    Self.request("\(number)"), .answered(KeyedAnswer(status: 200, fields: [], body: body)))
                number += 1
                try #require(number < 1000)
            }
            try await Self.begin(store, Self.request("\(number)"), is: .tooMany)
            let expected = KeyedAnswerLimits.ownerBytes / (body.count + KeyedAnswerLimits.overheadBytes)
            #expect((expected - 1...expected + 1).contains(number))
            let first = try await store.begin(Self.request("0"), limit: .seconds(30))
            #expect(first == .answered(KeyedAnswer(status: 200, fields: [], body: body)))
            try await Self.begin(store, Self.request("x", of: Self.principal("bob")), is: .first)
        }
    }

    @Test("After 10 min a key is free again, and so is its room")
    func lifetime() async throws {
        let clock = SteppedClock()
        let store = InMemoryKeyedAnswerStore(clock: clock)
        try await Self.begin(store, Self.request(), is: .first)
        await store.end(Self.request(), .answered(Self.answer))
        clock.advance(KeyedAnswerLimits.lifetime - .seconds(1))
        try await Self.begin(store, Self.request(), is: .answered(Self.answer))
        clock.advance(.seconds(1))
        try await Self.begin(store, Self.request(), is: .first)
    }

    @Test("In Redis nothing of it lives longer than 10 min, and the end of what is forgotten writes nothing")
    func expiry() async throws {
        try await withRedis { client in
            let store = RedisKeyedAnswerStore(client: client)
            try await Self.begin(store, Self.request(), is: .first)
            await store.end(Self.request(), .answered(Self.answer))
            for end in [KeyedEnd.unknown, .undelivered, .answered(Self.answer)] {
                await store.end(Self.request("never begun"), end)
            }
            let keys = try await client.ask(
                RedisCommand("KEYS", "\(client.configuration.keyPrefix)answer*"), within: .seconds(5)
            ).get()
            guard case .array(let found) = keys else { throw Unexpected() }
            #expect(found.count == 2)
            for key in found {
                let left = try await client.ask(RedisCommand("PTTL", key.text ?? ""), within: .seconds(5)).get()
                guard case .integer(let milliseconds) = left else { throw Unexpected() }
                #expect((1...KeyedAnswerLimits.lifetime.clampedMilliseconds).contains(milliseconds))
            }
        }
    }

    private struct Unexpected: Error {}
}
