package import CoAP
package import Logging
package import NIOCore
import NIOPosix
import Synchronization

/// Accepts CoAP connections over TCP.
package final class CoAPListener: Sendable {
    private let channel: any Channel
    private let connections: ConnectionSet

    private init(channel: any Channel, connections: ConnectionSet) {
        self.channel = channel
        self.connections = connections
    }

    /// Binds and accepts at once.
    /// - Parameters:
    ///   - port: 0 for any free one.
    ///   - maximumConnections: a connection above that is closed as soon as it was accepted.
    ///   - limitName: the setting that `maximumConnections` comes from, for the log line.
    ///   - loopWatch: is asked before each read.
    ///   - prepare: puts what stands between the socket and CoAP into the pipeline; a connection it refuses is closed.
    ///   - makeDelegate: what stands behind a new connection; called on its event loop.
    /// - Throws: what binding failed with, as the system said it: the caller knows which setting moves the port.
    package static func bind(
        host: String, port: Int, group: any EventLoopGroup, configuration: ConnectionConfiguration,
        limits: TransportLimits = TransportLimits(), maximumConnections: Int,
        limitName: String = "MAX_CONNECTIONS", loopWatch: LoopWatch? = nil, logger: Logger,
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in },
        makeDelegate: @escaping @Sendable () -> any ConnectionDelegate
    ) async throws -> CoAPListener {
        let connections = ConnectionSet(maximum: maximumConnections)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(
                .tcpOption(.init(rawValue: Self.userTimeoutOption)), value: limits.userTimeoutMilliseconds
            )
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: limits.outboundBufferBytes / 4, high: limits.outboundBufferBytes)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard connections.reserve() else {
                        if connections.mayWarn(now: .now()) {
                            logger.warning(
                                "connection refused: as many as \(limitName) are open",
                                metadata: ["connections.maximum": "\(maximumConnections)"])
                        }
                        throw ChannelError.operationUnsupported
                    }
                    // One connection, one place: given back when the channel closes, whatever it came to.
                    let key = ObjectIdentifier(channel as AnyObject)
                    channel.closeFuture.whenComplete { _ in connections.remove(key) }
                    try prepare(channel)
                    let ended = channel.eventLoop.makePromise(of: ConnectionEnd.self)
                    let handler = ConnectionHandler(
                        configuration: configuration, limits: limits, delegate: makeDelegate(),
                        tokenSeed: .random(in: .min ... .max), ended: ended,
                        turn: loopWatch?.turn(of: channel.eventLoop), logger: logger)
                    connections.insert(
                        key, CoAPConnection(channel: channel, handler: handler, ended: ended.futureResult))
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: host, port: port)
            .get()
        return CoAPListener(channel: channel, connections: connections)
    }

    /// The port that was bound.
    package var port: Int { self.channel.localAddress?.port ?? 0 }

    /// `TCP_USER_TIMEOUT` of Linux: how long sent bytes may stay unacknowledged before the connection counts as lost.
    private static let userTimeoutOption: CInt = 18

    /// How many peers a second are asked to come back after a Release: well below what one process takes.
    private static let returnsPerSecond = 500

    /// How many connections are open.
    package var connectionCount: Int { self.connections.count }

    /// Stops accepting; connections stay.
    package func stopAccepting() async {
        // Closing a closed channel is the only failure, and then it is closed.
        try? await self.channel.close().get()
    }

    /// Closes every connection without a word; those of the event loop the caller is on have ended on return.
    package func closeAll(reason: String) {
        for connection in self.connections.all {
            connection.close(reason: reason)
        }
    }

    /// Asks every peer to close (RFC 8323 §5.5), waits at most `grace`, then closes the rest. Each is told to hold off
    /// for another time, so that they do not come back all at once.
    package func releaseAll(grace: TimeAmount) async {
        let open = self.connections.all
        let deadline = NIODeadline.now() + grace
        let latest = UInt32(clamping: 1 + open.count / Self.returnsPerSecond)
        for connection in open {
            connection.release(holdOffSeconds: .random(in: 1...latest))
            connection.eventLoop.scheduleTask(deadline: deadline) {
                connection.close(reason: "the gateway is stopping")
            }
        }
        for connection in open {
            _ = await connection.ended
        }
    }
}

/// The open connections of one listener, bounded.
private final class ConnectionSet: Sendable {
    private struct State {
        var reserved = 0
        var connections: [ObjectIdentifier: CoAPConnection] = [:]
        var nextWarning = NIODeadline.uptimeNanoseconds(0)
    }

    private let maximum: Int
    private let state = Mutex(State())

    init(maximum: Int) {
        self.maximum = maximum
    }

    var count: Int { self.state.withLock { $0.reserved } }
    var all: [CoAPConnection] { self.state.withLock { Array($0.connections.values) } }

    func reserve() -> Bool {
        self.state.withLock { state in
            guard state.reserved < self.maximum else { return false }
            state.reserved += 1
            return true
        }
    }

    /// Once in 10 s: whoever knocks all the time must not fill the log.
    func mayWarn(now: NIODeadline) -> Bool {
        self.state.withLock { state in
            guard state.nextWarning <= now else { return false }
            state.nextWarning = now + .seconds(10)
            return true
        }
    }

    func insert(_ key: ObjectIdentifier, _ connection: CoAPConnection) {
        self.state.withLock { $0.connections[key] = connection }
    }

    func remove(_ key: ObjectIdentifier) {
        self.state.withLock { state in
            state.connections[key] = nil
            state.reserved -= 1
        }
    }
}
