import CBOR
import CoAP
import FoundationEssentials
import Logging
import ServiceLifecycle
import ServiceShell
import Synchronization
import TestSupport

@testable import Gateway

/// A whole gateway in this process, on free ports, with a data directory of its own, for the length of one test.
struct RunningGateway: CloudUnderTest {
    let ports: EmbeddedGateway.Ports
    let dataDirectory: String
    let log: MemorySink
    private let peers = PeerList()
    private let group: ServiceGroup

    var coapPort: Int { self.ports.coap }
    var httpPort: Int { self.ports.http }
    var http: HTTPTestClient { HTTPTestClient(port: self.ports.http) }
    var admin: HTTPTestClient { HTTPTestClient(port: self.ports.admin) }

    /// Starts a gateway, runs `body`, stops it, and looks through everything it logged for the secrets it gave out.
    static func with<R: Sendable>(
        _ settings: [String: String] = [:], _ body: @Sendable (RunningGateway) async throws -> R
    ) async throws -> R {
        let directory = FileManager.default.temporaryDirectory.path + "/gateway-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        return try await self.with(settings, dataDirectory: directory, body)
    }

    /// The same on a data directory that stays.
    static func with<R: Sendable>(
        _ settings: [String: String] = [:], dataDirectory: String,
        _ body: @Sendable (RunningGateway) async throws -> R
    ) async throws -> R {
        await GatewaySlots.shared.enter()
        defer { GatewaySlots.shared.leave() }
        var environment = [
            "HTTP_PORT": "0", "HTTPS_PORT": "0", "COAP_PORT": "0", "COAPS_PORT": "0", "ADMIN_PORT": "0",
            "DATA_DIR": dataDirectory, "EVENT_LOOPS": "2",
            // What all tests of this process use together is no gateway's business.
            "MEMORY_LIMIT": "1048576MiB",
        ]
        environment.merge(settings) { $1 }
        let configuration = try GatewayConfiguration(arguments: ProgramArguments(), environment: environment)
        let sink = MemorySink(limit: 100_000)
        let gateway = try await EmbeddedGateway.start(configuration, metrics: MetricsRegistry()) { label in
            Observability.logger(label: label, level: .trace, sink: sink)
        }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: gateway.services.map { .init(service: $0) },
                logger: Logger(label: "group") { _ in SwiftLogNoOpLogHandler() }))
        let running = RunningGateway(
            ports: gateway.ports, dataDirectory: dataDirectory, log: sink, group: group)
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            let result: Result<R, any Error>
            do {
                result = .success(try await body(running))
            } catch {
                result = .failure(error)
            }
            await running.peers.closeAll()
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            try IssuedSecrets.shared.check(sink.lines)
            return try result.get()
        }
    }

    private init(ports: EmbeddedGateway.Ports, dataDirectory: String, log: MemorySink, group: ServiceGroup) {
        self.ports = ports
        self.dataDirectory = dataDirectory
        self.log = log
        self.group = group
    }

    /// Begins the stop that SIGTERM begins.
    func stop() async {
        await self.group.triggerGracefulShutdown()
    }

    /// How many sessions the gateway has.
    func sessions() async throws -> Int? {
        try await self.admin.get("/status").member("sessions").flatMap { Int($0) }
    }

    /// A connection that is closed with the gateway.
    func connect() async throws -> ScriptedPeer {
        let peer = try await ScriptedPeer.connect(port: self.ports.coap)
        self.peers.add(peer)
        return peer
    }
}

/// How many gateways run at one time: tests run side by side, and each gateway has threads of its own.
private final class GatewaySlots: Sendable {
    static let shared = GatewaySlots(count: 6)

    private let state: Mutex<(free: Int, waiting: [CheckedContinuation<Void, Never>])>

    init(count: Int) {
        self.state = Mutex((count, []))
    }

    func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = self.state.withLock { state in
                guard state.free > 0 else {
                    state.waiting.append(continuation)
                    return false
                }
                state.free -= 1
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    func leave() {
        let next = self.state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil as CheckedContinuation<Void, Never>?
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}

/// Whom to say goodbye to, so that no stop has to wait for its grace period.
private final class PeerList: Sendable {
    private let peers = Mutex<[ScriptedPeer]>([])

    func add(_ peer: ScriptedPeer) {
        self.peers.withLock { $0.append(peer) }
    }

    func closeAll() async {
        for peer in self.peers.withLock({ $0 }) {
            await peer.close()
        }
    }
}
