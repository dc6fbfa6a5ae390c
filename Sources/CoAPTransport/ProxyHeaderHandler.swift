import NIOCore

/// Takes the PROXY header off the front of a connection, then goes away. Until it is whole nothing passes; whoever
/// waits for it says how long that may take.
final class ProxyHeaderHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let found: (ProxyHeader) -> Void
    private var buffer = ByteBuffer()
    private var isOver = false

    init(found: @escaping (ProxyHeader) -> Void) {
        self.found = found
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        var bytes = self.unwrapInboundIn(data)
        self.buffer.writeBuffer(&bytes)
        do throws(ProxyHeaderError) {
            guard let header = try ProxyHeader(readingFrom: &self.buffer) else { return }
            self.isOver = true
            self.found(header)
            let rest = self.buffer
            self.buffer = ByteBuffer()
            if rest.readableBytes > 0 {
                context.fireChannelRead(self.wrapInboundOut(rest))
            }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            self.isOver = true
            self.buffer = ByteBuffer()
            context.fireErrorCaught(error)
            context.close(promise: nil)
        }
    }
}
