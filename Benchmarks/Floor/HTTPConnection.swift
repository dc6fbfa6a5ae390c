import NIOCore
import NIOHTTP1
import NIOPosix

/// A client's connection: asks the next device for each request, whatever it says.
final class HTTPConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let devices: Devices

    init(_ devices: Devices) {
        self.devices = devices
    }

    static func listen(port: Int, on group: any EventLoopGroup, _ devices: Devices) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(HTTPConnection(devices))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = self.unwrapInboundIn(data) else { return }
        let answer = context.eventLoop.makePromise(of: ByteBuffer.self)
        answer.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let body): self.answer(body, context)
            case .failure: context.close(promise: nil)
            }
        }
        self.devices.ask(answer)
    }

    private func answer(_ body: ByteBuffer, _ context: ChannelHandlerContext) {
        let fields: HTTPHeaders = ["content-type": "application/json", "content-length": "\(body.readableBytes)"]
        context.write(
            self.wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: fields))), promise: nil)
        context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
    }
}
