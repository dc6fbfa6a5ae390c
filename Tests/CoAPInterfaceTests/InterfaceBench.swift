import Cloud
import CoAP
import CoAPInterface
import CoAPTransport
import Edge
import Logging
import NIOCore
import NIOPosix
import OCF
import ServiceShell
import Synchronization
import TestSupport

/// A registry that answers each request only when it is told to.
final class HeldRegistry: Responder {
    private struct Held: Sendable {
        let request: Request
        let answer: @Sendable (Response) -> Void
    }

    private let arrivals: AsyncStream<Held>
    private let arrived: AsyncStream<Held>.Continuation

    init() {
        (self.arrivals, self.arrived) = AsyncStream.makeStream(of: Held.self)
    }

    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        self.arrived.yield(Held(request: request, answer: answer))
    }

    /// The next request, and the way to answer it.
    func next() async throws -> (request: Request, answer: @Sendable (Response) -> Void) {
        for await held in self.arrivals { return (held.request, held.answer) }
        throw PeerError("nothing was asked")
    }
}

/// A listener for devices on a free port, between a registry under the test's control and a real edge.
struct InterfaceBench {
    let server: CoAPInterfaceServer
    let registry: HeldRegistry
    let sessions: SessionTable
    let edge: EdgeResponder
    let log: MemorySink

    static func with(
        signIns: SignIns = SignIns(), isRemembered: @escaping @Sendable (Request) -> Bool = { _ in false },
        _ body: (InterfaceBench) async throws -> Void
    ) async throws {
        let registry = HeldRegistry()
        let sessions = SessionTable()
        let log = MemorySink()
        let logger = Observability.logger(label: "test", level: .debug, sink: log)
        let routes = InMemoryRouteStore(clock: SystemWallClock())
        let pod = Pod(name: "pod.1")
        let edge = EdgeResponder(
            pods: PodRouter(localPod: pod, sessions: sessions), routes: routes, name: pod.name, localPod: pod,
            registry: RegistryClient(registry, caller: "edge"), group: MultiThreadedEventLoopGroup.singleton)
        let server = try await CoAPInterfaceServer.bind(
            host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton,
            configuration: ConnectionConfiguration(), maximumConnections: 100, stopGrace: .zero,
            context: CoAPInterfaceContext(
                registry: registry, signIns: signIns, isRemembered: isRemembered, edge: edge,
                keeper: RouteKeeper(routes: routes, sessions: sessions, pod: pod, logger: logger),
                accessLog: AccessLog(mode: .all, logger: logger), logger: logger))
        let bench = InterfaceBench(server: server, registry: registry, sessions: sessions, edge: edge, log: log)
        let result: Result<Void, any Error> = await withTaskGroup { tasks in
            // Without a service group it serves until it is cancelled.
            tasks.addTask { try? await server.run() }
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

    func connect() async throws -> ScriptedPeer {
        try await ScriptedPeer.connect(port: self.server.port)
    }

    /// A connection on which the lamp is signed in.
    func lamp() async throws -> ScriptedPeer {
        let peer = try await self.connect()
        try await peer.start(.signIn(uid: "alice", di: "lamp", accessToken: "t"))
        try await self.registry.next().answer(.granted)
        guard try await peer.receivePastCSM().code == .changed else { throw PeerError("no sign-in") }
        return peer
    }

    /// The access line of the first request with this path; waited for, since lines follow answers.
    func accessLine(_ path: String) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            if let line = self.log.lines.first(where: { $0.contains("outcome=") && $0.contains(path) }) { return line }
            await Task.yield()
        }
        throw PeerError("no line of \(path): \(self.log.lines)")
    }
}

extension Response {
    /// What the registry says to the lamp's sign-in.
    static var granted: Response { .granted() }

    /// - Parameter sequence: the last change the registry knows of; nil: it does not say.
    static func granted(family: String? = nil, sequence: UInt64? = nil) -> Response {
        var response = Response(.changed)
        response.options.sessionDevice = "lamp"
        response.options.sessionUser = "alice"
        response.options.sessionKind = "device"
        response.options.sessionFamily = family
        response.options.sequence = sequence
        return response
    }
}
