import HTTPTypes
import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOPosix
import ServiceLifecycle
package import ServiceShell

/// The northbound's listener: HTTP/1.1 on Hummingbird's channel, handed to a responder.
///
/// `bind` takes the address before anything is served; `run` serves until graceful shutdown, and then lets requests in
/// progress finish. The router is the endpoint table: Hummingbird's own decodes and joins what a device must get as
/// it was written.
package final class NorthboundService: Service {
    private typealias Connection = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    private let listener: NIOAsyncChannel<Connection, Never>
    private let http: HTTP1Channel
    private let connections: HTTPConnections
    private let responder: NorthboundResponder
    private let logger: Logger

    /// The port that was taken.
    package let port: Int

    private init(
        listener: NIOAsyncChannel<Connection, Never>,
        http: HTTP1Channel,
        connections: HTTPConnections,
        responder: NorthboundResponder,
        port: Int,
        logger: Logger,
    ) {
        self.listener = listener
        self.http = http
        self.connections = connections
        self.responder = responder
        self.port = port
        self.logger = logger
    }

    /// Takes the address. Connections wait until `run`.
    package static func bind(
        _ configuration: NorthboundConfiguration,
        responder: NorthboundResponder,
        group: any EventLoopGroup,
        logger: Logger,
    ) async throws(BindError) -> NorthboundService {
        let connections = HTTPConnections(maximum: configuration.maximumConnections)
        let http = Self.channel(configuration, responder)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptErrors(logger: logger))
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        do {
            let listener = try await bootstrap.bind(
                host: configuration.host, port: configuration.port, serverBackPressureStrategy: nil
            ) { (channel) -> EventLoopFuture<Connection> in
                guard connections.enter(channel) else {
                    return channel.close().flatMapThrowing { throw ChannelError.operationUnsupported }
                }
                return http.setup(channel: channel, logger: logger)
            }
            // A TCP listener that is bound has an address with a port.
            let port = listener.channel.localAddress?.port ?? configuration.port
            return NorthboundService(
                listener: listener, http: http, connections: connections, responder: responder, port: port,
                logger: logger)
        } catch {
            throw BindError(
                host: configuration.host, port: configuration.port, variable: "HTTP_PORT", underlying: error)
        }
    }

    private static func channel(
        _ configuration: NorthboundConfiguration, _ responder: NorthboundResponder
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
                    ConnectionGuard(bodyTimeout: bodyTimeout) { responder.answerMalformed($0) }
                ],
                idleTimeout: TimeAmount(configuration.idleTimeout),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: configuration.maximumHeaderBytes,
                    maxHeaderListSize: configuration.maximumHeaderBytes,
                    maxHeaderFieldCount: configuration.maximumHeaderFields)))
    }

    /// Serves until graceful shutdown or cancellation, then until the requests in progress are answered.
    package func run() async throws {
        let connections = self.connections
        let channel = self.listener.channel
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await self.listener.executeThenClose { inbound in
                try await channel.setOption(.autoRead, value: true).get()
                await withDiscardingTaskGroup { group in
                    group.addTask { await self.responder.run() }
                    do {
                        for try await connection in inbound {
                            group.addTask {
                                await self.http.handle(value: connection, logger: self.logger)
                            }
                        }
                    } catch {
                        self.logger.error("stopped accepting HTTP connections", error: error)
                    }
                }
            }
        } onCancelOrGracefulShutdown: {
            channel.close(promise: nil)
            connections.quiesce()
            self.responder.streams.quiesce()
        }
    }

    /// Gives the port back without having served.
    package func close() async {
        // Closing a closed channel is the only failure, and then it is closed.
        try? await self.listener.channel.close().get()
    }
}

/// Keeps failures to accept one connection (no file descriptor left, say) from ending all accepting.
private final class AcceptErrors: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let logger: Logger

    init(logger: Logger) {
        self.logger = logger
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.logger.warning("an HTTP connection could not be accepted", error: error)
    }
}
