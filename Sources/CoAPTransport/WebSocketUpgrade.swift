import NIOCore
import NIOHTTP1
import NIOWebSocket

/// What a request has to be to become a CoAP connection (RFC 8323 §8.3).
enum WebSocketUpgrade {
    static let path = "/.well-known/coap"
    static let subprotocol = "coap"

    /// How a request is refused; nil: it is not.
    static func refusal(of head: HTTPRequestHead) -> HTTPResponseStatus? {
        guard head.uri == Self.path else { return .notFound }
        guard head.method == .GET else { return .methodNotAllowed }
        guard head.headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == "websocket" }),
            head.headers[canonicalForm: "sec-websocket-version"].contains("13")
        else { return .upgradeRequired }
        guard head.headers[canonicalForm: "sec-websocket-protocol"].contains(where: { $0 == Self.subprotocol }) else {
            return .badRequest
        }
        return nil
    }

    /// One sentence for whoever asked.
    static func sentence(_ status: HTTPResponseStatus) -> String {
        switch status {
        case .notFound: "CoAP over WebSocket is at \(Self.path)\n"
        case .methodNotAllowed: "CoAP over WebSocket begins with a GET\n"
        case .upgradeRequired: "this port is for CoAP over WebSocket: ask for an upgrade to websocket, version 13\n"
        default: "the request has to offer the WebSocket subprotocol \(Self.subprotocol)\n"
        }
    }
}

extension ChannelPipeline.SynchronousOperations {
    /// Adds what turns an HTTP/1.1 request into a WebSocket connection.
    func configureWebSocketUpgrade(maximumFrameSize: Int) throws {
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: maximumFrameSize, automaticErrorHandling: false,
            shouldUpgrade: { channel, head in
                let headers: HTTPHeaders? =
                    WebSocketUpgrade.refusal(of: head) == nil
                    ? ["Sec-WebSocket-Protocol": WebSocketUpgrade.subprotocol] : nil
                return channel.eventLoop.makeSucceededFuture(headers)
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        try self.configureHTTPServerPipeline(
            withPipeliningAssistance: false,
            withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }), withErrorHandling: false)
    }
}

/// Bounds what a peer may send before it was upgraded, whatever it is.
final class UpgradeBudget: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    static let maximumBytes = 8 * 1024

    private let exceeded: () -> Void
    private var bytes = 0

    init(exceeded: @escaping () -> Void) {
        self.exceeded = exceeded
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.bytes += self.unwrapInboundIn(data).readableBytes
        guard self.bytes <= Self.maximumBytes else {
            self.exceeded()
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(data)
    }
}

/// Answers requests that are not upgraded, and closes.
final class UpgradeRefusal: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let refused: (HTTPResponseStatus) -> Void
    private var hasAnswered = false

    init(refused: @escaping (HTTPResponseStatus) -> Void) {
        self.refused = refused
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = self.unwrapInboundIn(data) else { return }
        // What we found nothing wrong with was refused for its key.
        self.answer(WebSocketUpgrade.refusal(of: head) ?? .badRequest, context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case is HTTPParserError:
            self.answer(.badRequest, context)
        case is NIOWebSocketUpgradeError, is HTTPServerUpgradeErrors:
            // Its head comes next.
            break
        default:
            context.fireErrorCaught(error)
        }
    }

    private func answer(_ status: HTTPResponseStatus, _ context: ChannelHandlerContext) {
        guard !self.hasAnswered else { return }
        self.hasAnswered = true
        self.refused(status)
        let text = WebSocketUpgrade.sentence(status)
        var head = HTTPResponseHead(version: .http1_1, status: status)
        head.headers = [
            "Content-Type": "text/plain; charset=utf-8", "Content-Length": "\(text.utf8.count)", "Connection": "close",
        ]
        switch status {
        case .upgradeRequired:
            // RFC 9110 §15.5.22, RFC 6455 §4.4
            head.headers.add(name: "Upgrade", value: "websocket")
            head.headers.add(name: "Sec-WebSocket-Version", value: "13")
        case .methodNotAllowed:
            head.headers.add(name: "Allow", value: "GET")
        default:
            break
        }
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        let isWritten = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: isWritten)
        isWritten.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }
}
