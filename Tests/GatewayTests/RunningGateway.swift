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
struct RunningGateway: Sendable {
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
            "HTTP_PORT": "0", "COAP_PORT": "0", "ADMIN_PORT": "0", "DATA_DIR": dataDirectory, "EVENT_LOOPS": "2",
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

    /// Asks until the answer is the one that is meant to come: for what no message announces.
    func eventually(
        _ what: String, within patience: Duration = .seconds(15), _ isThere: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + patience
        while try await !isThere() {
            guard ContinuousClock.now < deadline else { throw PeerError("not within \(patience): \(what)") }
        }
    }

    /// What people are told of a device: `online` or `offline`, nil if there is no such device.
    func status(of di: String, token: String) async throws -> String? {
        try await self.http.get("/devices/\(di)", token: token).member("status")
    }

    /// How many sessions the gateway has.
    func sessions() async throws -> Int? {
        try await self.admin.get("/status").member("sessions").flatMap { Int($0) }
    }

    // MARK: Provisioning, as the README does it

    /// Registers a user; the answer is the user's token.
    func register(_ uid: String) async throws -> String {
        try await self.token(
            self.http.post("/register/user", "{\"uid\": \"\(uid)\", \"authprovider\": \"github\"}"))
    }

    /// A mediator's token of this user.
    func mediator(_ uid: String, userToken: String) async throws -> String {
        try await self.token(
            self.http.post("/provision/mediator", "{\"uid\": \"\(uid)\", \"accesstoken\": \"\(userToken)\"}"))
    }

    /// A one-time code for a device.
    func deviceCode(_ di: String, mediator: String) async throws -> String {
        try await self.token(self.http.post("/provision/device", token: mediator, "{\"di\": \"\(di)\"}"))
    }

    /// A one-time code for a client.
    func clientCode(_ di: String, mediator: String) async throws -> String {
        try await self.token(self.http.post("/provision/client", token: mediator, "{\"di\": \"\(di)\"}"))
    }

    private func token(_ answer: HTTPTestAnswer) throws -> String {
        guard answer.status == 200, let token = answer.member("accesstoken") else {
            throw PeerError("no token: \(answer.status) \(answer.text)")
        }
        IssuedSecrets.shared.note(token)
        return token
    }

    // MARK: Devices and clients

    /// A new user with a mediator.
    func owner(_ uid: String) async throws -> Owner {
        let token = try await self.register(uid)
        return Owner(
            uid: uid, token: token, mediator: try await self.mediator(uid, userToken: token), gateway: self)
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

/// A user who can provision.
struct Owner: Sendable {
    let uid: String
    let token: String
    let mediator: String
    let gateway: RunningGateway

    /// A device that has signed up and signed in.
    func device(_ di: String) async throws -> SignedIn {
        let login = try await self.signedUp(di)
        return try await login.signIn()
    }

    /// A device that has signed up.
    func signedUp(_ di: String) async throws -> Login {
        let code = try await self.gateway.deviceCode(di, mediator: self.mediator)
        return try await self.signUp(di, code: code)
    }

    /// A client that has signed up and signed in over CoAP.
    func client(_ di: String) async throws -> SignedIn {
        let code = try await self.gateway.clientCode(di, mediator: self.mediator)
        return try await self.signUp(di, code: code).signIn()
    }

    func signUp(_ di: String, code: String) async throws -> Login {
        let peer = try await self.gateway.connect()
        let answer = try await peer.ask(.signUp(di: di, code: code))
        guard let item = answer.item, answer.code == .changed else {
            throw PeerError("sign-up of \(di): \(answer.code) \(answer.text)")
        }
        return try Login(item, di: di, peer: peer)
    }
}

/// What a sign-up or refresh gave.
struct Login: Sendable {
    let di: String
    let uid: String
    let accessToken: String
    let refreshToken: String
    let expiresIn: Int64
    let peer: ScriptedPeer

    init(_ item: DataItem, di: String, uid: String? = nil, peer: ScriptedPeer) throws {
        guard let access = item["accesstoken"]?.string, let refresh = item["refreshtoken"]?.string,
            let expires = item["expiresin"]?.integer, let uid = uid ?? item["uid"]?.string
        else { throw PeerError("incomplete login: \(item.pairs?.compactMap(\.key.string) ?? [])") }
        IssuedSecrets.shared.note(access)
        IssuedSecrets.shared.note(refresh)
        self.di = di
        self.uid = uid
        self.accessToken = access
        self.refreshToken = refresh
        self.expiresIn = expires
        self.peer = peer
    }

    /// Signs in on the connection of the sign-up, or on another one.
    func signIn(on other: ScriptedPeer? = nil) async throws -> SignedIn {
        let peer = other ?? self.peer
        let answer = try await peer.ask(.signIn(uid: self.uid, di: self.di, accessToken: self.accessToken))
        guard answer.code == .changed else { throw PeerError("sign-in: \(answer.code) \(answer.text)") }
        return SignedIn(login: self, peer: peer)
    }
}

extension ScriptedPeer {
    /// Refreshes, and takes the new tokens down.
    func refresh(_ di: String, of uid: String, with refreshToken: String) async throws -> Login {
        let answer = try await self.ask(.refresh(uid: uid, di: di, refreshToken: refreshToken))
        guard let item = answer.item, answer.code == .changed else {
            throw PeerError("refresh of \(di): \(answer.code) \(answer.text)")
        }
        return try Login(item, di: di, uid: uid, peer: self)
    }
}

/// A session.
struct SignedIn: Sendable {
    let login: Login
    let peer: ScriptedPeer
    var di: String { self.login.di }
    var uid: String { self.login.uid }

    @discardableResult
    func publish(_ hrefs: String...) async throws -> Message {
        try await self.peer.ask(.publish(di: self.di, hrefs: hrefs))
    }

    /// What the owner's devices have published, by `/{di}{href}`.
    func discover(_ queries: String...) async throws -> [String] {
        let answer = try await self.peer.ask(.ocf(.get, "oic/res", queries: queries))
        guard answer.code == .content, let links = answer.item?.elements else {
            throw PeerError("GET /oic/res: \(answer.code) \(answer.text)")
        }
        return links.compactMap { $0["href"]?.string }
    }
}
