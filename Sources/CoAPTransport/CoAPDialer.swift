package import CoAP
package import Logging
package import NIOCore
import NIOPosix

/// Opens CoAP connections over TCP.
package struct CoAPDialer: Sendable {
    private let group: any EventLoopGroup
    private let configuration: ConnectionConfiguration
    private let limits: TransportLimits
    private let loopWatch: LoopWatch?
    private let logger: Logger

    /// - Parameter loopWatch: is asked before each read.
    package init(
        group: any EventLoopGroup, configuration: ConnectionConfiguration = .client,
        limits: TransportLimits = TransportLimits(messagesPerSecond: nil), loopWatch: LoopWatch? = nil, logger: Logger
    ) {
        self.group = group
        self.configuration = configuration
        self.limits = limits
        self.loopWatch = loopWatch
        self.logger = logger
    }

    /// Connects and sends our CSM; the peer's is not waited for (RFC 8323 §5.3).
    /// - Parameters:
    ///   - server: answers the peer's requests; without one they get 4.04.
    package func connect(
        host: String, port: Int, timeout: TimeAmount, server: (any Responder)?
    ) async throws(TransportError) -> CoAPConnection {
        let connected = self.connect(host: host, port: port, timeout: timeout, on: self.group.next()) {
            ResponderDelegate(server: server)
        }
        do {
            return try await connected.get()
        } catch {
            throw TransportError(connecting: error, to: "\(host):\(port)")
        }
    }

    /// The same on a certain event loop. Fails with a `TransportError`.
    /// - Parameters:
    ///   - prepare: puts what stands between the socket and CoAP into the pipeline.
    ///   - makeDelegate: what stands behind a connection; called on its event loop, once for each address tried.
    package func connect(
        host: String, port: Int, timeout: TimeAmount, on eventLoop: any EventLoop,
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in },
        makeDelegate: @escaping @Sendable () -> any ConnectionDelegate
    ) -> EventLoopFuture<CoAPConnection> {
        let configuration = self.configuration
        let limits = self.limits
        let turn = self.loopWatch?.turn(of: eventLoop)
        let logger = self.logger
        // A name with several addresses makes several channels, of which one is connected in the end.
        let made = NIOLoopBoundBox.makeBoxSendingValue(
            [:], as: [ObjectIdentifier: CoAPConnection].self, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try prepare(channel)
                    let ended = channel.eventLoop.makePromise(of: ConnectionEnd.self)
                    let handler = ConnectionHandler(
                        configuration: configuration, limits: limits, delegate: makeDelegate(),
                        tokenSeed: .random(in: .min ... .max), ended: ended, turn: turn, logger: logger)
                    try channel.pipeline.syncOperations.addHandler(handler)
                    made.value[ObjectIdentifier(channel)] = CoAPConnection(
                        channel: channel, handler: handler, ended: ended.futureResult)
                }
            }
        // What is an address already needs no thread to resolve it.
        let channel =
            if let address = try? SocketAddress(ipAddress: host, port: port) {
                bootstrap.connect(to: address)
            } else {
                bootstrap.connect(host: host, port: port)
            }
        return channel.flatMapThrowing { channel in
            guard let connection = made.value[ObjectIdentifier(channel)] else {
                throw ChannelError.operationUnsupported
            }
            return connection
        }.flatMapErrorThrowing { error in
            throw TransportError(connecting: error, to: "\(host):\(port)")
        }
    }
}

/// Hands the peer's requests to a responder.
private final class ResponderDelegate: ConnectionDelegate {
    private let server: (any Responder)?
    private var connection: CoAPConnection?
    private var observations: ServedObservations?

    init(server: (any Responder)?) {
        self.server = server
    }

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.observations = ServedObservations(connection)
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        guard let connection = self.connection else { return }
        guard let server = self.server else {
            connection.respond(to: id, with: Response(.notFound, diagnostic: "this client serves no resources"))
            return
        }
        if request.registers {
            self.observations?.serve(request, id: id, by: server)
        } else {
            server.respond(to: request) { connection.respond(to: id, with: $0) }
        }
    }

    func connectionCancelled(_ id: IncomingID) {
        self.observations?.cancelled(id)
    }

    func connectionReleased() {}

    func connectionIgnored(_ message: IgnoredMessage) {}

    func connectionEnded(_ end: ConnectionEnd) {
        self.observations?.endAll()
        self.observations = nil
        self.connection = nil
    }
}

extension TransportError {
    /// One sentence for whoever asked for the connection.
    init(connecting error: any Error, to target: String) {
        switch error {
        case let error as TransportError:
            self = error
        case let error as NIOConnectionError:
            if error.connectionErrors.isEmpty {
                self.init(.unresolved, "\(target): the name could not be resolved to an address")
            } else if let first = error.connectionErrors.first {
                self.init(connecting: first.error, to: target)
            } else {
                self.init(.failed, "\(target): \(error)")
            }
        case ChannelError.connectTimeout(let timeout):
            let milliseconds = timeout.nanoseconds / 1_000_000
            self.init(.timedOut, "\(target): no answer to the connection attempt within \(milliseconds) ms")
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            self.init(.refused, "\(target): connection refused: nothing listens there")
        case let error as SocketAddressError:
            self.init(.unresolved, "\(target): \(error)")
        default:
            self.init(.failed, "\(target): \(error)")
        }
    }
}
