package import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

/// The admin port: `/livez`, `/readyz`, `/metrics`, `/status`, over HTTP/1.1, one request a connection.
///
/// It stands on NIO's HTTP codec alone, because its address must be taken before the program serves: ``bind`` takes it,
/// ``run()`` begins to accept. It knows no TLS and no authentication; its port is not for the outside.
package final class AdminServer: Service {
    /// Connections at a time. More are closed at once.
    static let connectionLimit = 64
    /// How long a connection may take from its first byte to its last.
    static let connectionTime = TimeAmount.seconds(10)

    private let channel: any Channel

    /// The port that was taken.
    package let port: Int

    private init(channel: any Channel, port: Int) {
        self.channel = channel
        self.port = port
    }

    /// Takes the address. Nothing is answered before ``run()``.
    package static func bind(
        host: String,
        port: Int,
        variable: String = "ADMIN_PORT",
        pages: AdminPages,
        group: any EventLoopGroup,
    ) async throws(BindError) -> AdminServer {
        let open = OpenConnections()
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause())
                }
            }
            .childChannelInitializer { channel in
                guard open.enter() else { return channel.close() }
                channel.closeFuture.whenComplete { _ in open.leave() }
                return channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
                    try pipeline.addHandler(AdminHandler(pages: pages))
                }
            }
        do {
            let channel = try await bootstrap.bind(host: host, port: port).get()
            // A TCP listener that is bound has an address with a port.
            return AdminServer(channel: channel, port: channel.localAddress?.port ?? port)
        } catch {
            throw BindError(host: host, port: port, variable: variable, underlying: error)
        }
    }

    /// Answers until graceful shutdown.
    package func run() async throws {
        try await self.channel.setOption(.autoRead, value: true).get()
        let closed = self.channel.closeFuture
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await closed.get()
        } onCancelOrGracefulShutdown: {
            self.channel.close(promise: nil)
        }
    }

    /// Gives the port back without having served.
    package func close() async {
        try? await self.channel.close().get()
    }
}

/// Counts connections against the limit.
private final class OpenConnections: Sendable {
    private let count = Atomic<Int>(0)

    func enter() -> Bool {
        if self.count.add(1, ordering: .relaxed).newValue <= AdminServer.connectionLimit { return true }
        self.leave()
        return false
    }

    func leave() {
        self.count.subtract(1, ordering: .relaxed)
    }
}

/// One request, one answer, then the connection ends. Bodies are read and forgotten.
private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let pages: AdminPages
    private var head: HTTPRequestHead?
    private var deadline: Scheduled<Void>?

    init(pages: AdminPages) {
        self.pages = pages
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        self.deadline = context.eventLoop.scheduleTask(in: AdminServer.connectionTime) { channel.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head = self.head else { return }
            self.head = nil
            self.answer(head, context: context)
        }
    }

    private func answer(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        let answer = self.pages.answer(method: head.method.rawValue, target: head.uri)
        var headers: HTTPHeaders = [
            "content-type": answer.contentType,
            "content-length": "\(answer.body.utf8.count)",
            "cache-control": "no-store",
            "connection": "close",
        ]
        if let allow = answer.allow { headers.add(name: "allow", value: allow) }
        let status = HTTPResponseStatus(statusCode: answer.status)
        let response = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
        context.write(self.wrapOutboundOut(.head(response)), promise: nil)
        if head.method != .HEAD {
            let body = context.channel.allocator.buffer(string: answer.body)
            context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        }
        let channel = context.channel
        context.writeAndFlush(self.wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
