import CBOR
import Cloud
import CoAP
import Logging
import NIOCore
import OCF
import Registry
import SQLStore
import ServiceShell
import Synchronization
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where a test's registry keeps its things. What the registry answers must not depend on it.
enum StoreKind: String, CaseIterable, Sendable {
    case memory
    case sqlite
}

/// A clock that only tests move.
final class TestClock: WallClock {
    private let time = Mutex(Timestamp(milliseconds: 1_700_000_000_000))

    func now() -> Timestamp { self.time.withLock { $0 } }

    func advance(_ duration: Duration) {
        self.time.withLock { $0 = $0 + duration }
    }
}

/// A store that fails when it is told to.
final class FaultyStore: CloudStore {
    private let store: any CloudStore
    private let isDown = Mutex(false)

    init(_ store: any CloudStore) {
        self.store = store
    }

    func fail(_ isDown: Bool) {
        self.isDown.withLock { $0 = isDown }
    }

    private func check() throws(CloudError) {
        if self.isDown.withLock({ $0 }) { throw CloudError(.unavailable, "the store is down: try again") }
    }

    func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.check()
        return try await self.store.read(body)
    }

    func ask<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.check()
        return try await self.store.ask(body)
    }

    func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.check()
        return try await self.store.write(body)
    }
}

/// What the registry has written down for other programs.
final class KeptTokens: TokenCache {
    private let kept = Mutex<[SecretHash: (entry: CachedPrincipal, lifetime: Duration)]>([:])

    var entries: [SecretHash: (entry: CachedPrincipal, lifetime: Duration)] { self.kept.withLock { $0 } }

    func find(_ hash: SecretHash) async -> CachedPrincipal? { self.kept.withLock { $0[hash]?.entry } }

    func keep(_ entry: CachedPrincipal, for hash: SecretHash, lifetime: Duration) {
        self.kept.withLock { $0[hash] = (entry, lifetime) }
    }
}

/// A device or client that has signed up.
struct Signed: Sendable {
    let uid: UserID
    let di: DeviceID
    var tokens: Credentials
}

/// A registry at work, and everything to talk to it with.
final class Bench: Sendable {
    let clock = TestClock()
    let sink = MemorySink()
    let store: FaultyStore
    let tokenCache = KeptTokens()
    let responder: RegistryResponder
    let client: RegistryClient
    private let users = Mutex<[UserID: (user: Secret, mediator: Secret)]>([:])

    private init(
        _ store: any CloudStore, identity: IdentityConfiguration, configuration: RegistryConfiguration
    ) throws {
        self.store = FaultyStore(store)
        let key = try #require(Secret("0123456789abcdef0123456789abcdef"))
        var logger = Logger(label: "registry") { [sink] in
            LineLogHandler(label: $0, level: .trace, format: .text, sink: sink)
        }
        logger.logLevel = .trace
        let endedList = EndedList()
        self.endedList = endedList
        self.responder = RegistryResponder(
            identity: Identity(
                store: self.store, clock: self.clock, sealer: try ReplySealer(keys: [key]), configuration: identity),
            directory: Directory(store: self.store, clock: self.clock),
            configuration: configuration,
            tokenCache: self.tokenCache,
            clock: self.clock,
            accessLog: AccessLog(mode: .all, logger: logger),
            logger: logger,
            endSessions: { endedList.add($0) },
        )
        self.client = RegistryClient(self.responder)
    }

    private final class EndedList: Sendable {
        private let devices = Mutex<[DeviceID]>([])

        func add(_ gone: [DeviceID]) {
            self.devices.withLock { $0 += gone }
        }

        var all: [DeviceID] { self.devices.withLock { $0 } }
    }

    private let endedList: EndedList

    /// Whose sessions the registry has ended so far.
    var endedSessions: [DeviceID] { self.endedList.all }

    /// Runs `body` against a registry at work.
    static func run(
        _ kind: StoreKind,
        identity: IdentityConfiguration = IdentityConfiguration(),
        configuration: RegistryConfiguration = RegistryConfiguration(),
        _ body: @Sendable (Bench) async throws -> Void
    ) async throws {
        switch kind {
        case .memory:
            try await Bench(InMemoryCloudStore(), identity: identity, configuration: configuration).work(body)
        case .sqlite:
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("registry-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            let store = try await SQLCloudStore.open(SQLiteDriver(path: folder.path + "/cloud.sqlite"))
            do {
                try await Bench(store, identity: identity, configuration: configuration).work(body)
            } catch {
                await store.close()
                throw error
            }
            await store.close()
        }
    }

    private func work(_ body: @Sendable (Bench) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.responder.run() }
            let result = await Result { try await body(self) }
            group.cancelAll()
            try result.get()
        }
    }

    static let call = RegistryClient.Call(requestID: "test-1", deadline: .seconds(20))

    // MARK: Requests

    /// A request as it comes from a connection: signed in as `session`, or not.
    func send(
        _ method: Code, _ path: [String], queries: [String] = [], _ item: DataItem? = nil, as session: Signed? = nil,
        adding: (inout Options) -> Void = { _ in }
    ) async -> Response {
        var request = Request(ocf: method, path: path, queries: queries, item: item)
        request.options.sessionUser = session?.uid.text
        request.options.sessionDevice = session?.di.text
        request.options.endpoint = "coap+tcp://127.0.0.1:5683"
        request.options.requestID = "request-\(method)"
        adding(&request.options)
        return await self.responder.respond(to: request)
    }

    // MARK: States to begin from

    func user(_ name: String) async throws -> (uid: UserID, user: Secret, mediator: Secret) {
        let uid = try UserID(name)
        if let known = self.users.withLock({ $0[uid] }) { return (uid, known.user, known.mediator) }
        let user = try await self.client.registerUser(uid, authProvider: "plgd", call: Self.call)
        let mediator = try await self.client.provisionMediator(uid: uid, userToken: user, call: Self.call)
        self.users.withLock { $0[uid] = (user, mediator) }
        return (uid, user, mediator)
    }

    func code(_ di: String?, of user: String = "u-1", kind: DeviceKind = .device) async throws -> Secret {
        let mediator = try await self.user(user).mediator
        return try await self.client.provisionCode(
            kind: kind, di: try di.map { try DeviceID($0) }, mediatorToken: mediator, call: Self.call)
    }

    func signedUp(_ di: String = "d-1", of user: String = "u-1", kind: DeviceKind = .device) async throws -> Signed {
        let code = try await self.code(di, of: user, kind: kind)
        let id = try DeviceID(di)
        let tokens = try await self.client.signUp(di: id, code: code, call: Self.call)
        return Signed(uid: tokens.uid, di: id, tokens: tokens)
    }

    func signIn(_ device: Signed, with token: Secret? = nil) async -> Response {
        await self.send(
            .post, OCFPath.session,
            SessionRequest.signIn(uid: device.uid, di: device.di, accessToken: token ?? device.tokens.accessToken).item)
    }

    func publish(_ hrefs: [String], of device: Signed, ttl: Int64 = 0) async throws -> [Int] {
        let response = await self.send(
            .post, OCFPath.directory, publication(device.di.text, hrefs, ttl: DataItem(integer: ttl)), as: device)
        try #require(response.code == .changed, "\(response.diagnostic ?? "")")
        return try response.item()?["links"]?.elements?.compactMap { ($0["ins"]?.integer).map(Int.init) } ?? []
    }

    /// The hrefs a device's owner finds, with these queries.
    func discovered(by device: Signed, _ queries: [String] = []) async throws -> [String] {
        var hrefs: [String] = []
        var page: String?
        repeat {
            let response = await self.send(.get, OCFPath.discovery, queries: queries, as: device) { $0.page = page }
            try #require(response.code == .content, "\(response.diagnostic ?? "")")
            hrefs += try response.item()?.elements?.compactMap { $0["href"]?.string } ?? []
            page = response.options.page
        } while page != nil
        return hrefs
    }
}

extension Result where Failure == any Error {
    init(_ body: () async throws -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}

/// A publication of minimal links.
func publication(_ di: String, _ hrefs: [String], ttl: DataItem = 0) -> DataItem {
    ["di": .text(di), "ttl": ttl, "links": .array(hrefs.map { link($0) })]
}

func link(_ href: String, rt: [String] = ["oic.r.switch.binary"], _ more: [DataItem.Pair] = []) -> DataItem {
    .map(
        [
            .init("href", .text(href)), .init("rt", .array(rt.map { .text($0) })),
            .init("if", ["oic.if.a", "oic.if.baseline"]), .init("p", ["bm": 3]),
        ] + more)
}

/// The bytes of hexadecimal digits. Traps on anything else: tests write these.
func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = Array(hexadecimal)
    precondition(digits.count.isMultiple(of: 2), "an odd number of digits")
    return stride(from: 0, to: digits.count, by: 2).map { index in
        guard let high = digits[index].hexDigitValue, let low = digits[index + 1].hexDigitValue else {
            preconditionFailure("not a hexadecimal digit")
        }
        return UInt8(high << 4 | low)
    }
}

extension Response {
    /// What a connection would send: without the options among our programs.
    var outward: Response {
        var copy = self
        copy.options.removeInternal()
        return copy
    }

    /// That it is an error as peers expect one: a diagnostic text and no Content-Format (RFC 7252 §5.5.2).
    func expectError(_ code: Code, field: String? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(self.code == code, "\(self.diagnostic ?? "")", sourceLocation: sourceLocation)
        #expect(self.diagnostic?.isEmpty == false, sourceLocation: sourceLocation)
        #expect(!self.options.contains(.contentFormat), sourceLocation: sourceLocation)
        #expect(!self.options.contains(.ocfContentFormatVersion), sourceLocation: sourceLocation)
        if let field {
            #expect(self.options.errorField == field, sourceLocation: sourceLocation)
        }
    }

    /// That it is a success with an OCF payload, which it returns.
    @discardableResult
    func expectItem(_ code: Code, sourceLocation: SourceLocation = #_sourceLocation) throws -> DataItem {
        #expect(self.code == code, "\(self.diagnostic ?? "")", sourceLocation: sourceLocation)
        #expect(self.options.contentFormat == .ocfCBOR, sourceLocation: sourceLocation)
        return try #require(try self.item(), sourceLocation: sourceLocation)
    }
}
