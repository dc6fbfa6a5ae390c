import CoAP
import NIOCore
import NIOHTTP1
import NIOSSL
import NIOTLS
import NIOWebSocket

/// Waits, on a connection we open, until TLS and WebSocket are there; then it puts CoAP in its place.
final class DialFront: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let scheme: URIScheme
    private let host: String
    private let limits: FrameLimits
    private let timeout: TimeAmount
    private let ready: EventLoopPromise<CoAPConnection>
    private let makeConnection: (any Channel) throws -> CoAPConnection
    private var context: ChannelHandlerContext?
    private var awaitsHandshake: Bool
    private var timer: Scheduled<Void>?
    private var isOver = false

    /// - Parameters:
    ///   - host: with the port, for the HTTP request.
    ///   - ready: completed once, here.
    ///   - makeConnection: adds CoAP at the end of the pipeline.
    init(
        scheme: URIScheme, host: String, limits: FrameLimits, timeout: TimeAmount,
        ready: EventLoopPromise<CoAPConnection>, makeConnection: @escaping (any Channel) throws -> CoAPConnection
    ) {
        self.scheme = scheme
        self.host = host
        self.limits = limits
        self.timeout = timeout
        self.ready = ready
        self.makeConnection = makeConnection
        self.awaitsHandshake = scheme.isSecure
    }

    static func addUpgrade(to pipeline: ChannelPipeline.SynchronousOperations, limits: FrameLimits) throws {
        let upgrader = NIOWebSocketClientUpgrader(
            maxFrameSize: limits.maximumMessageSize, automaticErrorHandling: false,
            upgradePipelineHandler: { channel, _ in
                // The frame coder stands behind us now, and whatever was read with the answer comes next.
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.handler(type: DialFront.self).upgraded()
                }
            })
        try pipeline.addHTTPClientHandlers(
            leftOverBytesStrategy: .forwardBytes,
            withClientUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.fail(TransportError(.failed, "the connection was closed before CoAP could begin"))
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.timeout) {
            self.fail(TransportError(.timedOut, "no end of the handshake in time"))
        }
        self.proceed(context)
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            self.awaitsHandshake = false
            self.proceed(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func proceed(_ context: ChannelHandlerContext) {
        guard !self.isOver, !self.awaitsHandshake else { return }
        guard self.scheme.isWebSocket else { return self.begin(context) }
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: WebSocketUpgrade.path)
        head.headers = ["Host": self.host, "Sec-WebSocket-Protocol": WebSocketUpgrade.subprotocol]
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }

    func upgraded() throws {
        guard !self.isOver, let context = self.context else { return }
        try context.pipeline.syncOperations.addHandler(WebSocketCodec(role: .client, limits: self.limits))
        self.begin(context)
    }

    private func begin(_ context: ChannelHandlerContext) {
        self.isOver = true
        self.timer?.cancel()
        do {
            self.ready.succeed(try self.makeConnection(context.channel))
        } catch {
            self.ready.fail(error)
            context.close(promise: nil)
        }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    /// An answer that is no upgrade.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        guard case .head(let head) = self.unwrapInboundIn(data) else { return }
        self.fail(TransportError(.failed, "the upgrade to WebSocket was answered with \(head.status.code)"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(TransportError(.failed, "the peer closed the connection before CoAP could begin"))
        context.fireChannelInactive()
    }

    private func fail(_ error: any Error) {
        guard !self.isOver else { return }
        self.isOver = true
        self.timer?.cancel()
        self.ready.fail(error)
        self.context?.close(promise: nil)
    }
}
