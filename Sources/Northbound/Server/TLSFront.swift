import NIOCore
import NIOSSL
import NIOTLS
import ServiceShell

/// Answers who speaks plain HTTP on the port for HTTPS, which TLS itself could only close in silence.
///
/// It stands before TLS, and goes away after the first byte.
final class PlainHTTPRefuser: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let answer = """
        HTTP/1.1 400 Bad Request\r
        Content-Type: text/plain\r
        Connection: close\r
        Content-Length: 49\r
        \r
        This port speaks HTTPS: ask again with https://.\n
        """

    private let lines: ListenerLines
    private var isRefused = false

    init(lines: ListenerLines) {
        self.lines = lines
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isRefused else { return }
        let bytes = self.unwrapInboundIn(data)
        // A method begins with a letter, every record of TLS with its type, which is none (RFC 8446 §5.1).
        guard let first = bytes.readableBytesView.first, (0x41...0x5A).contains(first) || (0x61...0x7A).contains(first)
        else {
            context.fireChannelRead(data)
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            return
        }
        self.isRefused = true
        self.lines.write(
            .plainHTTP,
            .init([.peerAddress: context.remoteAddress.map { "\($0)" }, .setting: "HTTPS_PORT"]))
        let buffer = context.channel.allocator.buffer(string: Self.answer)
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
        context.close(mode: .all, promise: nil)
    }
}

/// Closes a connection whose handshake does not come to an end: until it has, nobody else looks at the clock.
final class HandshakeDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    static let patience: TimeAmount = .seconds(10)

    private var timer: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.patience) {
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent {
            self.timer?.cancel()
            self.timer = nil
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.timer = nil
        context.fireChannelInactive()
    }
}
