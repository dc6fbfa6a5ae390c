import CoAP
import NIOCore
import NIOWebSocket

/// Between WebSocket frames and `ConnectionHandler`, which sees a connection as it is over TCP. Each write is one whole
/// message. When the connection ends, a Close frame says why.
final class WebSocketCodec: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = WebSocketFrame

    private let role: WebSocketRole
    private var messages: WebSocketMessages
    private var closeCode = WebSocketErrorCode.normalClosure
    private var hasSentClose = false
    /// What the last Ping of this read cycle had in it.
    private var pinged: ByteBuffer?

    init(role: WebSocketRole, limits: FrameLimits) {
        self.role = role
        self.messages = WebSocketMessages(role: role, limits: limits)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.messages.received(self.unwrapInboundIn(data)) {
        case .nothing:
            break
        case .message(let frame):
            context.fireChannelRead(self.wrapInboundOut(frame))
        case .ping(let data):
            self.pinged = data
            context.fireUserInboundEventTriggered(WebSocketControlFrame())
        case .pong:
            context.fireUserInboundEventTriggered(WebSocketControlFrame())
        case .closing(let code):
            // RFC 6455 §5.5.1. What may not be sent is answered as nothing said.
            self.closeCode = code.flatMap { $0.mayBeSent ? $0 : nil } ?? .normalClosure
            context.channel.eventLoop.assumeIsolated().execute {
                // Behind what was read together with it.
                self.close(context: context, mode: .all, promise: nil)
            }
        case .malformed(let error):
            self.fail(.protocolError, error, context)
        case .fail(let code, let text):
            self.fail(code, WebSocketError(description: text), context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // RFC 6455 §5.5.3: of several Pings the last may be answered alone. A write for each would cost us more than
        // they cost the peer.
        if let data = self.pinged {
            self.pinged = nil
            if !self.hasSentClose {
                context.writeAndFlush(self.wrapOutboundOut(self.frame(.pong, data)), promise: nil)
            }
        }
        context.fireChannelReadComplete()
    }

    /// Whoever stands behind closes.
    private func fail(_ code: WebSocketErrorCode, _ error: any Error, _ context: ChannelHandlerContext) {
        self.closeCode = code
        context.fireErrorCaught(error)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? NIOWebSocketError else { return context.fireErrorCaught(error) }
        // Behind a Close nothing is looked at (RFC 6455 §5.5.1).
        guard !self.messages.isOver else { return }
        let isTooLarge = error == .invalidFrameLength
        self.fail(
            isTooLarge ? .messageTooLarge : .protocolError,
            WebSocketError(description: isTooLarge ? "a frame is too large" : "a control frame breaks the rules"),
            context)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.hasSentClose else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        let message = WebSocketMessages.message(of: self.unwrapOutboundIn(data))
        context.write(self.wrapOutboundOut(self.frame(.binary, message)), promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode != .input, !self.hasSentClose {
            self.hasSentClose = true
            var data = ByteBuffer()
            data.write(webSocketErrorCode: self.closeCode)
            context.writeAndFlush(self.wrapOutboundOut(self.frame(.connectionClose, data)), promise: nil)
        }
        context.close(mode: mode, promise: promise)
    }

    private func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(
            fin: true, opcode: opcode, maskKey: self.role == .client ? WebSocketMaskingKey.random() : nil, data: data)
    }
}

/// An event: a Ping or Pong frame came. It counts as a message against what a peer may send.
struct WebSocketControlFrame: Sendable {}

/// The peer broke the rules of WebSocket.
struct WebSocketError: Error, CustomStringConvertible {
    let description: String
}

extension WebSocketErrorCode {
    /// 1005, 1006 and 1015 are never on the wire, and below 1000 there is nothing (RFC 6455 §7.4).
    fileprivate var mayBeSent: Bool {
        let number = UInt16(webSocketErrorCode: self)
        return (1000...4999).contains(number) && ![1004, 1005, 1006, 1015].contains(number)
    }
}
