import Cloud
import CoAP
import NIOCore
import NIOEmbedded
import OCF
import Synchronization

@testable import Edge

/// An edge between scripted pods, a scripted registry and real routes, on an event loop whose time the test moves.
struct EdgeBench {
    /// The pod that has the lamp's session, unless a test says otherwise.
    static let home = Pod(name: "pod.1")
    static let elsewhere = Pod(name: "pod.2")

    let lamp: DeviceID
    let loop = NIOAsyncTestingEventLoop()
    let pods: ScriptedPods
    let registry: ScriptedResponder
    let routes: UnreliableStore
    let edge: EdgeResponder
    let answers = AnswerLog()

    /// - Parameters:
    ///   - home: the script of the pod that has the lamp, nil if it cannot be reached.
    ///   - owner: who owns the device, as the registry has it; nil if it knows none.
    ///   - isSignedIn: whether there is a route to `home`.
    init(
        _ home: ScriptedResponder?, owner: String? = nil, kind: DeviceKind = .device, isSignedIn: Bool = true,
        localPod: Pod? = nil, registry: ScriptedResponder? = nil, limits: EdgeLimits = EdgeLimits()
    ) throws {
        self.lamp = try DeviceID("lamp")
        var answer = Response(.notFound)
        if let owner {
            let device = Device(
                di: self.lamp, uid: try UserID(owner), kind: kind, createdAt: Timestamp(milliseconds: 0))
            answer = Negotiation.ocf.response(.content, device.item)
        }
        self.pods = ScriptedPods(home.map { [Self.home.name: $0] } ?? [:])
        self.registry = registry ?? ScriptedResponder(.answer(answer))
        self.routes = UnreliableStore(InMemoryRouteStore(clock: LoopClock(loop: self.loop)))
        self.edge = EdgeResponder(
            pods: self.pods, routes: self.routes, name: "edge.1", localPod: localPod,
            registry: RegistryClient(self.registry, caller: "edge"), group: self.loop, limits: limits,
            jitter: { .seconds(1) })
        if isSignedIn { try self.claim(Self.home) }
    }

    /// The lamp, or another device, signs in.
    @discardableResult
    func claim(_ pod: Pod, uid: String = "alice", of di: DeviceID? = nil) throws -> UInt64 {
        let epoch = Box<UInt64>(0)
        self.routes.claim(di ?? self.lamp, uid: try UserID(uid), pod: pod, floor: 0, replacing: nil) { result in
            if case .success(.claimed(let claim)) = result { epoch.value = claim.route.epoch }
        }
        return epoch.value
    }

    func mark(_ state: Route.State, epoch: UInt64, pod: Pod = Self.home) {
        self.routes.mark(self.lamp, pod: pod, epoch: epoch, as: state)
    }

    /// A request to the lamp, or another device, on behalf of alice.
    static func request(
        _ method: Code = .get, _ path: String..., queries: [String] = [], deadline: UInt32? = nil,
        uid: String = "alice", of di: String = "lamp"
    ) -> Request {
        var request = Request(method, path: [di] + path, queries: queries)
        request.options.fence = Fence(uid: uid)
        request.options.requestID = "r-1"
        request.options.deadlineMilliseconds = deadline
        return request
    }

    /// Sends a request and lets happen what needs no time to pass.
    func begin(_ name: String = "r", _ request: Request = Self.request(.get, "light")) async {
        self.edge.respond(to: request) { self.answers.add(name, $0) }
        await self.loop.run()
    }

    /// Lets happen what needs no time to pass.
    func run() async {
        await self.loop.run()
    }

    func advance(_ time: TimeAmount) async {
        await self.loop.advanceTime(by: time)
    }

    /// The answer to a request that ends within `time`.
    func ask(
        _ request: Request = Self.request(.get, "light"),
        within time: TimeAmount = .seconds(1)
    ) async -> Response? {
        let before = self.answers.all.count
        await self.begin("asked", request)
        await self.advance(time)
        let answers = self.answers.all.dropFirst(before)
        return answers.count == 1 ? answers.first?.response : nil
    }
}

/// A place for what a callback gives.
final class Box<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { self.state = Mutex(value) }

    var value: Value {
        get { self.state.withLock { $0 } }
        set { self.state.withLock { $0 = newValue } }
    }
}
