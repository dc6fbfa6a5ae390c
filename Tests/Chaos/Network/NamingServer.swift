import NIOCore
import NIOPosix

/// Says a name to everybody who connects, and returns what it is sent: whom a connection led to, and whether it lives.
final class NamingServer: Sendable {
    private let listener: any Channel

    private init(_ listener: any Channel) {
        self.listener = listener
    }

    static func start(on host: String, port: Int, name: String) async throws -> NamingServer {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Echo(name: name))
                }
            }
            .bind(host: host, port: port)
            .get()
        return NamingServer(listener)
    }

    func stop() async throws {
        try await self.listener.close()
    }

    /// Returns once it has stopped.
    func over() async throws {
        try await self.listener.closeFuture.get()
    }
}

private final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let name: String

    init(name: String) {
        self.name = name
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: "\(self.name)\n")), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
