import Certificates
import CoAP
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

@testable import CoAPTransport

/// What a connection told its delegate.
enum ConnectionEvent: Sendable {
    case opened(CoAPConnection)
    case secured(PeerCertificate?)
    case received(Request, IncomingID)
    case released
    case ignored(IgnoredMessage)
    case ended(ConnectionEnd)
    /// The listener did not take a connection.
    case refused(ListenerRefusal)
    /// The listener wrote a log line at info or above.
    case logged(String, Logger.Metadata)
}

/// A listener on a free port, whose connections report to one stream of events in the order they happen.
final class ListenerBench: Sendable {
    /// What the listener does with a request: nothing, or at once this.
    typealias Handling = @Sendable (CoAPConnection, Request, IncomingID) -> Void

    let listener: CoAPListener
    let events: AsyncStream<ConnectionEvent>

    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private init(listener: CoAPListener, events: AsyncStream<ConnectionEvent>) {
        self.listener = listener
        self.events = events
    }

    static func with(
        _ configuration: ConnectionConfiguration = ConnectionConfiguration(),
        limits: TransportLimits = TransportLimits(), maximumConnections: Int = 100,
        transport: ListenerTransport = .tcp, proxies: ProxySources = ProxySources(), plainPort: Int? = nil,
        group loops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, handshakes: HandshakeLimits? = nil,
        admits: @escaping @Sendable (SourcePrefix) -> Bool = { _ in true },
        ceiling: ListenerCeiling = ListenerCeiling(),
        handling: @escaping Handling = { _, _, _ in },
        _ body: (ListenerBench) async throws -> Void
    ) async throws {
        let (events, continuation) = AsyncStream.makeStream(of: ConnectionEvent.self)
        let logger = Logger(label: "test") { _ in EventLogHandler(events: continuation) }
        let group = ListenerGroup(
            maximumConnections: maximumConnections, handshakes: handshakes, logger: logger, admits: admits,
            ceiling: ceiling, onRefusal: { continuation.yield(.refused($0)) })
        if let plainPort { group.opened(.tcp, port: plainPort) }
        let listener = try await CoAPListener.bind(
            host: "127.0.0.1", port: 0, transport: transport, proxies: proxies, sharing: group,
            group: loops, configuration: configuration, limits: limits, logger: Self.logger
        ) {
            ReportingDelegate(events: continuation, handling: handling)
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(ListenerBench(listener: listener, events: events)))
        } catch {
            result = .failure(error)
        }
        await listener.stopAccepting()
        await listener.releaseAll(grace: .zero)
        try result.get()
    }

    func connect(staysHalfOpen: Bool = false) async throws -> ScriptedPeer {
        try await ScriptedPeer.connect(port: self.listener.port, staysHalfOpen: staysHalfOpen)
    }

    /// A peer and the listener's end of its connection.
    func pair(staysHalfOpen: Bool = false) async throws -> (peer: ScriptedPeer, connection: CoAPConnection) {
        let peer = try await self.connect(staysHalfOpen: staysHalfOpen)
        let connection = try await self.next("a connection") { event -> CoAPConnection? in
            if case .opened(let connection) = event { connection } else { nil }
        }
        return (peer, connection)
    }

    /// The next event that gives a value; the others before it are dropped.
    func next<Value>(_ what: String, _ pick: (ConnectionEvent) -> Value?) async throws -> Value {
        for await event in self.events {
            if let value = pick(event) { return value }
        }
        throw PeerError("no \(what)")
    }

    /// Every place was given back: returns when that is so.
    func emptied() async throws {
        try await eventually("every place given back") { self.listener.connectionCount == 0 }
    }

    func refusal() async throws -> ListenerRefusal {
        try await self.next("refusal") { if case .refused(let refusal) = $0 { refusal } else { nil } }
    }

    func logLine() async throws -> (message: String, metadata: Logger.Metadata) {
        try await self.next("log line") { event -> (message: String, metadata: Logger.Metadata)? in
            if case .logged(let text, let metadata) = event { (text, metadata) } else { nil }
        }
    }

    func end() async throws -> ConnectionEnd {
        try await self.next("end") { if case .ended(let end) = $0 { end } else { nil } }
    }
}

private final class ReportingDelegate: ConnectionDelegate {
    private let events: AsyncStream<ConnectionEvent>.Continuation
    private let handling: ListenerBench.Handling
    private var connection: CoAPConnection?

    init(events: AsyncStream<ConnectionEvent>.Continuation, handling: @escaping ListenerBench.Handling) {
        self.events = events
        self.handling = handling
    }

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.events.yield(.opened(connection))
    }

    func connectionSecured(with certificate: PeerCertificate?) {
        self.events.yield(.secured(certificate))
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        self.events.yield(.received(request, id))
        if let connection = self.connection { self.handling(connection, request, id) }
    }

    func connectionReleased(to alternativeAddresses: [String]) { self.events.yield(.released) }

    func connectionIgnored(_ message: IgnoredMessage) { self.events.yield(.ignored(message)) }

    func connectionEnded(_ end: ConnectionEnd) {
        self.connection = nil
        self.events.yield(.ended(end))
    }
}

/// Counts how requests ended.
final class Outcomes: Sendable {
    private let results = Mutex<[Int: [Result<Response, ExchangeError>]]>([:])
    private let done: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init() {
        (self.done, self.signal) = AsyncStream.makeStream(of: Void.self)
    }

    /// Sends a request, to be found under `index`.
    func send(
        _ index: Int, on connection: CoAPConnection, timeout: TimeAmount = .seconds(20),
        _ request: Request = Request(.get, path: ["light"])
    ) {
        connection.send(request, deadline: .now() + timeout) { result in
            self.results.withLock { $0[index, default: []].append(result) }
            self.signal.yield()
        }
    }

    /// Waits until so many have ended.
    func wait(for count: Int) async {
        var left = count
        for await _ in self.done {
            left -= 1
            if left == 0 { return }
        }
    }

    var all: [Int: [Result<Response, ExchangeError>]] { self.results.withLock { $0 } }
    var errors: [ExchangeError] {
        self.all.values.flatMap { $0 }.compactMap { if case .failure(let error) = $0 { error } else { nil } }
    }
}

/// Turns log lines into events.
private struct EventLogHandler: LogHandler {
    let events: AsyncStream<ConnectionEvent>.Continuation
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    init(events: AsyncStream<ConnectionEvent>.Continuation) {
        self.events = events
    }

    func log(event: LogEvent) {
        self.events.yield(.logged("\(event.message)", event.metadata ?? [:]))
    }
}
