import Foundation
import Synchronization
import TestServers
import TestSupport

/// Registry, coap-interfaces and northbounds as real processes on free ports, over a real MariaDB and Redis, for the
/// length of one test.
final class RunningCluster: CloudUnderTest {
    /// What to start, and what it is told.
    struct Shape: Sendable {
        var coapInterfaces = 2
        var northbounds = 2
        /// For all processes.
        var settings: [String: String] = [:]
        /// For those of one program.
        var programSettings: [ClusterProcess.Program: [String: String]] = [:]
        /// Servers of the test's own, which it may do harm to; nil: those all tests share.
        var database: MariaDBServer?
        var redis: RedisServer?
        /// Where programs are that are not of this run.
        var products: [ClusterProcess.Program: String] = [:]
        /// Wait until everything is ready.
        var isAwaited = true
    }

    private struct State {
        var registry: ClusterProcess?
        var coapInterfaces: [ClusterProcess] = []
        var northbounds: [ClusterProcess] = []
        /// Those that a test ended, for the look through their logs.
        var ended: [ClusterProcess] = []
        var peers: [ScriptedPeer] = []
        var nextDoor = 0
    }

    let database: MariaDBServer
    let redis: RedisServer
    let directory: String
    private let shape: Shape
    private let common: [String: String]
    private let registrySettings: [String: String]
    private let state = Mutex(State())

    /// Starts a cluster, runs `body`, stops it, expects status 0 of everybody who still ran, and looks through all logs
    /// for the secrets that were given out.
    static func with<R: Sendable>(
        _ shape: Shape = Shape(), _ body: @Sendable (RunningCluster) async throws -> R
    ) async throws -> R {
        let cluster = try await RunningCluster(shape)
        let result: Result<R, any Error>
        do {
            try await cluster.startAll()
            result = .success(try await body(cluster))
        } catch {
            result = .failure(error)
        }
        let complaint = await cluster.stopAll()
        let value = try result.get()
        if let complaint { throw complaint }
        return value
    }

    private init(_ shape: Shape) async throws {
        self.shape = shape
        if let database = shape.database { self.database = database } else { self.database = try await .shared }
        if let redis = shape.redis { self.redis = redis } else { self.redis = try await RedisServer.start() }
        self.directory = "\(NSTemporaryDirectory())cluster-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        let registryPort = try ServerProcess.freePort()
        self.common = [
            "BIND_ADDRESS": "127.0.0.1", "POD_IP": "127.0.0.1", "CLUSTER_SECRET": Self.randomKey(),
            "REGISTRY": "127.0.0.1:\(registryPort)", "CACHE_URI": "127.0.0.1:\(self.redis.port)", "EVENT_LOOPS": "1",
            // Tests end what they started, and nobody comes any more.
            "DRAIN_PROPAGATION": "0", "DRAIN_WINDOW": "0",
        ].merging(shape.settings) { $1 }
        self.registrySettings = [
            "REGISTRY_PORT": "\(registryPort)", "DB_URI": "@tcp(127.0.0.1:\(self.database.port))/",
            "DB_NAME": try await self.database.createDatabase(), "DB_USERNAME": MariaDBServer.user,
            "DB_PASSWORD": MariaDBServer.password, "TOKEN_SEAL_KEY": Self.randomKey(),
            "SID": UUID().uuidString.lowercased(),
        ]
    }

    private static func randomKey() -> String {
        let key = Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()
        IssuedSecrets.shared.note(key)
        return key
    }

    // MARK: Processes

    private func startAll() async throws {
        try await self.startRegistry()
        for _ in 0..<self.shape.coapInterfaces { try await self.startCoAPInterface() }
        for _ in 0..<self.shape.northbounds { try await self.startNorthbound() }
        guard self.shape.isAwaited else { return }
        for process in self.running { try await process.isReady() }
    }

    var registry: ClusterProcess {
        get throws {
            guard let registry = self.state.withLock({ $0.registry }) else { throw PeerError("no registry runs") }
            return registry
        }
    }
    var coapInterfaces: [ClusterProcess] { self.state.withLock { $0.coapInterfaces } }
    var northbounds: [ClusterProcess] { self.state.withLock { $0.northbounds } }
    var running: [ClusterProcess] {
        self.state.withLock { [$0.registry].compactMap(\.self) + $0.coapInterfaces + $0.northbounds }
    }

    /// What a process of this program is told.
    func settings(of program: ClusterProcess.Program) -> [String: String] {
        let own = program == .registry ? self.registrySettings : [:]
        return self.common.merging(own) { $1 }.merging(self.shape.programSettings[program] ?? [:]) { $1 }
    }

    @discardableResult
    func startRegistry(
        _ settings: [String: String] = [:], products: String? = nil
    ) async throws -> ClusterProcess {
        let process = try await self.start(.registry, name: "registry", settings, products: products)
        self.state.withLock { $0.registry = process }
        return process
    }

    @discardableResult
    func startCoAPInterface(
        _ settings: [String: String] = [:], products: String? = nil
    ) async throws -> ClusterProcess {
        let process = try await self.start(
            .coapInterface, name: "coap-interface-\(self.coapInterfaces.count + 1)", settings, products: products)
        self.state.withLock { $0.coapInterfaces.append(process) }
        return process
    }

    @discardableResult
    func startNorthbound(
        _ settings: [String: String] = [:], products: String? = nil
    ) async throws -> ClusterProcess {
        let process = try await self.start(
            .northbound, name: "northbound-\(self.northbounds.count + 1)", settings, products: products)
        self.state.withLock { $0.northbounds.append(process) }
        return process
    }

    private func start(
        _ program: ClusterProcess.Program, name: String, _ settings: [String: String] = [:], products: String? = nil
    ) async throws -> ClusterProcess {
        try await ClusterProcess.start(
            program, name: name, self.settings(of: program).merging(settings) { $1 }, directory: self.directory,
            products: products ?? self.shape.products[program])
    }

    /// Takes a process out, however it ended; its log is still looked through.
    func forget(_ process: ClusterProcess) {
        self.state.withLock { state in
            if state.registry === process { state.registry = nil }
            state.coapInterfaces.removeAll { $0 === process }
            state.northbounds.removeAll { $0 === process }
            state.ended.append(process)
        }
    }

    func kill(_ process: ClusterProcess) async {
        await process.kill()
        self.forget(process)
    }

    // MARK: Doors

    /// The HTTP API of one northbound after the other.
    var http: HTTPTestClient {
        let door = self.state.withLock { state -> ClusterProcess? in
            guard !state.northbounds.isEmpty else { return nil }
            state.nextDoor += 1
            return state.northbounds[state.nextDoor % state.northbounds.count]
        }
        return HTTPTestClient(host: door?.host ?? "127.0.0.1", port: door?.ports["http"] ?? 0)
    }

    /// The HTTP API of one northbound.
    func http(_ index: Int) throws -> HTTPTestClient {
        let door = self.northbounds[index]
        return HTTPTestClient(host: door.host, port: try door.port("http"))
    }

    /// A connection to one coap-interface after the other.
    func connect() async throws -> ScriptedPeer {
        let index = self.state.withLock { state in
            state.nextDoor += 1
            return state.nextDoor % max(1, state.coapInterfaces.count)
        }
        return try await self.connect(to: index)
    }

    /// A connection to one coap-interface, closed with the cluster.
    func connect(to index: Int) async throws -> ScriptedPeer {
        let pod = self.coapInterfaces[index]
        let peer = try await ScriptedPeer.connect(port: try pod.port("coap"), host: pod.host)
        self.state.withLock { $0.peers.append(peer) }
        return peer
    }

    /// A device of this owner, signed up and signed in at one coap-interface.
    func device(_ di: String, of owner: Owner, at index: Int) async throws -> SignedIn {
        let login = try await owner.signedUp(di)
        return try await login.signIn(on: self.connect(to: index))
    }

    // MARK: Logs and the end

    /// The log of each coap-interface there ever was.
    var podLogs: [[String]] {
        (self.coapInterfaces + self.state.withLock { $0.ended }).filter { $0.program == .coapInterface }.map(\.log)
    }

    /// Every line of everybody, the ended ones included.
    var logs: [String] {
        let (running, ended) = (self.running, self.state.withLock { $0.ended })
        return (running + ended).flatMap(\.log)
    }

    /// - Returns: what was wrong with the end.
    private func stopAll() async -> PeerError? {
        for peer in self.state.withLock({ $0.peers }) { await peer.close() }
        var complaint: PeerError?
        // Those who ask others first.
        for process in self.running.reversed() {
            let ended = await process.stop()
            if ended.status != 0 {
                complaint = PeerError("\(process.name) ended with \(ended.status):\n\(ended.output)\n\(ended.errors)")
            }
        }
        do {
            try IssuedSecrets.shared.check(self.logs)
        } catch {
            complaint = error as? PeerError ?? PeerError("\(error)")
        }
        if self.shape.redis == nil { await self.redis.stop() }
        try? FileManager.default.removeItem(atPath: self.directory)
        return complaint
    }
}
