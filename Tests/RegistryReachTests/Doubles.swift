import CBOR
import Cloud
import CoAP
import OCF
import Synchronization
import Testing

@testable import RegistryReach

/// A monotonic clock that only tests move.
final class TestClock: Sendable {
    private let moment = Mutex(ContinuousClock.now)

    var read: @Sendable () -> ContinuousClock.Instant {
        { self.moment.withLock { $0 } }
    }

    func advance(_ duration: Duration) { self.moment.withLock { $0 += duration } }
}

/// A registry that answers each request by what the test says, and keeps what it was asked.
final class ScriptedRegistry: Responder {
    typealias Rule = @Sendable (Request) -> Response?

    private struct State {
        var rule: Rule = { _ in nil }
        var requests: [Request] = []
        var held: [@Sendable (Response) -> Void] = []
    }

    private let state = Mutex(State())
    private let arrivals = AsyncStream.makeStream(of: Request.self)

    /// What the rule has no answer for is held until `release`.
    init(_ rule: @escaping Rule = { _ in nil }) {
        self.state.withLock { $0.rule = rule }
    }

    var requests: [Request] { self.state.withLock { $0.requests } }
    /// The requests that came, one after the other.
    var stream: AsyncStream<Request> { self.arrivals.stream }

    func follow(_ rule: @escaping Rule) { self.state.withLock { $0.rule = rule } }

    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let rule = self.state.withLock { state in
            state.requests.append(request)
            return state.rule
        }
        if let response = rule(request) {
            answer(response)
        } else {
            self.state.withLock { $0.held.append(answer) }
        }
        self.arrivals.continuation.yield(request)
    }

    /// Answers the oldest of those that are held.
    func release(_ response: Response) {
        let answer = self.state.withLock { $0.held.isEmpty ? nil : $0.held.removeFirst() }
        answer?(response)
    }
}

/// The cache all programs share, in this one.
final class SharedCache: TokenCache {
    private let entries = Mutex<[SecretHash: CachedPrincipal]>([:])
    private let found = Mutex(0)

    var asked: Int { self.found.withLock { $0 } }

    func find(_ hash: SecretHash) async -> CachedPrincipal? {
        self.found.withLock { $0 += 1 }
        return self.entries.withLock { $0[hash] }
    }

    func keep(_ entry: CachedPrincipal, for hash: SecretHash, lifetime: Duration) {
        self.entries.withLock { $0[hash] = entry }
    }
}

/// Collects what comes, and lets a test wait for as much as it expects.
final class Inbox<Element: Sendable>: Sendable {
    private let stream: AsyncStream<Element>
    private let continuation: AsyncStream<Element>.Continuation

    init() {
        (self.stream, self.continuation) = AsyncStream.makeStream()
    }

    var take: @Sendable (Element) -> Void {
        { self.continuation.yield($0) }
    }

    /// The next ones. Suites that wait have a time limit.
    func next(_ count: Int) async -> [Element] {
        var elements: [Element] = []
        for await element in self.stream {
            elements.append(element)
            if elements.count == count { break }
        }
        return elements
    }
}

enum Known {
    static let uid = UserID(stored: "alice")
    static let di = DeviceID(stored: "lamp")
    static let family = FamilyID(stored: "f-1")
    /// The registry's clock in these tests.
    static let time = Timestamp(milliseconds: 1_700_000_000_000)

    static func token(_ text: String = "a-token-that-must-not-be-logged") throws -> Secret {
        try #require(Secret(text))
    }

    static func recognition(
        sequence: Int64 = 10, remaining: Duration? = .seconds(6000), kind: Principal.Kind = .device,
        family: FamilyID = Self.family
    ) -> Recognition {
        let isPerson = kind == .user || kind == .mediator
        return Recognition(
            principal: Principal(
                kind: kind, uid: Self.uid, di: isPerson ? nil : Self.di, expiresAt: remaining.map { Self.time + $0 },
                family: isPerson ? nil : family),
            sequence: sequence, remaining: remaining)
    }

    static func signIn(
        _ token: Secret, uid: UserID = Known.uid, di: DeviceID = Known.di, path: [String] = OCFPath.session
    ) -> Request {
        Request(
            ocf: .post, path: path, item: SessionRequest.signIn(uid: uid, di: di, accessToken: token).item)
    }

    static func check(_ token: Secret) -> Request {
        var request = Request(ocf: .post, path: RegistryProtocol.tokens, item: TokenHolder(token).item)
        request.options.caller = "northbound"
        return request
    }

    static func change(_ sequence: Int64, _ kind: Change.Kind, _ subject: String) -> Change {
        Change(sequence: sequence, kind: kind, subject: subject, at: Self.time)
    }

    /// What a registry that knows of this answers.
    static func answer(_ known: Recognition, _ request: Request) -> Response {
        TokenQuestion(request)?.answer(known) ?? Response(.unauthorized, diagnostic: "the token is unknown")
    }
}

extension IdentityCache {
    /// A cache that follows changes from a sequence on.
    static func following(
        _ clock: TestClock, from sequence: Int64 = 10, capacity: Int = 100, rememberedChanges: Int = 100
    ) -> IdentityCache {
        let cache = IdentityCache(capacity: capacity, rememberedChanges: rememberedChanges, clock: clock.read)
        cache.begin(at: sequence)
        cache.heard(registryTime: Known.time)
        return cache
    }
}
