import NIOCore
import NIOPosix

/// Asks a program whether it is ready, one connection a question, and takes no answer within a second for a no.
final class ReadinessProbe: Sendable {
    static let patience = TimeAmount.seconds(1)

    private let host: String
    private let port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    func isReady() async -> Bool {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = loop.makePromise(of: Bool.self)
        let deadline = loop.scheduleTask(in: Self.patience) { answer.succeed(false) }
        let connecting = ClientBootstrap(group: loop)
            .connectTimeout(Self.patience)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FirstLine(answer))
                }
            }
            .connect(host: self.host, port: self.port)
        connecting.whenFailure { _ in answer.succeed(false) }
        let isReady = (try? await answer.futureResult.get()) ?? false
        deadline.cancel()
        connecting.whenSuccess { $0.close(promise: nil) }
        return isReady
    }
}

/// Asks, and reads the status of the answer.
private final class FirstLine: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: EventLoopPromise<Bool>
    private var line = ""

    init(_ answer: EventLoopPromise<Bool>) {
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        let request = "GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // `HTTP/1.1 200` is all that counts.
        self.line += String(buffer: self.unwrapInboundIn(data)).prefix(12 - min(12, self.line.count))
        if self.line.count >= 12 { self.answer.succeed(self.line == "HTTP/1.1 200") }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.answer.succeed(false)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.answer.succeed(false)
        context.close(promise: nil)
    }
}
