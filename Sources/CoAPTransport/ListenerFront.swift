import Certificates
import CoAP
import Logging
import NIOCore
import NIOHTTP1
import NIOTLS

/// Waits, on one accepted connection, until everything that stands in front of CoAP is done: PROXY header, TLS
/// handshake, upgrade to WebSocket. Then it puts CoAP in its place. All of it together has one deadline.
final class ListenerFront: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let acceptor: Acceptor
    private let transport: ListenerTransport
    private var arrival: ConnectionArrival
    private var awaitsProxy: Bool
    private var awaitsHandshake: Bool
    private var awaitsUpgrade: Bool
    private let channel: any Channel
    private var isOver = false
    private var hasRefused = false
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?

    /// Where the peer's certificate comes from.
    var handshake: ServerHandshake?
    /// What has to go once HTTP is over.
    private var untilUpgrade: [any RemovableChannelHandler] = []

    init(
        acceptor: Acceptor, channel: any Channel, transport: ListenerTransport, arrival: ConnectionArrival,
        isProxied: Bool
    ) {
        self.acceptor = acceptor
        self.channel = channel
        self.transport = transport
        self.arrival = arrival
        self.awaitsProxy = isProxied
        self.awaitsHandshake = transport.scheme.isSecure
        self.awaitsUpgrade = transport.scheme.isWebSocket
    }

    var isWaiting: Bool { self.awaitsProxy || self.awaitsHandshake || self.awaitsUpgrade }

    // MARK: What is waited for

    func proxied(_ header: ProxyHeader) {
        self.awaitsProxy = false
        self.arrival.peer = header.source
        self.arrival.dialled = header.destination
        if let source = header.source, !self.acceptor.connections.group.admits(source) {
            self.refused(.sourceRate, metadata: [:])
            return self.channel.reset()
        }
        self.proceed()
    }

    func addUpgrade(to pipeline: ChannelPipeline.SynchronousOperations, limits: FrameLimits) throws {
        let budget = UpgradeBudget { self.refused(.upgradeRefused, metadata: ["reason": "its head is too long"]) }
        let refusal = UpgradeRefusal { status in
            self.refused(.upgradeRefused, metadata: ["status": "\(status.code)"])
        }
        try pipeline.addHandler(budget)
        try pipeline.configureWebSocketUpgrade(maximumFrameSize: limits.maximumMessageSize)
        try pipeline.addHandler(refusal)
        self.untilUpgrade = [budget, refusal]
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            self.awaitsHandshake = false
            self.arrival.isSecured = true
            switch self.handshake?.peer() {
            case nil, .anonymous: break
            case .known(let certificate): self.arrival.certificate = certificate
            case .refused(let reason):
                self.refused(.handshakeFailed, metadata: ["reason": "\(reason)"])
                context.close(promise: nil)
            }
            self.proceed()
        } else if let event = event as? HTTPServerUpgradeEvents, case .upgradeComplete = event {
            self.awaitsUpgrade = false
            self.proceed()
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func proceed() {
        guard !self.isOver, !self.isWaiting, let context = self.context else { return }
        self.isOver = true
        self.timer?.cancel()
        let pipeline = context.pipeline.syncOperations
        do {
            if self.transport.scheme.isWebSocket {
                try pipeline.addHandler(
                    WebSocketCodec(role: .server, limits: self.acceptor.configuration.value.limits))
            }
            try self.acceptor.addCoAP(to: context.channel, arrival: self.arrival)
            // Whoever ends connections by their certificates did not see this one before.
            if let certificate = self.arrival.certificate, self.handshake?.certificates.fault(of: certificate) != nil {
                context.close(promise: nil)
            }
        } catch {
            // The channel was closed meanwhile.
            context.close(promise: nil)
        }
        self.untilUpgrade.forEach { pipeline.removeHandler($0, promise: nil) }
        pipeline.removeHandler(self, promise: nil)
    }

    // MARK: Time

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.acceptor.limits.openingTimeout) {
            self.refused(.timedOut, metadata: [:])
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.context = nil
        self.untilUpgrade = []
        self.handshake = nil
    }

    // MARK: The end

    /// Counts and logs; whoever noticed closes.
    func refused(_ refusal: ListenerRefusal, metadata: @autoclosure () -> Logger.Metadata) {
        guard !self.hasRefused else { return }
        self.hasRefused = true
        self.isOver = true
        self.timer?.cancel()
        let group = self.acceptor.connections.group
        group.refused(refusal, metadata: self.described(metadata(), for: refusal))
    }

    private func described(_ metadata: Logger.Metadata, for refusal: ListenerRefusal) -> Logger.Metadata {
        var metadata = metadata
        let scheme = self.transport.scheme
        metadata["listener"] = "\(scheme.rawValue)"
        metadata["port"] = self.acceptor.connections.group.port(of: scheme).map { "\($0)" }
        if let other = refusal.meantScheme(on: scheme), let port = self.acceptor.connections.group.port(of: other) {
            metadata["port.meant"] = "\(port) (\(other.rawValue))"
        }
        let address = self.arrival.peer ?? self.channel.remoteAddress
        metadata["peer.address"] = address?.hostAndPort.map { "\($0)" }
        return metadata
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case is ForeignPeer:
            break
        case let error as ProxyHeaderError:
            self.refused(.proxyHeader, metadata: ["reason": "\(error)"])
        case _ where self.awaitsHandshake:
            self.refused(.handshakeFailed, metadata: ["reason": "\(error)"])
        case _ where self.awaitsUpgrade:
            self.refused(.upgradeRefused, metadata: ["reason": "\(error)"])
        default:
            break
        }
        context.close(promise: nil)
    }
}

extension ListenerRefusal {
    /// What the peer took the listener for.
    fileprivate func meantScheme(on scheme: URIScheme) -> URIScheme? {
        switch self {
        case .plainOnTLS: scheme == .tls ? .tcp : .webSocket
        case .tlsOnPlain: scheme == .tcp ? .tls : .secureWebSocket
        case .full, .handshakeFailed, .timedOut, .proxyHeader, .upgradeRefused, .handshakeQueue, .sourceRate,
            .noDescriptor, .descriptors, .memory:
            nil
        }
    }
}
