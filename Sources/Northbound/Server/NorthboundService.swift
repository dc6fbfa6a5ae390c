package import Certificates
import HTTPTypes
import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOPosix
import NIOSSL
import ServiceLifecycle
package import ServiceShell
import Synchronization

/// The northbound's listeners: HTTP/1.1, plain and over TLS, on Hummingbird's channel, handed to a responder.
///
/// `bind` takes the address before anything is served; `run` serves until graceful shutdown, and then lets requests in
/// progress finish. The router is the endpoint table: Hummingbird's own decodes and joins what a device must get as
/// it was written.
package final class NorthboundService: Service {
    private typealias Connection = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    private let doors: [Door]
    private let http: HTTP1Channel
    private let connections: HTTPConnections
    private let responder: NorthboundResponder
    private let logger: Logger
    /// `finish` closes the doors before the shutdown of this service, which `run` must wait for then.
    private let isFinishing = Atomic(false)

    /// The port that was taken for HTTP.
    package let port: Int
    /// The port that was taken for HTTPS; nil: there is none.
    package let securePort: Int?

    private init(
        _ plain: Door, secure: Door?, http: HTTP1Channel, connections: HTTPConnections, responder: NorthboundResponder,
        logger: Logger
    ) {
        self.doors = [plain] + (secure.map { [$0] } ?? [])
        self.http = http
        self.connections = connections
        self.responder = responder
        self.port = plain.port
        self.securePort = secure?.port
        self.logger = logger
    }

    /// Takes the addresses. Connections wait until `run`.
    /// - Parameters:
    ///   - certificates: what is shown on the port for HTTPS; nil: there is none.
    ///   - ceilings: what connections have to fit under together with those of other ports; nil: nothing.
    package static func bind(
        _ configuration: NorthboundConfiguration,
        responder: NorthboundResponder,
        certificates: ServerCertificates? = nil,
        ceilings: Ceilings? = nil,
        group: any EventLoopGroup,
        logger: Logger,
    ) async throws(BindError) -> NorthboundService {
        let connections = HTTPConnections(maximum: configuration.maximumConnections, ceilings: ceilings)
        let lines = ListenerLines(logger: logger, metrics: responder.metrics)
        let http = Self.channel(configuration, responder, connections)
        let plain = try await Self.open(
            configuration.host, configuration.port, "HTTP_PORT", group, lines, connections
        ) { http.setup(channel: $0, logger: logger) }
        guard let certificates, let securePort = configuration.securePort else {
            return NorthboundService(
                plain, secure: nil, http: http, connections: connections, responder: responder, logger: logger)
        }
        do throws(BindError) {
            let secure = try await Self.open(
                configuration.host, securePort, "HTTPS_PORT", group, lines, connections
            ) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PlainHTTPRefuser(lines: lines))
                    try channel.pipeline.syncOperations.addHandler(certificates.handshake().handler)
                    try channel.pipeline.syncOperations.addHandler(HandshakeDeadline())
                }.flatMap { http.setup(channel: channel, logger: logger) }
            }
            return NorthboundService(
                plain, secure: secure, http: http, connections: connections, responder: responder, logger: logger)
        } catch {
            await plain.close()
            throw error
        }
    }

    private static func open(
        _ host: String, _ port: Int, _ variable: String, _ group: any EventLoopGroup, _ lines: ListenerLines,
        _ connections: HTTPConnections,
        setup: @escaping @Sendable (any Channel) -> EventLoopFuture<Connection>
    ) async throws(BindError) -> Door {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptPause { lines.notAccepted($0, variable) })
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.tcpOption(.init(rawValue: Self.userTimeoutOption)), value: Self.userTimeout)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        do {
            let listener = try await bootstrap.bind(host: host, port: port, serverBackPressureStrategy: nil) {
                (channel) -> EventLoopFuture<Connection> in
                // A client that speaks TLS could be told only after a handshake.
                let entry = connections.enter(channel, canBeTold: variable == "HTTP_PORT")
                if let refusal = entry.refusal { lines.refused(refusal, variable) }
                if case .closed = entry {
                    return channel.close().flatMapThrowing { throw ChannelError.operationUnsupported }
                }
                return setup(channel)
            }
            // A TCP listener that is bound has an address with a port.
            return Door(listener: listener, port: listener.channel.localAddress?.port ?? port)
        } catch {
            throw BindError(host: host, port: port, variable: variable, underlying: error)
        }
    }

    /// TCP_USER_TIMEOUT of Linux: how long what we wrote may stay unacknowledged, in ms. A client that is gone without
    /// a word is noticed by its next heartbeat, and not when the kernel gives up after a quarter of an hour.
    private static let userTimeoutOption: CInt = 18
    private static let userTimeout: ChannelOptions.Types.SocketOption.Value = 30_000

    private static func channel(
        _ configuration: NorthboundConfiguration, _ responder: NorthboundResponder, _ connections: HTTPConnections
    ) -> HTTP1Channel {
        let bodyTimeout = TimeAmount(configuration.bodyTimeout)
        return HTTP1Channel(
            responder: { request, writer, channel in
                let response = try await responder.respond(to: request, on: channel)
                do {
                    try await writer.write(response: response.head, body: response.body)
                } catch is HTTPParserError {
                    // A second response must not follow the one that was begun.
                    throw ChannelError.inputClosed
                }
            },
            configuration: .init(
                additionalChannelHandlers: [
                    ConnectionGuard(
                        bodyTimeout: bodyTimeout, isDraining: { connections.isDraining },
                        isRefused: { connections.isRefused($0) }
                    ) {
                        responder.answerUnheard($0)
                    }
                ],
                idleTimeout: TimeAmount(configuration.idleTimeout),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: configuration.maximumHeaderBytes,
                    maxHeaderListSize: configuration.maximumHeaderBytes,
                    maxHeaderFieldCount: configuration.maximumHeaderFields)))
    }

    /// Serves until graceful shutdown or cancellation, then until the requests in progress are answered.
    package func run() async throws {
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await self.responder.run() }
                try await withThrowingDiscardingTaskGroup { doors in
                    for door in self.doors {
                        doors.addTask {
                            // One door alone is an outage too: whoever runs us must hear of it.
                            defer { self.closeDoors() }
                            try await self.serve(door)
                        }
                    }
                }
                group.cancelAll()
            }
            // After `finish` the doors are closed before everybody else stops: whoever runs us would take that for a
            // failure.
            if self.isFinishing.load(ordering: .acquiring) { try? await gracefulShutdown() }
        } onCancelOrGracefulShutdown: {
            self.quiesce()
        }
    }

    /// Serves on, and tells each client to go elsewhere next time (RFC 9112 §9.6). Event streams go on.
    package func drain() {
        self.connections.drain()
    }

    /// Takes nothing more and returns when what is in progress is answered, or `patience` is over.
    package func finish(within patience: Duration) async {
        // Before the doors close: `run` looks at it then.
        self.isFinishing.store(true, ordering: .releasing)
        self.quiesce()
        let deadline = ContinuousClock.now + patience
        while !self.connections.isEmpty, ContinuousClock.now < deadline, !Task.isCancelled {
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    private func quiesce() {
        self.closeDoors()
        self.connections.quiesce()
        self.responder.streams.quiesce()
    }

    private func serve(_ door: Door) async throws {
        try await door.listener.executeThenClose { inbound in
            try await door.listener.channel.setOption(.autoRead, value: true).get()
            await withDiscardingTaskGroup { group in
                do {
                    for try await connection in inbound {
                        group.addTask(executorPreference: LoopTasks(connection.channel.eventLoop)) {
                            await self.http.handle(value: connection, logger: self.logger)
                        }
                    }
                } catch {
                    self.logger.error("stopped accepting HTTP connections", error: error)
                }
            }
        }
    }

    private func closeDoors() {
        for door in self.doors { door.listener.channel.close(promise: nil) }
    }

    /// Gives the ports back without having served.
    package func close() async {
        for door in self.doors { await door.close() }
    }

    /// A listener.
    private struct Door: Sendable {
        let listener: NIOAsyncChannel<Connection, Never>
        let port: Int

        func close() async {
            // Closing a closed channel is the only failure, and then it is closed.
            try? await self.listener.channel.close().get()
        }
    }
}
