import Cloud
import CoAP
import CoAPTransport
import Hop
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

extension ClusterSecrets {
    /// Of one byte, many times over.
    static func of(_ current: UInt8, previous: UInt8? = nil) throws -> ClusterSecrets {
        ClusterSecrets(current: try .filled(current), previous: try previous.map { try .filled($0) })
    }
}

extension ClusterSecret {
    static func filled(_ byte: UInt8) throws -> ClusterSecret {
        try ClusterSecret([UInt8](repeating: byte, count: ClusterSecret.minimumBytes))
    }
}

/// What a listener was asked, and how it answers.
final class HopServer: Sendable {
    typealias Answer = @Sendable (Response) -> Void
    typealias Handling = @Sendable (Request, @escaping Answer) -> Void

    struct Asked: Sendable {
        let request: Request
        let answer: Answer
    }

    private struct Handler: Responder {
        let resource: ScriptedResource?
        let handling: Handling

        func respond(to request: Request, answer: @escaping Answer) { self.handling(request, answer) }

        func observe(
            _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
        ) -> ObservationHandle {
            guard let resource = self.resource else {
                self.handling(request) { event(.ended($0)) }
                return ObservationHandle {}
            }
            return resource.observe(request, event: event)
        }
    }

    let listener: HopListener
    let requests: AsyncStream<Asked>
    private let count: Counter

    final class Counter: Sendable {
        private let value = Atomic(0)
        func increment() { self.value.add(1, ordering: .relaxed) }
        var current: Int { self.value.load(ordering: .relaxed) }
    }

    /// Requests that reached the responder.
    var asked: Int { self.count.current }

    private init(listener: HopListener, requests: AsyncStream<Asked>, count: Counter) {
        self.listener = listener
        self.requests = requests
        self.count = count
    }

    /// Without `handling` requests are put into `requests`.
    static func bind(
        host: String = "127.0.0.1", port: Int = 0, name: String = "pod-1.boot", secrets: ClusterSecrets? = nil,
        tls: HopTLS? = nil, limits: HopLimits = HopLimits(), logger: Logger = HopBench.logger,
        resource: ScriptedResource? = nil, handling: Handling? = nil
    ) async throws -> HopServer {
        let (requests, continuation) = AsyncStream.makeStream(of: Asked.self)
        let count = Counter()
        let listener = try await HopListener.bind(
            host: host, port: port, group: MultiThreadedEventLoopGroup.singleton, name: name,
            secrets: try secrets ?? .of(1), tls: tls, limits: limits, stopGrace: .zero, logger: logger,
            responder: Handler(resource: resource) { request, answer in
                count.increment()
                if let handling {
                    handling(request, answer)
                } else {
                    continuation.yield(Asked(request: request, answer: answer))
                }
            })
        return HopServer(listener: listener, requests: requests, count: count)
    }

    func target(_ name: String = "pod-1.boot", certificateName: String? = nil) -> HopTarget {
        HopTarget(host: "127.0.0.1", port: self.listener.port, name: name, certificateName: certificateName)
    }

    func next() async throws -> Asked {
        for await asked in self.requests { return asked }
        throw PeerError("no request")
    }

    /// A peer that has to prove itself, and has our CSM already.
    func peer() async throws -> ScriptedPeer {
        let peer = try await ScriptedPeer.connect(port: self.listener.port)
        guard try await peer.receive().code == .capabilitiesAndSettings else { throw PeerError("no CSM") }
        return peer
    }
}

enum HopBench {
    /// Where everything has to go over one connection.
    static let oneLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func pool(
        on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, secrets: ClusterSecrets? = nil,
        tls: HopTLS? = nil, limits: HopLimits = HopLimits()
    ) throws -> HopPool {
        HopPool(
            group: group, name: "edge-1.boot", role: "northbound", secrets: try secrets ?? .of(1), tls: tls,
            limits: limits, logger: Self.logger)
    }

    /// Runs `body`, then stops everything.
    static func with(_ server: HopServer, _ pool: HopPool, _ body: () async throws -> Void) async throws {
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        pool.shutDown()
        await server.listener.stop()
        try result.get()
    }
}

extension HopPool {
    func send(_ request: Request, to target: HopTarget) async -> Response {
        await withCheckedContinuation { continuation in
            self.send(request, to: target) { continuation.resume(returning: $0) }
        }
    }
}

extension Request {
    static func hop(_ method: Code = .get, _ path: String = "x", milliseconds: UInt32? = nil, bytes: Int = 0) -> Request
    {
        var request = Request(method, path: [path], payload: ByteBuffer(repeating: 7, count: bytes))
        request.options.deadlineMilliseconds = milliseconds
        return request
    }
}

/// Collects answers, and who got more than one.
final class Answers: Sendable {
    private let all = Mutex<[Int: [Response]]>([:])

    func send(_ index: Int, _ request: Request, to target: HopTarget, over pool: HopPool) {
        pool.send(request, to: target) { response in
            self.all.withLock { $0[index, default: []].append(response) }
        }
    }

    var responses: [Response] { self.all.withLock { $0.values.flatMap { $0 } } }
    var isOnceEach: Bool { self.all.withLock { $0.values.allSatisfy { $0.count == 1 } } }

    func wait(for count: Int) async throws {
        try await eventually("\(count) answers") { self.responses.count >= count }
    }

    func count(_ undelivered: Undelivered) -> Int {
        self.responses.count { $0.options.undelivered == undelivered }
    }

    func count(_ unknown: UnknownOutcome) -> Int {
        self.responses.count { $0.options.unknownOutcome == unknown }
    }
}
