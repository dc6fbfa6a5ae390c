import Cloud
import FoundationEssentials
import SQLStore
import Synchronization
import Testing

/// The stores every rule must hold over alike. Another database is another case here.
enum StoreKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case memory
    case sqlite
    case mariadb

    var testDescription: String { self.rawValue }
}

/// Opens a store of a kind for the time of `body`.
func withStore<R>(_ kind: StoreKind, _ body: (any CloudStore) async throws -> R) async throws -> R {
    switch kind {
    case .memory:
        return try await body(InMemoryCloudStore())
    case .sqlite:
        return try await withDirectory { directory in
            try await withSQLite(directory + "/gateway.db") { try await body($0) }
        }
    case .mariadb:
        return try await withDatabase { try await withMariaDB($0) { try await body($0) } }
    }
}

func withSQLite<R>(
    _ path: String, timeout: Duration = .seconds(20), queueLimit: Int = 1024, _ body: (SQLCloudStore) async throws -> R
) async throws -> R {
    let store = try await SQLCloudStore.open(SQLiteDriver(path: path), timeout: timeout, queueLimit: queueLimit)
    do {
        let result = try await body(store)
        await store.close()
        return result
    } catch {
        await store.close()
        throw error
    }
}

/// A directory that is gone afterwards.
func withDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let path = FileManager.default.temporaryDirectory.path + "/coap-gateway-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// A clock that stands still until it is moved.
final class ManualClock: WallClock {
    private let moment = Mutex(Timestamp(milliseconds: 1_700_000_000_000))

    func now() -> Timestamp { self.moment.withLock { $0 } }

    func advance(_ duration: Duration) { self.moment.withLock { $0 = $0 + duration } }
}

/// Shut until it is opened, for bodies that run on a store's thread and cannot await.
final class Gate: Sendable {
    private let state = Mutex(false)

    var isOpen: Bool { self.state.withLock { $0 } }

    func open() { self.state.withLock { $0 = true } }
}

/// Everything that was reported, in order, but that there are new users.
final class EventLog: Sendable {
    private let events = Mutex<[IdentityEvent]>([])

    func append(_ event: IdentityEvent) {
        if case .userBegun = event { return }
        self.events.withLock { $0.append(event) }
    }

    var all: [IdentityEvent] { self.events.withLock { $0 } }
}

/// Fails every transaction after its body ran and before it is committed, as long as it is told to.
final class FailingStore: CloudStore {
    private let base: any CloudStore
    private let failing = Mutex(false)
    private let down = Mutex(false)

    init(_ base: any CloudStore) {
        self.base = base
    }

    func fail(_ failing: Bool) { self.failing.withLock { $0 = failing } }

    /// Nothing works, not even reading.
    func takeDown(_ down: Bool) { self.down.withLock { $0 = down } }

    private func checkUp() throws(CloudError) {
        if self.down.withLock({ $0 }) { throw CloudError(.unavailable, "the store is down") }
    }

    func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.checkUp()
        return try await self.base.read(body)
    }

    func ask<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.checkUp()
        return try await self.base.ask(body)
    }

    func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.checkUp()
        let failing = self.failing.withLock { $0 }
        return try await self.base.write { transaction throws(CloudError) in
            let result = try body(transaction)
            if failing { throw CloudError(.unavailable, "the store failed at the commit") }
            return result
        }
    }
}

/// A domain over a store of a kind, with a clock to move.
struct World: Sendable {
    let store: FailingStore
    let clock = ManualClock()
    let events = EventLog()
    let configuration: IdentityConfiguration
    let uid: UserID
    let di: DeviceID

    init(_ store: any CloudStore, _ configuration: IdentityConfiguration) throws {
        self.store = FailingStore(store)
        self.configuration = configuration
        self.uid = try UserID("somebody@example.com")
        self.di = try DeviceID("f0a1b2c3-d4e5-4678-9abc-def012345678")
    }

    static func key(_ character: Character) throws -> Secret {
        try #require(Secret(String(repeating: character, count: 32)))
    }

    func identity(keys: [Character] = ["k"]) throws -> Identity {
        Identity(
            store: self.store,
            clock: self.clock,
            sealer: try ReplySealer(keys: keys.map { try Self.key($0) }),
            configuration: self.configuration,
            observer: { [events] in events.append($0) },
        )
    }

    var directory: Directory { Directory(store: self.store, clock: self.clock) }

    /// Registers a user and makes him a mediator.
    func mediator(_ uid: UserID? = nil) async throws -> Secret {
        let uid = uid ?? self.uid
        let token = try await self.identity().registerUser(uid, authProvider: "provider")
        return try await self.identity().provisionMediator(uid: uid, userToken: token)
    }

    /// A device that has signed up and not signed in.
    func signedUp(_ di: DeviceID? = nil, mediator: Secret? = nil) async throws -> Credentials {
        let di = di ?? self.di
        var token = mediator
        if token == nil { token = try await self.mediator() }
        let code = try await self.identity().provisionCode(
            kind: .device, di: di, mediatorToken: try #require(token))
        return try await self.identity().signUp(di: di, code: code, authProvider: nil)
    }

    /// How many rows there are for a user and a device, as far as they can be asked for.
    func census(_ uid: UserID? = nil, _ di: DeviceID? = nil) async throws -> [String: Int] {
        let uid = uid ?? self.uid
        let di = di ?? self.di
        return try await self.store.read { transaction throws(CloudError) in
            var rows: [String: Int] = [:]
            rows["users"] = try transaction.user(uid) == nil ? 0 : 1
            rows["device"] = try transaction.device(di) == nil ? 0 : 1
            rows["families"] = try transaction.families(of: di).count
            rows["links"] = try transaction.links(of: di).count
            rows["changes"] = try transaction.changes(after: 0, limit: 1000).count
            for kind in CredentialKind.allCases {
                rows[kind.rawValue] = try transaction.countCredentials(kind, of: uid, limit: 1000)
            }
            return rows.filter { $0.value > 0 }
        }
    }

    func changes() async throws -> [Change] {
        try await self.store.read { transaction throws(CloudError) in
            try transaction.changes(after: 0, limit: 1000)
        }
    }
}

func withWorld<R>(
    _ kind: StoreKind,
    configuration: IdentityConfiguration = IdentityConfiguration(),
    _ body: (World) async throws -> R,
) async throws -> R {
    try await withStore(kind) { try await body(try World($0, configuration)) }
}

/// Expects an error of the domain and gives it back.
@discardableResult
func expectError<R>(
    _ code: CloudError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> R
) async -> CloudError? {
    do {
        _ = try await body()
        Issue.record("no error, \(code) was expected", sourceLocation: sourceLocation)
    } catch let error as CloudError {
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        return error
    } catch {
        Issue.record("\(error), \(code) was expected", sourceLocation: sourceLocation)
    }
    return nil
}

/// A value that many may see and change.
final class Moved<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { self.state = Mutex(value) }

    var value: Value {
        get { self.state.withLock { $0 } }
        set { self.state.withLock { $0 = newValue } }
    }

    /// Changes it in one step, whoever else does.
    func change(_ body: @Sendable (inout Value) -> Void) { self.state.withLock { body(&$0) } }
}
