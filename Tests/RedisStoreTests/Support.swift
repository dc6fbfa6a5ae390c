import Cloud
import Foundation
import Logging
import NIOCore
import NIOPosix
import RedisStore
import Synchronization
import TestServers
import TestSupport
import Testing

let quiet: Logger = {
    var logger = Logger(label: "tests")
    logger.logLevel = .critical
    return logger
}()

extension RedisLimits {
    /// Answers that come late because the machine is busy are waited for.
    static var patient: RedisLimits {
        var limits = RedisLimits()
        limits.opening = .seconds(60)
        limits.stall = .seconds(60)
        limits.giveUp = .seconds(120)
        limits.hurried = .seconds(60)
        limits.unhurried = .seconds(60)
        return limits
    }
}

/// Runs `body` with a client of the server, or of the one for all tests.
func withRedis<Value: Sendable>(
    _ server: RedisServer? = nil, port: Int? = nil, connected: Bool = true,
    _ change: (inout RedisConfiguration) -> Void = { _ in }, _ body: @escaping (RedisClient) async throws -> Value
) async throws -> Value {
    let common = server == nil && port == nil ? try await RedisServer.shared() : nil
    var configuration = RedisConfiguration(
        port: port ?? server?.port ?? common?.port ?? 0, keyPrefix: "\(UUID().uuidString.prefix(8)):")
    configuration.limits = .patient
    change(&configuration)
    let client = RedisClient(configuration, group: MultiThreadedEventLoopGroup.singleton, logger: quiet)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await client.run() }
        defer { group.cancelAll() }
        if connected { try await eventually("connected: \(client.health)") { client.isConnected } }
        return try await body(client)
    }
}

/// The machine's clock, and what a test adds to it.
final class SteppedClock: WallClock {
    private let passed = Mutex(Duration.zero)

    func now() -> Timestamp { SystemWallClock().now() + self.shift }
    var shift: Duration { self.passed.withLock { $0 } }

    func advance(_ duration: Duration) {
        self.passed.withLock { $0 += duration }
    }
}

enum StoreKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case memory, redis

    var testDescription: String { self.rawValue }
}

/// A store of routes, with calls that wait.
struct RouteBench: Sendable {
    let clock: SteppedClock
    let store: any RouteStore
    let client: RedisClient?
    let di: DeviceID
    let uid = UserID(stored: "alice")

    func with(_ di: String) -> RouteBench {
        RouteBench(clock: self.clock, store: self.store, client: self.client, di: DeviceID(stored: di))
    }

    func outcome(
        _ pod: String, floor: UInt64 = 0, replacing: UInt64? = nil
    ) async throws -> RouteClaimOutcome {
        try await withCheckedContinuation { continuation in
            self.store.claim(
                self.di, uid: self.uid, pod: Pod(name: pod, address: "\(pod):8081"), floor: floor, replacing: replacing
            ) { continuation.resume(returning: $0) }
        }.get()
    }

    func claim(_ pod: String = "pod-1", floor: UInt64 = 0, replacing: UInt64? = nil) async throws -> RouteClaim {
        let outcome = try await self.outcome(pod, floor: floor, replacing: replacing)
        guard case .claimed(let claim) = outcome else { throw PeerError("\(outcome)") }
        return claim
    }

    func assert(_ pod: String, _ epoch: UInt64) async throws -> RouteAssertion {
        try await withCheckedContinuation { continuation in
            self.store.assert(self.di, uid: self.uid, pod: Pod(name: pod, address: "\(pod):8081"), epoch: epoch) {
                continuation.resume(returning: $0)
            }
        }.get()
    }

    func find() async throws -> FoundRoute? {
        try await withCheckedContinuation { continuation in
            self.store.find(self.di) { continuation.resume(returning: $0) }
        }.get()
    }

    func wait(_ edge: String = "edge-1") async throws -> FoundRoute? {
        try await withCheckedContinuation { continuation in
            self.store.wait(for: self.di, edge: edge) { continuation.resume(returning: $0) }
        }.get()
    }

    @discardableResult
    func renew(
        _ pod: String = "pod-1", load: PodLoad = PodLoad(sessions: 1)
    ) async throws -> LeaseRenewal {
        try await withCheckedContinuation { continuation in
            self.store.renew(Pod(name: pod, address: "\(pod):8081"), load: load) { continuation.resume(returning: $0) }
        }.get()
    }

    /// What arrives, once it can.
    func listen(_ edge: String = "edge-1") async throws -> AsyncStream<Route> {
        let (stream, continuation) = AsyncStream.makeStream(of: Route.self)
        self.store.listen(as: edge) { continuation.yield($0) }
        if let client = self.client {
            try await eventually("subscribed") { try await client.listeners("edge:\(edge)") > 0 }
        }
        return stream
    }

    func lease(_ pod: String = "pod-1") async throws -> PodLease {
        try await withCheckedContinuation { continuation in
            self.store.lease(of: Pod(name: pod, address: "\(pod):8081")) { continuation.resume(returning: $0) }
        }.get()
    }

    func leases() async throws -> [LeasedPod] {
        try await withCheckedContinuation { continuation in
            self.store.leases { continuation.resume(returning: $0) }
        }.get()
    }

    func presence() async -> Presence? { await self.store.presence(of: [self.di])[self.di] }
}

extension RedisClient {
    func listeners(_ channel: String) async throws -> Int64 {
        let command = RedisCommand("PUBSUB", "NUMSUB", self.configuration.keyPrefix + channel)
        guard case .integer(let count)? = try await self.ask(command, within: .seconds(60)).get().elements?.last else {
            throw PeerError("no count")
        }
        return count
    }
}

func withRoutes<Value: Sendable>(
    _ kind: StoreKind, server: RedisServer? = nil, limits: RedisLimits = .patient,
    _ body: @escaping (RouteBench) async throws -> Value
) async throws -> Value {
    let clock = SteppedClock()
    let di = DeviceID(stored: "lamp")
    switch kind {
    case .memory:
        return try await body(
            RouteBench(clock: clock, store: InMemoryRouteStore(clock: clock), client: nil, di: di))
    case .redis:
        return try await withRedis(server) {
            $0.limits = limits
        } _: { client in
            let store = RedisRouteStore(client: client) { clock.shift }
            return try await body(RouteBench(clock: clock, store: store, client: client, di: di))
        }
    }
}

extension EventHistory {
    /// What there is behind an id, from the oldest on if it is none.
    func events(of uid: UserID, after id: String? = nil, limit: Int = 100) async throws -> [LoggedEvent] {
        try await self.read(of: uid, after: id.flatMap { EventLogID($0) } ?? .start, limit: limit).events
    }
}
