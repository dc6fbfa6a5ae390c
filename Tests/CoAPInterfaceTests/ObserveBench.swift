import CBOR
import Cloud
import CoAP
import CoAPTransport
import Edge
import Logging
import NIOCore
import NIOPosix
import OCF
import ServiceShell
import Synchronization
import TestSupport

@testable import CoAPInterface

/// A registry that lets everybody in as alice, and knows three devices: `lamp` and `heater` are hers, `safe` is bob's.
/// Whoever signs in with the token `brief` has two seconds. Its list of links is what the test says.
final class HouseRegistry: Responder {
    private let links = Mutex("none")
    private let questions = Atomic<Int>(0)

    /// How often the links were asked for.
    var asked: Int { self.questions.load(ordering: .relaxed) }

    func setLinks(_ text: String) { self.links.withLock { $0 = text } }

    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let path = request.options.path ?? []
        if path.starts(with: RegistryProtocol.devices) { return answer(Self.device(path.last ?? "")) }
        if path == ["oic", "res"] {
            self.questions.wrappingAdd(1, ordering: .relaxed)
            return answer(Response(.content, payload: ByteBuffer(string: self.links.withLock { $0 })))
        }
        guard path == ["oic", "sec", "session"] else { return answer(Response(.changed)) }
        let item = request.payload.flatMap { try? DataItem(decoding: $0) }
        var response = Response(.changed)
        guard item?["login"]?.flag != false else { return answer(response) }
        let di = item?["di"]?.string ?? ""
        response.options.sessionDevice = di
        response.options.sessionUser = "alice"
        response.options.sessionKind = ["lamp", "heater"].contains(di) ? "device" : "client"
        if item?["accesstoken"]?.string == "brief" { response.options.sessionExpiryMilliseconds = 2000 }
        answer(response)
    }

    private static func device(_ di: String) -> Response {
        guard let owner = ["lamp": "alice", "heater": "alice", "safe": "bob"][di] else { return Response(.notFound) }
        let device = Device(
            di: DeviceID(stored: di), uid: UserID(stored: owner), kind: .device,
            createdAt: Timestamp(milliseconds: 0))
        return Negotiation.ocf.response(.content, device.item)
    }
}

/// Two pods in one process, each with an edge of its own, and a short way to each other.
struct ObserveBench {
    struct Member {
        let keeper: RouteKeeper
        let server: CoAPInterfaceServer
        let edge: EdgeResponder
        var sessions: SessionTable { self.keeper.sessions }
    }

    let registry = HouseRegistry()
    let events = InMemoryEventLog(clock: SystemWallClock())
    let a: Member
    let b: Member

    static func with(_ body: (ObserveBench) async throws -> Void) async throws {
        let bench = try await ObserveBench()
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

    private init() async throws {
        let routes = InMemoryRouteStore(clock: SystemWallClock())
        let pods = LocalPods()
        let logger = Observability.logger(label: "test", level: .debug, sink: MemorySink())
        let (registry, events) = (self.registry, self.events)
        func member(_ name: String) async throws -> Member {
            let pod = Pod(name: name, address: "\(name):8081")
            let keeper = RouteKeeper(
                routes: routes, sessions: SessionTable(), pod: pod, pods: pods, events: events, logger: logger)
            pods.add(pod, PodResponder(keeper: keeper))
            let edge = EdgeResponder(
                pods: pods, routes: routes, name: name, localPod: pod,
                registry: RegistryClient(registry, caller: "edge"), group: MultiThreadedEventLoopGroup.singleton,
                jitter: { .milliseconds(50) })
            let server = try await CoAPInterfaceServer.bind(
                host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton,
                configuration: ConnectionConfiguration(), maximumConnections: 100, stopGrace: .zero,
                context: CoAPInterfaceContext(
                    registry: registry, edge: edge, keeper: keeper, accessLog: AccessLog(mode: .off, logger: logger),
                    logger: logger))
            return Member(keeper: keeper, server: server, edge: edge)
        }
        self.a = try await member("a.1")
        self.b = try await member("b.1")
    }

    /// Somebody signs in on a new connection.
    func signIn(_ di: String, _ member: Member, token: String = "t") async throws -> ScriptedPeer {
        let peer = try await ScriptedPeer.connect(port: member.server.port)
        guard try await peer.ask(.signIn(uid: "alice", di: di, accessToken: token)).code == .changed else {
            throw PeerError("no sign-in")
        }
        return peer
    }
}
