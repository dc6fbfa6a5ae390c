import Certificates
package import CoAP
package import Logging
package import NIOCore
import NIOPosix

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
        let acceptor = Acceptor(
            connections: ConnectionSet(
                sharing: ListenerGroup(maximumConnections: maximumConnections, limitName: limitName, logger: logger)),
            configuration: SharedConfiguration(configuration), limits: limits, loopWatch: loopWatch, logger: logger,
            makeDelegate: makeDelegate)
        return try await self.bind(host: host, port: port, group: group, acceptor) { channel in
            try prepare(channel)
            try acceptor.addCoAP(to: channel, arrival: ConnectionArrival())
        }
    }

    /// Binds and accepts at once, for devices and clients.
    /// - Parameters:
    ///   - port: 0 for any free one.
    ///   - proxies: who has to say on whose behalf it connects.
    ///   - sharing: the listeners that this one shares its places with.
    ///   - loopWatch: is asked before each read.
    ///   - makeDelegate: what stands behind a new connection; called on its event loop, once CoAP begins.
    /// - Throws: what binding failed with, as the system said it: the caller knows which setting moves the port.
    package static func bind(
        host: String, port: Int, transport: ListenerTransport, proxies: ProxySources = ProxySources(),
        sharing: ListenerGroup, group: any EventLoopGroup, configuration: ConnectionConfiguration,
        limits: TransportLimits = TransportLimits(), loopWatch: LoopWatch? = nil, logger: Logger,
        makeDelegate: @escaping @Sendable () -> any ConnectionDelegate
    ) async throws -> CoAPListener {
        let acceptor = Acceptor(
            connections: ConnectionSet(sharing: sharing), configuration: SharedConfiguration(configuration),
            limits: limits, loopWatch: loopWatch, logger: logger, makeDelegate: makeDelegate)
        if transport.scheme.isSecure { sharing.serves(group) }
        let listener = try await self.bind(
            host: host, port: port, group: group, acceptor, largestRead: Self.largestReadOfStrangers,
            allocator: transport.scheme.isSecure ? PageBuffers.allocator : ByteBufferAllocator()
        ) { channel in
            try acceptor.addFront(to: channel, transport: transport, proxies: proxies)
        }
        sharing.opened(transport.scheme, port: listener.port)
        if let certificates = transport.certificates, certificates.clients != .off {
            listener.watch(certificates, every: limits.certificateInterval)
        }
        return listener
    }

    private static func bind(
        host: String, port: Int, group: any EventLoopGroup, _ acceptor: Acceptor, largestRead: Int = 64 << 10,
        allocator: ByteBufferAllocator = ByteBufferAllocator(),
        fill: @escaping @Sendable (any Channel) throws -> Void
    ) async throws -> CoAPListener {
        let connections = acceptor.connections
        let limits = acceptor.limits
        let channel = try await ServerBootstrap(group: group)
            // As many as Linux lets wait by itself (net.core.somaxconn): a fleet that comes back at once must not
            // depend on repeated SYNs.
            .serverChannelOption(.backlog, value: 4096)
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
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptFailures(group: connections.group))
                }
            }
            // NIO keeps one buffer a channel for as long as it is open, with what it grew to: what devices and clients
            // send mostly fits the first. With more than one read a turn it would keep several.
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(
                    minimum: Self.firstRead, initial: Self.firstRead, maximum: largestRead)
            )
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.allocator, value: allocator)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // Nothing has been spent on it yet, neither TLS nor a buffer. Where something is short, nothing is
                    // left of it either.
                    if let refusal = connections.reserve(channel) {
                        guard refusal.isShortage else { throw ChannelError.operationUnsupported }
                        return channel.reset()
                    }
                    // One connection, one place: given back when the channel closes, whatever it came to.
                    let key = ObjectIdentifier(channel as AnyObject)
                    channel.closeFuture.whenComplete { _ in connections.remove(key) }
                    try fill(channel)
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

    /// How many bytes are read at once to begin with, and how many when much comes.
    private static let firstRead = 512
    private static let largestReadOfStrangers = 16 << 10

    /// How many peers a second are asked to come back after a Release: well below what one process takes.
    private static let returnsPerSecond = 500

    /// How many connections are open.
    package var connectionCount: Int { self.connections.count }

    /// Stops accepting; connections stay.
    package func stopAccepting() async {
        // Closing a closed channel is the only failure, and then it is closed.
        try? await self.channel.close().get()
    }

    /// Ends the connections of peers whose certificate does not hold any more: revoked, over, or of an authority that
    /// is not trusted now. One timer for all of them.
    private func watch(_ certificates: ServerCertificates, every interval: TimeAmount) {
        let (channel, connections) = (self.channel, self.connections)
        certificates.whenTrustIsTaken {
            Self.abort(connections.all, of: connections, certificates)
        }
        channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { timer in
            if !channel.isActive, connections.count == 0 { return timer.cancel() }
            Self.abort(connections.takeEnded(now: AuthorityFolder.clock()), of: connections, certificates)
        }
    }

    /// Tells peers why, and closes them.
    private static func abort(
        _ some: [CoAPConnection], of connections: ConnectionSet, _ certificates: ServerCertificates
    ) {
        var faulty: [PeerCertificateFault: [CoAPConnection]] = [:]
        for connection in some {
            guard let fault = connection.arrival.certificate.flatMap({ certificates.fault(of: $0) }) else { continue }
            faulty[fault, default: []].append(connection)
            connection.abort(fault.rawValue)
        }
        for (fault, ended) in faulty { connections.group.ended(fault, ended) }
    }

    /// Closes every connection without a word; those of the event loop the caller is on have ended on return.
    package func closeAll(reason: String) {
        self.connections.closeOpening()
        for connection in self.connections.all {
            connection.close(reason: reason)
        }
    }

    /// Asks every peer to close (RFC 8323 §5.5), waits at most `grace`, then closes the rest. Each is told to hold off
    /// for another time, so that they do not come back all at once.
    package func releaseAll(grace: TimeAmount) async {
        self.connections.closeOpening()
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
