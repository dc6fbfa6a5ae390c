package import Cloud
import NIOCore
import Synchronization

/// The routes of a cluster, in Redis. Every writer is one script on the keys of one device; docs/redis.md describes
/// them.
package final class RedisRouteStore: RouteStore {
    /// For how long an edge is told of a device it waits for. Longer than it waits between two looks.
    package static let waitLifetime: Duration = .seconds(25)
    /// How long a pod's lease is remembered, so that it can be told for how long it has lapsed.
    package static let podLifetime: Duration = .seconds(60)
    /// As many edges may wait for one device; others find out when they look again.
    package static let maximumEdges = 256
    /// Devices whose presence is asked for at once.
    package static let presenceBatch = 500
    /// How long the answer to a claim is listened to. Far longer than a sign-in waits for it: a claim that is carried
    /// out late takes the route from whoever has it by then, and the pod that made it has to know.
    package static let claimPatience: Duration = .seconds(15)
    /// Epochs stay below 2^53, which Lua's numbers can tell apart.
    private static let greatestEpoch: UInt64 = (1 << 53) - 2

    private let client: RedisClient
    private let keys: RedisKeys
    private let leases: RedisLeases
    private let limits: RedisLimits
    private let random: any RandomSource
    private let serverClock = Mutex(RedisServerClock())
    /// Added to the server's clock, for tests.
    private let shift: @Sendable () -> Duration

    /// - Parameter shift: added to the server's clock: for tests only.
    package init(
        client: RedisClient, random: any RandomSource = SystemRandomSource(),
        shift: @escaping @Sendable () -> Duration = { .zero }
    ) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
        self.leases = RedisLeases(client: client, keys: self.keys)
        self.limits = client.configuration.limits
        self.random = random
        self.shift = shift
    }

    // MARK: - Sessions

    package func claim(
        _ di: DeviceID, uid: UserID, pod: Pod, floor: UInt64, replacing: UInt64?,
        completion: @escaping Completion<RouteClaimOutcome>
    ) {
        let asked = NIODeadline.now()
        let latest = self.serverClock.withLock {
            $0.latest(at: asked + TimeAmount(self.limits.hurried)).map { $0 + self.shift() }
        }
        self.run(
            RedisRouteScripts.claim, keys: [self.keys.route(di.text), self.keys.waiting(di.text)],
            [
                pod.name, pod.address, uid.text, "\(min(floor, Self.greatestEpoch))", replacing.map { "\($0)" } ?? "",
                Self.milliseconds(RouteTimes.lifetime), Self.milliseconds(RouteTimes.takeoverWindow),
                "\(RouteTimes.contestedAt)", Self.milliseconds(RouteTimes.contestedFor), self.keys.edges, di.text,
                latest.map { "\($0.milliseconds)" } ?? "",
            ], within: Self.claimPatience
        ) { answer in
            let inTime = answer.flatMap { value -> Result<RedisValue, RedisError> in
                guard let words = value.elements, words.count == 2, words[0].text == "late" else {
                    return .success(value)
                }
                self.heardTime(words[1], asked: asked)
                return .failure(.late)
            }
            completion(
                inTime.unavailable { value in
                    let words = value.elements ?? []
                    switch words.first?.text {
                    case "contested"?:
                        return RedisRouteFields.route(of: di, words.dropFirst()).map { .contested(holder: $0) }
                    case "claimed"?:
                        guard words.count >= 5, let epoch = words[1].text.flatMap({ UInt64($0) }),
                            let since = words[2].text.flatMap({ Int64($0) }),
                            let takeovers = words[3].text.flatMap({ Int($0) })
                        else { return nil }
                        self.heardTime(words[2], asked: asked)
                        let route = Route(
                            di: di, uid: uid, pod: pod, epoch: epoch, state: .live,
                            since: Timestamp(milliseconds: since), takeovers: takeovers)
                        let moved = words[4].text.flatMap { Int64($0) }.map { Timestamp(milliseconds: $0) }
                        let displaced = RedisRouteFields.route(of: di, words.dropFirst(5))
                        return .claimed(
                            RouteClaim(route: route, displaced: displaced, movedAgo: moved.map { route.since - $0 }))
                    default: return nil
                    }
                })
        }
    }

    package func assert(
        _ di: DeviceID, uid: UserID, pod: Pod, epoch: UInt64, completion: @escaping Completion<RouteAssertion>
    ) {
        self.run(
            RedisRouteScripts.assert, keys: [self.keys.route(di.text), self.keys.waiting(di.text)],
            [
                pod.name, pod.address, uid.text, "\(min(epoch, Self.greatestEpoch))",
                Self.milliseconds(RouteTimes.lifetime), self.keys.edges, di.text,
            ]
        ) { answer in
            completion(
                answer.unavailable { value in
                    let words = value.elements ?? []
                    let other = RedisRouteFields.route(of: di, words.dropFirst())
                    switch words.first?.text {
                    case "ours"?: return .ours(displaced: other)
                    case "superseded"?: return other.map { .superseded(by: $0) }
                    default: return nil
                    }
                })
        }
    }

    package func mark(_ di: DeviceID, pod: Pod, epoch: UInt64, as state: Route.State) {
        let lifetime = state == .left ? RouteTimes.leftLifetime : RouteTimes.lifetime
        self.run(
            RedisRouteScripts.mark, isOrdered: true, keys: [self.keys.route(di.text)],
            [pod.name, "\(epoch)", state.rawValue, Self.milliseconds(lifetime)]
        ) { _ in
            // Lost, it is as if the connection had broken off: the lease and the table of the pod tell.
        }
    }

    package func drop(_ di: DeviceID, pod: Pod, epoch: UInt64) {
        self.run(
            RedisRouteScripts.drop, isOrdered: true, keys: [self.keys.route(di.text)], [pod.name, "\(epoch)"]
        ) { _ in
            // Lost, it is found out by asking the pod.
        }
    }

    // MARK: - Edges

    package func find(_ di: DeviceID, completion: @escaping Completion<FoundRoute?>) {
        self.look(di, edge: "", inAnyCase: false, within: self.limits.hurried) { completion($0.unavailable()) }
    }

    package func wait(for di: DeviceID, edge: String, completion: @escaping Completion<FoundRoute?>) {
        self.look(di, edge: edge, inAnyCase: false, within: self.limits.hurried) { found in
            guard case .success(let route?) = found, route.route.state == .live, !route.isLive else {
                return completion(found.unavailable())
            }
            self.look(di, edge: edge, inAnyCase: true, within: self.limits.hurried) { completion($0.unavailable()) }
        }
    }

    package func listen(as edge: String, heard: @escaping @Sendable (Route) -> Void) {
        self.client.listen(to: self.keys.edges + edge) { payload in
            if let route = RedisRouteFields.route(heard: payload) { heard(route) }
        }
    }

    package func presence(of devices: [DeviceID]) async -> [DeviceID: Presence] {
        var result: [DeviceID: Presence] = [:]
        for start in stride(from: 0, to: devices.count, by: Self.presenceBatch) {
            let batch = Array(devices[start..<min(start + Self.presenceBatch, devices.count)])
            let found: [DeviceID: Presence] = await withCheckedContinuation { continuation in
                let gathered = Gathered(count: batch.count) { continuation.resume(returning: $0) }
                for di in batch {
                    self.look(di, edge: "", inAnyCase: false, within: self.limits.unhurried) { answer in
                        switch answer {
                        case .success(let found): gathered.set(di, Presence(found))
                        case .failure: gathered.set(di, .unknown)
                        }
                    }
                }
            }
            result.merge(found) { $1 }
        }
        return result
    }

    private func look(
        _ di: DeviceID, edge: String, inAnyCase: Bool, within: Duration,
        completion: @escaping @Sendable (Result<FoundRoute?, RedisError>) -> Void
    ) {
        let deadline = self.deadline(within)
        self.run(
            RedisRouteScripts.look, keys: [self.keys.route(di.text), self.keys.waiting(di.text)],
            [edge, inAnyCase ? "1" : "", Self.milliseconds(Self.waitLifetime), "\(Self.maximumEdges)"],
            deadline: deadline
        ) { answer in
            switch answer {
            case .failure(let error): completion(.failure(error))
            case .success(let value):
                let words = value.elements ?? []
                guard let now = words.first?.text.flatMap({ Int64($0) }).map(Timestamp.init(milliseconds:)) else {
                    return completion(.failure(.unexpected("no time")))
                }
                guard let route = RedisRouteFields.route(of: di, words.dropFirst(2)) else {
                    // Not even a route of ours: the next sign-in writes over it.
                    return completion(.success(nil))
                }
                let age = now - route.since
                if route.state == .left, age >= RouteTimes.leftLifetime { return completion(.success(nil)) }
                let moved = words[1].text.flatMap { Int64($0) }.map(Timestamp.init(milliseconds:))
                let askedToGo = moved.map { route.since - $0 }
                self.leases.find(route.pod.name, now: now, deadline: deadline) { lease in
                    completion(lease.map { FoundRoute(route: route, lease: $0, age: age, askedToGo: askedToGo) })
                }
            }
        }
    }

    // MARK: - Leases

    package func renew(_ pod: Pod, load: PodLoad, completion: @escaping Completion<LeaseRenewal>) {
        let deadline = self.deadline(self.limits.unhurried)
        let script = RedisRouteScripts.renew
        let words = [
            "1", self.keys.pod(pod.name), self.shiftMicroseconds, pod.address, "\(load.sessions)",
            Self.milliseconds(RouteTimes.lease), Self.milliseconds(Self.podLifetime), load.isDraining ? "1" : "0",
            Self.milliseconds(load.age), load.endpoints.joined(separator: ","),
        ]
        let generation = self.keys.generation
        let commands = [
            // A moment before the lease, so that whoever sees the lease sees the generation too.
            RedisCommand("SET", generation, self.random.bytes(16).hexadecimal, "NX"),
            RedisCommand("GET", generation),
            // The script touches one pod's key only.
            RedisCommand("SADD", self.keys.pods, pod.name),
        ]
        // EVAL: it is one each 3 s, and keeps all of them on one connection.
        self.client.send(
            commands + [RedisCommand(["EVAL", script.text] + words)], deadline: deadline
        ) { connection, answers in
            let renewal = Result { () throws(RedisError) -> LeaseRenewal in
                _ = try answers[0].get()
                guard let generation = try answers[1].get().text, let lease = try answers[3].get().text else {
                    throw .unexpected("no generation or lease")
                }
                return LeaseRenewal(connection: connection, hadLapsed: lease == "lapsed", generation: generation)
            }
            completion(renewal.unavailable())
        }
    }

    package func lease(of pod: Pod, completion: @escaping Completion<PodLease>) {
        let deadline = self.deadline(self.limits.unhurried)
        self.client.send(RedisCommand("TIME"), deadline: deadline) { answer in
            let words = answer.map { $0.elements?.compactMap { $0.text.flatMap { Int64($0) } } ?? [] }
            switch words {
            case .failure(let error): completion(.failure(RouteStoreUnavailable(reason: "\(error)")))
            case .success(let words):
                guard words.count == 2 else {
                    return completion(.failure(RouteStoreUnavailable(reason: "Redis told no time")))
                }
                let now = Timestamp(milliseconds: words[0] * 1000 + words[1] / 1000) + self.shift()
                self.leases.find(pod.name, now: now, deadline: deadline) { completion($0.unavailable()) }
            }
        }
    }

    package func resign(_ pod: Pod) {
        self.leases.forget(pod.name)
        let deadline = self.deadline(self.limits.unhurried)
        let commands = [
            RedisCommand("DEL", self.keys.pod(pod.name)), RedisCommand("SREM", self.keys.pods, pod.name),
        ]
        self.client.send(commands, deadline: deadline) { _, _ in
            self.leases.forget(pod.name)
        }
    }

    package func leases(completion: @escaping Completion<[LeasedPod]>) {
        let shift = self.shift()
        self.leases.all(shift: shift, deadline: self.deadline(self.limits.unhurried)) { pods in
            completion(pods.unavailable())
        }
    }

    private func heardTime(_ word: RedisValue, asked: NIODeadline) {
        guard let milliseconds = word.text.flatMap({ Int64($0) }) else { return }
        let time = Timestamp(milliseconds: milliseconds) - self.shift()
        self.serverClock.withLock { $0.heard(time, asked: asked) }
    }

    // MARK: - How it is sent

    /// - Parameter isOrdered: nobody waits for the answer, so what is sent next must come after it, also when the
    ///   server does not know the script yet.
    private func run(
        _ script: RedisScript, isOrdered: Bool = false, keys: [String], _ arguments: [String],
        within: Duration? = nil, deadline: NIODeadline? = nil,
        completion: @escaping @Sendable (Result<RedisValue, RedisError>) -> Void
    ) {
        self.client.run(
            script, byText: isOrdered, keys: keys, arguments: [self.shiftMicroseconds] + arguments,
            deadline: deadline ?? self.deadline(within ?? self.limits.unhurried), completion: completion)
    }

    private var shiftMicroseconds: String { "\(self.shift().clampedMilliseconds)000" }

    private static func milliseconds(_ duration: Duration) -> String { "\(duration.clampedMilliseconds)" }

    /// A little early, since deadlines are looked at every 20 ms only.
    private func deadline(_ within: Duration) -> NIODeadline {
        .now() + TimeAmount(within) - RedisConnectionHandler.grain
    }
}

/// The presence of several devices, until all are known.
private final class Gathered: Sendable {
    private let state: Mutex<(count: Int, found: [DeviceID: Presence])>
    private let completion: @Sendable ([DeviceID: Presence]) -> Void

    init(count: Int, completion: @escaping @Sendable ([DeviceID: Presence]) -> Void) {
        self.state = Mutex((count, [:]))
        self.completion = completion
    }

    func set(_ di: DeviceID, _ presence: Presence) {
        let complete = self.state.withLock { state -> [DeviceID: Presence]? in
            state.found[di] = presence
            state.count -= 1
            return state.count == 0 ? state.found : nil
        }
        if let complete { self.completion(complete) }
    }
}

extension Result where Failure == RedisError {
    /// What the seam calls it.
    func unavailable() -> Result<Success, RouteStoreUnavailable> {
        self.mapError { RouteStoreUnavailable(reason: "\($0)") }
    }

    /// The same, with the value understood; `understand` returns nil for what it does not.
    func unavailable<Value>(
        _ understand: (Success) -> Value?
    ) -> Result<Value, RouteStoreUnavailable> {
        switch self {
        case .failure(let error): return .failure(RouteStoreUnavailable(reason: "\(error)"))
        case .success(let value):
            guard let understood = understand(value) else {
                return .failure(RouteStoreUnavailable(reason: "Redis holds what is not ours under a key of ours"))
            }
            return .success(understood)
        }
    }
}
