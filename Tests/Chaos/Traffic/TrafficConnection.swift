import NIOCore
import NIOHTTP1

/// One connection of the traffic: writes one request at a time, and reads its answer.
final class TrafficConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    /// Longer answers are none of a light's; what is beyond is not kept.
    private static let maximumBytes = 64 << 10

    private let loop: TrafficLoop
    private let number: Int
    private let firstByte = FirstByte()
    private var context: ChannelHandlerContext?
    private var head: HTTPResponseHead?
    private var body = ByteBuffer()

    init(_ loop: TrafficLoop, number: Int) {
        self.loop = loop
        self.number = number
    }

    func addHandlers(to channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(self.firstByte)
        try channel.pipeline.syncOperations.addHTTPClientHandlers()
        try channel.pipeline.syncOperations.addHandler(self)
    }

    func send(_ head: HTTPRequestHead, body: ByteBuffer?) {
        guard let context = self.context else { return }
        self.firstByte.isThere = false
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        if let body { context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }

    func close() {
        self.context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            self.body.clear()
        case .body(var part):
            if self.body.readableBytes + part.readableBytes <= Self.maximumBytes { self.body.writeBuffer(&part) }
        case .end:
            guard let head = self.head else { return }
            self.head = nil
            self.loop.answered(
                self.number, TrafficAnswer(head, body: self.body),
                staysOpen: head.isKeepAlive)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.loop.closed(self.number, hasBegun: self.firstByte.isThere)
        context.fireChannelInactive()
    }

    /// What is no HTTP, or was not asked for, ends the connection; so does a reset.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// Knows whether a byte has come since it was last asked to forget: of a head that was cut there is no other trace.
private final class FirstByte: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var isThere = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.isThere = true
        context.fireChannelRead(data)
    }
}
