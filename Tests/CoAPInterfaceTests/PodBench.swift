import CBOR
import Cloud
import CoAP
import CoAPTransport
import Edge
import Logging
import NIOCore
import NIOPosix
import ServiceShell
import Synchronization
import TestSupport

@testable import CoAPInterface

/// Grants each sign-in at once, to the device it names.
struct OpenRegistry: Responder {
    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let item = request.payload.flatMap { try? DataItem(decoding: $0) }
        var response = Response(.changed)
        response.options.sessionDevice = item?["di"]?.string
        response.options.sessionUser = item?["uid"]?.string
        response.options.sessionKind = "device"
        response.options.sessionFamily = item?["accesstoken"]?.string
        answer(response)
    }
}

/// A clock that goes on by a millisecond with each look, and as far as it is told to.
final class SteppingClock: WallClock {
    private let milliseconds = Mutex<Int64>(1_700_000_000_000)

    func now() -> Timestamp {
        Timestamp(
            milliseconds: self.milliseconds.withLock { time in
                time += 1
                return time
            })
    }

    func advance(by duration: Duration) {
        self.milliseconds.withLock { $0 += duration.clampedMilliseconds }
    }
}

/// Takes requests from pod to pod within the process.
final class LocalPods: PodDelivery {
    private let pods = Mutex<[String: PodResponder]>([:])
    private let unreachable = Mutex<Set<String>>([])

    func add(_ pod: Pod, _ responder: PodResponder) {
        self.pods.withLock { $0[pod.name] = responder }
    }

    func cut(_ pod: Pod, _ isCut: Bool) {
        self.unreachable.withLock { if isCut { $0.insert(pod.name) } else { $0.remove(pod.name) } }
    }

    func deliver(_ request: Request, to pod: Pod, answer: @escaping @Sendable (Response) -> Void) {
        guard let responder = self.responder(of: pod) else { return answer(Self.unreachable) }
        responder.respond(to: request, answer: answer)
    }

    func observe(
        _ request: Request, at pod: Pod, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        if let responder = self.responder(of: pod) { return responder.observe(request, event: event) }
        event(.ended(Self.unreachable))
        return ObservationHandle {}
    }

    private func responder(of pod: Pod) -> PodResponder? {
        self.unreachable.withLock { $0.contains(pod.name) } ? nil : self.pods.withLock { $0[pod.name] }
    }

    private static var unreachable: Response {
        var response = Response(.serviceUnavailable)
        response.options.undelivered = .unreachable
        return response
    }

    func deliver(_ request: Request, to pod: Pod) async -> Response {
        await withCheckedContinuation { continuation in
            self.deliver(request, to: pod) { continuation.resume(returning: $0) }
        }
    }
}

/// A store of routes that can be emptied, fail, or keep its answers to itself.
final class MoodyRoutes: RouteStore {
    enum Mood {
        case works, fails
        /// Does what it is asked, and says so when it is told to.
        case silent
        /// Does what it is asked only when it is told to.
        case slow
        /// Works again, without what was held back.
        case recovers
    }

    private struct State {
        var mood = Mood.works
        var store: InMemoryRouteStore
        var generation = 0
        var held: [@Sendable () -> Void] = []
    }

    private let clock: any WallClock
    private let state: Mutex<State>

    init(clock: any WallClock) {
        self.clock = clock
        self.state = Mutex(State(store: InMemoryRouteStore(clock: clock)))
    }

    func become(_ mood: Mood) {
        self.state.withLock { $0.mood = mood }
        if mood == .works { self.release() }
    }

    /// Goes on with what was held back.
    func release() {
        let held = self.state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for step in held { step() }
    }

    /// Everything is forgotten.
    func empty() {
        self.state.withLock { state in
            state.store = InMemoryRouteStore(clock: self.clock)
            state.generation += 1
        }
    }

    private var store: InMemoryRouteStore { self.state.withLock { $0.store } }

    /// What to tell the caller when.
    private func pass<Value: Sendable>(
        _ completion: @escaping Completion<Value>,
        _ ask: @escaping @Sendable (InMemoryRouteStore, @escaping Completion<Value>) -> Void
    ) {
        let (mood, store) = self.state.withLock { ($0.mood, $0.store) }
        switch mood {
        case .works, .recovers: ask(store, completion)
        case .fails: completion(.failure(RouteStoreUnavailable(reason: "the store is in a mood")))
        case .silent:
            ask(store) { result in
                self.state.withLock { $0.held.append { completion(result) } }
            }
        case .slow: self.state.withLock { $0.held.append { ask(store, completion) } }
        }
    }

    func claim(
        _ di: DeviceID, uid: UserID, pod: Pod, floor: UInt64, replacing: UInt64?,
        completion: @escaping Completion<RouteClaimOutcome>
    ) {
        self.pass(completion) { $0.claim(di, uid: uid, pod: pod, floor: floor, replacing: replacing, completion: $1) }
    }

    func assert(
        _ di: DeviceID, uid: UserID, pod: Pod, epoch: UInt64, completion: @escaping Completion<RouteAssertion>
    ) {
        self.pass(completion) { $0.assert(di, uid: uid, pod: pod, epoch: epoch, completion: $1) }
    }

    func mark(_ di: DeviceID, pod: Pod, epoch: UInt64, as state: Route.State) {
        self.store.mark(di, pod: pod, epoch: epoch, as: state)
    }

    func drop(_ di: DeviceID, pod: Pod, epoch: UInt64) {
        self.store.drop(di, pod: pod, epoch: epoch)
    }

    func find(_ di: DeviceID, completion: @escaping Completion<FoundRoute?>) {
        self.store.find(di, completion: completion)
    }

    func wait(for di: DeviceID, edge: String, completion: @escaping Completion<FoundRoute?>) {
        self.store.wait(for: di, edge: edge, completion: completion)
    }

    func listen(as edge: String, heard: @escaping @Sendable (Route) -> Void) {
        self.store.listen(as: edge, heard: heard)
    }

    func renew(_ pod: Pod, load: PodLoad, completion: @escaping Completion<LeaseRenewal>) {
        let generation = self.state.withLock { $0.generation }
        self.pass(completion) { store, completion in
            store.renew(pod, load: load) { result in
                completion(
                    result.map { LeaseRenewal(connection: 1, hadLapsed: $0.hadLapsed, generation: "\(generation)") })
            }
        }
    }

    func resign(_ pod: Pod) { self.store.resign(pod) }

    func lease(of pod: Pod, completion: @escaping Completion<PodLease>) {
        self.pass(completion) { $0.lease(of: pod, completion: $1) }
    }

    func leases(completion: @escaping Completion<[LeasedPod]>) {
        self.pass(completion) { $0.leases(completion: $1) }
    }

    func presence(of devices: [DeviceID]) async -> [DeviceID: Presence] {
        await self.store.presence(of: devices)
    }

    func route(_ di: DeviceID) async -> Route? {
        await withCheckedContinuation { continuation in
            self.find(di) { continuation.resume(returning: (try? $0.get())?.route) }
        }
    }
}

/// What owners were told.
final class HeardEvents: EventHistory {
    private let heard = Mutex<[OwnerEvent]>([])
    var all: [OwnerEvent] { self.heard.withLock { $0 } }
    /// Those of one kind.
    func all(_ kind: OwnerEvent.Kind) -> [OwnerEvent] { self.all.filter { $0.kind == kind } }

    func append(_ event: OwnerEvent, of uid: UserID) { self.heard.withLock { $0.append(event) } }
    func forget(_ uid: UserID) {}
    func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID { .start }
    func read(of uid: UserID, after place: EventLogID, limit: Int) async throws(RouteStoreUnavailable) -> EventPage {
        EventPage(events: [], gap: false, last: place)
    }
}

/// Keeps every line, in the order they were written.
final class History: LogSink {
    private let kept = Mutex<[String]>([])
    var lines: [String] { self.kept.withLock { $0 } }
    func write(_ line: String) { self.kept.withLock { $0.append(line) } }
}

/// Several pods in one process: a listener for devices each, one store of routes, and a short way to each other. Time
/// passes for their keepers only when a test says so.
struct PodBench {
    struct Member {
        let pod: Pod
        let keeper: RouteKeeper
        let server: CoAPInterfaceServer
        var sessions: SessionTable { self.keeper.sessions }
    }

    let clock: SteppingClock
    let routes: MoodyRoutes
    let pods: LocalPods
    let events: HeardEvents
    let history: History
    /// `a.1` and `b.1`.
    let a: Member
    let b: Member

    static func with(_ body: (PodBench) async throws -> Void) async throws {
        let clock = SteppingClock()
        let routes = MoodyRoutes(clock: clock)
        let pods = LocalPods()
        let events = HeardEvents()
        let history = History()
        let logger = Observability.logger(label: "test", level: .debug, sink: history)
        func member(_ name: String) async throws -> Member {
            let keeper = RouteKeeper(
                routes: routes, sessions: SessionTable(), pod: Pod(name: name, address: "\(name):8081"), pods: pods,
                events: events, clock: clock, logger: logger)
            pods.add(keeper.pod, PodResponder(keeper: keeper))
            let server = try await CoAPInterfaceServer.bind(
                host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton,
                configuration: ConnectionConfiguration(), maximumConnections: 100, stopGrace: .zero,
                context: CoAPInterfaceContext(
                    registry: OpenRegistry(), edge: keeper.sessions, keeper: keeper,
                    accessLog: AccessLog(mode: .off, logger: logger), logger: logger))
            return Member(pod: keeper.pod, keeper: keeper, server: server)
        }
        let bench = PodBench(
            clock: clock, routes: routes, pods: pods, events: events, history: history, a: try await member("a.1"),
            b: try await member("b.1"))
        let result: Result<Void, any Error> = await withTaskGroup { tasks in
            for server in [bench.a.server, bench.b.server] { tasks.addTask { try? await server.run() } }
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(bench))
            } catch {
                result = .failure(error)
            }
            tasks.cancelAll()
            return result
        }
        try result.get()
    }

    /// The lamp signs in on a new connection. A connection may be lost before the answer.
    func signIn(_ member: Member, token: String = "t") async throws -> ScriptedPeer {
        let peer = try await ScriptedPeer.connect(port: member.server.port)
        try await peer.start(.signIn(uid: "alice", di: "lamp", accessToken: token))
        return peer
    }

    /// The same, with a session.
    func lamp(_ member: Member, token: String = "t") async throws -> ScriptedPeer {
        let peer = try await self.signIn(member, token: token)
        guard try await peer.receivePastCSM().code == .changed else { throw PeerError("no sign-in") }
        return peer
    }

    static func request(epoch: UInt64 = 0, milliseconds: UInt32 = 50_000) -> Request {
        var request = Request(.post, path: ["lamp", "light"])
        request.options.fence = Fence(epoch: epoch, uid: "alice")
        request.options.deadlineMilliseconds = milliseconds
        return request
    }

    /// Whether the lamp answers a request that is sent to a pod.
    func reaches(_ peer: ScriptedPeer, through member: Member) async throws -> Bool {
        async let response = self.pods.deliver(Self.request(), to: member.pod)
        try await peer.answer(try await peer.receiveRequest(.post, "light"), Response(.changed))
        return await response.code == .changed
    }
}
