import Cloud
import CoAP
import NIOCore
import NIOEmbedded
import OCF
import Synchronization

@testable import Edge

/// Answers each request with the next line of its script, and keeps what it was asked.
final class ScriptedResponder: Responder {
    enum Line: Sendable {
        case answer(Response)
        /// Answers only when `release` is called.
        case hold
    }

    private struct State {
        var script: [Line]
        var requests: [Request] = []
        var held: [@Sendable (Response) -> Void] = []
    }

    private let state: Mutex<State>

    init(_ script: Line...) {
        self.state = Mutex(State(script: script))
    }

    var requests: [Request] { self.state.withLock { $0.requests } }

    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let line: Line? = self.state.withLock { state in
            state.requests.append(request)
            // The last line is repeated.
            return state.script.count > 1 ? state.script.removeFirst() : state.script.first
        }
        switch line {
        case .answer(let response): answer(response)
        case .hold: self.state.withLock { $0.held.append(answer) }
        case nil: answer(Response(.internalServerError, diagnostic: "nothing is left in the script"))
        }
    }

    func release(_ response: Response) {
        let held = self.state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for answer in held { answer(response) }
    }
}

/// One registration at a pod, and the way to tell its observer.
final class Registration: Sendable {
    let pod: String
    let request: Request
    let tell: @Sendable (ObservationEvent) -> Void
    private let cancelled = Mutex(false)

    init(pod: String, request: Request, tell: @escaping @Sendable (ObservationEvent) -> Void) {
        self.pod = pod
        self.request = request
        self.tell = tell
    }

    var isCancelled: Bool { self.cancelled.withLock { $0 } }
    func cancel() { self.cancelled.withLock { $0 = true } }
}

/// Pods by name; one that is not there cannot be reached.
final class ScriptedPods: PodDelivery {
    private struct State {
        var pods: [String: ScriptedResponder]
        var registrations: [Registration] = []
        /// Requests by arrival, with the pod each went to.
        var log: [(pod: String, request: Request)] = []
    }

    private let state: Mutex<State>

    init(_ pods: [String: ScriptedResponder]) {
        self.state = Mutex(State(pods: pods))
    }

    var log: [(pod: String, request: Request)] { self.state.withLock { $0.log } }
    /// Where the requests went, in order.
    var visited: [String] { self.log.map(\.pod) }

    subscript(name: String) -> ScriptedResponder? {
        get { self.state.withLock { $0.pods[name] } }
        set { self.state.withLock { $0.pods[name] = newValue } }
    }

    /// What was observed, in order.
    var registrations: [Registration] { self.state.withLock { $0.registrations } }

    /// Answered by the test, if the pod is there.
    func observe(
        _ request: Request, at pod: Pod, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        let registration = Registration(pod: pod.name, request: request, tell: event)
        let isThere = self.state.withLock { state in
            guard state.pods[pod.name] != nil else { return false }
            state.registrations.append(registration)
            return true
        }
        if !isThere { event(.ended(.undelivered(.unreachable))) }
        return ObservationHandle { registration.cancel() }
    }

    func deliver(_ request: Request, to pod: Pod, answer: @escaping @Sendable (Response) -> Void) {
        let responder = self.state.withLock { state in
            state.log.append((pod.name, request))
            return state.pods[pod.name]
        }
        guard let responder else { return answer(.undelivered(.unreachable)) }
        responder.respond(to: request, answer: answer)
    }
}

/// A store that can be made to fail, to be slow, and to lose what it has to tell.
final class UnreliableStore: RouteStore {
    private struct State {
        var isDown = false
        var isSlow = false
        var losesNotices = false
        var finds = 0
        var waits = 0
        var held: [@Sendable () -> Void] = []
    }

    private let store: InMemoryRouteStore
    private let state = Mutex(State())

    init(_ store: InMemoryRouteStore) {
        self.store = store
    }

    var isDown: Bool {
        get { self.state.withLock { $0.isDown } }
        set { self.state.withLock { $0.isDown = newValue } }
    }
    /// Answers only when it is released.
    var isSlow: Bool {
        get { self.state.withLock { $0.isSlow } }
        set { self.state.withLock { $0.isSlow = newValue } }
    }
    var losesNotices: Bool {
        get { self.state.withLock { $0.losesNotices } }
        set { self.state.withLock { $0.losesNotices = newValue } }
    }
    var finds: Int { self.state.withLock { $0.finds } }
    var waits: Int { self.state.withLock { $0.waits } }

    func release() {
        let held = self.state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for answer in held { answer() }
    }

    private func look(
        _ completion: @escaping Completion<FoundRoute?>, _ ask: @escaping @Sendable () -> Void
    ) {
        let answer: @Sendable () -> Void = { [self] in
            if self.isDown { completion(.failure(RouteStoreUnavailable(reason: "down"))) } else { ask() }
        }
        let isSlow = self.state.withLock { state in
            if state.isSlow { state.held.append(answer) }
            return state.isSlow
        }
        if !isSlow { answer() }
    }

    func find(_ di: DeviceID, completion: @escaping Completion<FoundRoute?>) {
        self.state.withLock { $0.finds += 1 }
        self.look(completion) { self.store.find(di, completion: completion) }
    }

    func wait(for di: DeviceID, edge: String, completion: @escaping Completion<FoundRoute?>) {
        self.state.withLock { $0.waits += 1 }
        self.look(completion) { self.store.wait(for: di, edge: edge, completion: completion) }
    }

    func listen(as edge: String, heard: @escaping @Sendable (Route) -> Void) {
        self.store.listen(as: edge) { if !self.losesNotices { heard($0) } }
    }

    func claim(
        _ di: DeviceID, uid: UserID, pod: Pod, floor: UInt64, replacing: UInt64?,
        completion: @escaping Completion<RouteClaimOutcome>
    ) {
        self.store.claim(di, uid: uid, pod: pod, floor: floor, replacing: replacing, completion: completion)
    }

    func assert(
        _ di: DeviceID, uid: UserID, pod: Pod, epoch: UInt64, completion: @escaping Completion<RouteAssertion>
    ) {
        self.store.assert(di, uid: uid, pod: pod, epoch: epoch, completion: completion)
    }

    func mark(_ di: DeviceID, pod: Pod, epoch: UInt64, as state: Route.State) {
        self.store.mark(di, pod: pod, epoch: epoch, as: state)
    }

    func drop(_ di: DeviceID, pod: Pod, epoch: UInt64) { self.store.drop(di, pod: pod, epoch: epoch) }

    func renew(_ pod: Pod, load: PodLoad, completion: @escaping Completion<LeaseRenewal>) {
        self.store.renew(pod, load: load, completion: completion)
    }

    func resign(_ pod: Pod) { self.store.resign(pod) }

    func presence(of devices: [DeviceID]) async -> [DeviceID: Presence] { await self.store.presence(of: devices) }
}

extension Response {
    static func undelivered(_ reason: Undelivered, _ code: Code = .serviceUnavailable) -> Response {
        var response = Response(code, diagnostic: "undelivered", maxAge: 10)
        response.options.undelivered = reason
        return response
    }

    static func unknown(_ outcome: UnknownOutcome) -> Response {
        var response = Response(outcome == .noAnswer ? .gatewayTimeout : .badGateway, diagnostic: "unknown")
        response.options.unknownOutcome = outcome
        return response
    }

    static let on = Response(.content, payload: ByteBuffer(string: "on"))
    static let off = Response(.content, payload: ByteBuffer(string: "off"))
}

/// The time of the event loop as a wall clock.
struct LoopClock: WallClock {
    let loop: NIOAsyncTestingEventLoop

    func now() -> Timestamp {
        Timestamp(milliseconds: 1_700_000_000_000 + Int64(self.loop.now.uptimeNanoseconds / 1_000_000))
    }
}

/// Answers in the order they came, by the name of their request.
final class AnswerLog: Sendable {
    private let state = Mutex<[(name: String, response: Response)]>([])

    var all: [(name: String, response: Response)] { self.state.withLock { $0 } }
    var names: [String] { self.all.map(\.name) }

    func add(_ name: String, _ response: Response) {
        self.state.withLock { $0.append((name, response)) }
    }

    subscript(name: String) -> Response? { self.all.first { $0.name == name }?.response }
}
