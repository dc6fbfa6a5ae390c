package import CoAP
package import Logging
package import NIOCore
import NIOPosix
import NIOSSL

/// Opens CoAP connections over TCP, TLS and WebSocket.
package struct CoAPDialer: Sendable {
    private let group: any EventLoopGroup
    private let configuration: SharedConfiguration
    private let limits: TransportLimits
    private let loopWatch: LoopWatch?
    private let logger: Logger

    /// - Parameter loopWatch: is asked before each read.
    package init(
        group: any EventLoopGroup, configuration: ConnectionConfiguration = .client,
        limits: TransportLimits = TransportLimits(messagesPerSecond: nil), loopWatch: LoopWatch? = nil, logger: Logger
    ) {
        self.group = group
        self.configuration = SharedConfiguration(configuration)
        self.limits = limits
        self.loopWatch = loopWatch
        self.logger = logger
    }

    /// Connects and sends our CSM; the peer's is not waited for (RFC 8323 §5.3).
    /// - Parameters:
    ///   - transport: what stands between the socket and CoAP.
    ///   - timeout: for the connection, and once more for handshake and upgrade.
    ///   - server: answers the peer's requests; without one they get 4.04.
    package func connect(
        host: String, port: Int, transport: DialTransport = .tcp, timeout: TimeAmount, server: (any Responder)?
    ) async throws(TransportError) -> CoAPConnection {
        let connected = self.connect(
            host: host, port: port, transport: transport, timeout: timeout, on: self.group.next()
        ) {
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
    ///   - prepare: puts what stands between the socket and CoAP into the pipeline, if `transport` is not it.
    ///   - makeDelegate: what stands behind a connection; called on its event loop, at most once for each address
    ///     tried.
    package func connect(
        host: String, port: Int, transport: DialTransport = .tcp, timeout: TimeAmount, on eventLoop: any EventLoop,
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in },
        makeDelegate: @escaping @Sendable () -> any ConnectionDelegate
    ) -> EventLoopFuture<CoAPConnection> {
        let turn = self.loopWatch?.turn(of: eventLoop)
        let attempt = DialAttempt(
            host: host, port: port, transport: transport, timeout: timeout, configuration: self.configuration,
            limits: self.limits, turn: turn, logger: self.logger, makeDelegate: makeDelegate)
        // A name with several addresses makes several channels, of which one is connected in the end.
        let made = NIOLoopBoundBox.makeBoxSendingValue(
            [:], as: [ObjectIdentifier: EventLoopFuture<CoAPConnection>].self, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try prepare(channel)
                    made.value[ObjectIdentifier(channel)] = try attempt.fill(channel)
                }
            }
        // What is an address already needs no thread to resolve it.
        let channel =
            if let address = try? SocketAddress(ipAddress: host, port: port) {
                bootstrap.connect(to: address)
            } else {
                bootstrap.connect(host: host, port: port)
            }
        return channel.flatMap { channel in
            made.value[ObjectIdentifier(channel)]
                ?? channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }.flatMapErrorThrowing { error in
            throw TransportError(connecting: error, to: "\(host):\(port)")
        }
    }
}

/// Fills the pipelines of one attempt to connect.
private struct DialAttempt: Sendable {
    let host: String
    let port: Int
    let transport: DialTransport
    let timeout: TimeAmount
    let configuration: SharedConfiguration
    let limits: TransportLimits
    let turn: LoopTurn?
    let logger: Logger
    let makeDelegate: @Sendable () -> any ConnectionDelegate

    /// The connection, once everything in front of CoAP is done.
    func fill(_ channel: any Channel) throws -> EventLoopFuture<CoAPConnection> {
        let scheme = self.transport.scheme
        guard scheme != .tcp else { return channel.eventLoop.makeSucceededFuture(try self.addCoAP(to: channel)) }
        let pipeline = channel.pipeline.syncOperations
        if let tls = try self.transport.tlsHandler(host: self.host) {
            try pipeline.addHandler(tls)
        }
        if scheme.isWebSocket {
            try DialFront.addUpgrade(to: pipeline, limits: self.configuration.value.limits)
        }
        let ready = channel.eventLoop.makePromise(of: CoAPConnection.self)
        try pipeline.addHandler(
            DialFront(
                scheme: scheme, host: "\(self.host):\(self.port)", limits: self.configuration.value.limits,
                timeout: self.timeout, ready: ready, makeConnection: self.addCoAP))
        return ready.futureResult
    }

    private func addCoAP(to channel: any Channel) throws -> CoAPConnection {
        let ended = channel.eventLoop.makePromise(of: ConnectionEnd.self)
        var arrival = ConnectionArrival()
        arrival.scheme = self.transport.scheme
        let handler = ConnectionHandler(
            configuration: self.configuration, limits: self.limits, delegate: self.makeDelegate(),
            tokenSeed: .random(in: .min ... .max), ended: ended, turn: self.turn, arrival: arrival,
            logger: self.logger)
        let connection = CoAPConnection(channel: channel, handler: handler, ended: ended.futureResult)
        try connection.addHandler()
        return connection
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

    func connectionReleased(to alternativeAddresses: [String]) {}

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
        case let error as IOError where [EMFILE, ENFILE].contains(error.errnoCode):
            self.init(.exhausted, "\(target): this process may not open more files")
        case let error as IOError where error.errnoCode == EADDRNOTAVAIL:
            self.init(.exhausted, "\(target): this machine has no local port left for this address and port")
        case let error as NIOSSLError:
            self.init(handshake: "\(error)", with: target)
        case let error as NIOSSLExtraError:
            self.init(handshake: "\(error)", with: target)
        case let error as SocketAddressError:
            self.init(.unresolved, "\(target): \(error)")
        default:
            self.init(.failed, "\(target): \(error)")
        }
    }

    /// - Parameter text: the library's. It has no other form for BoringSSL's reasons, which stand behind a colon, and
    ///   before the place in its source where they were found.
    private init(handshake text: String, with target: String) {
        let mark = "OPENSSL_internal:"
        let reason = text.firstRange(of: mark).map { text[$0.upperBound...].prefix { $0.isUppercase || $0 == "_" } }
        switch reason {
        case "CERTIFICATE_VERIFY_FAILED":
            self.init(.untrusted, "\(target): its certificate comes from no authority that is believed here")
        case "WRONG_VERSION_NUMBER", "HTTP_REQUEST":
            self.init(.notTLS, "\(target): what answers there does not speak TLS")
        case nil where text.contains("failedToValidateHostname"), nil where text.contains("unableToValidate"):
            self.init(.untrusted, "\(target): its certificate is not for this name")
        case let reason:
            let words = reason.map { $0.lowercased().replacing("_", with: " ") } ?? text
            self.init(.failed, "\(target): the TLS handshake failed: \(words)")
        }
    }
}
