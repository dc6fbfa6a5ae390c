import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// Stands between programs and a server of theirs, passes everything on, and at a word puts something of its own in.
final class FaultyProxy: Sendable {
    private let listener: any Channel
    private let clients = Mutex<[ObjectIdentifier: any Channel]>([:])
    private let accepted = Atomic<Int>(0)
    private let server: Atomic<Int>

    var port: Int { self.listener.localAddress?.port ?? 0 }
    /// How many connections were made through it.
    var connections: Int { self.accepted.load(ordering: .relaxed) }

    /// - Parameter server: the port on 127.0.0.1 to pass everything on to.
    static func start(to server: Int) async throws -> FaultyProxy {
        let ends = KnownProxy()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            // Read once the other side is there.
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { client in
                ends.proxy?.enter(client)
                return ClientBootstrap(group: client.eventLoop)
                    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .connect(host: "127.0.0.1", port: ends.proxy?.server.load(ordering: .relaxed) ?? server)
                    .flatMapThrowing { upstream in
                        try client.pipeline.syncOperations.addHandler(Glue(upstream))
                        try upstream.pipeline.syncOperations.addHandler(Glue(client))
                        client.closeFuture.whenComplete { _ in upstream.close(promise: nil) }
                        upstream.closeFuture.whenComplete { _ in client.close(promise: nil) }
                    }
                    .flatMap { client.setOption(.autoRead, value: true) }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        let proxy = FaultyProxy(listener: listener, server: server)
        ends.set(proxy)
        return proxy
    }

    private init(listener: any Channel, server: Int) {
        self.listener = listener
        self.server = Atomic(server)
    }

    /// New connections go to another server from here on, as those of a balancer do that has heard of it.
    func turn(to server: Int) {
        self.server.store(server, ordering: .relaxed)
    }

    private func enter(_ client: any Channel) {
        self.accepted.add(1, ordering: .relaxed)
        self.clients.withLock { $0[ObjectIdentifier(client)] = client }
        client.closeFuture.whenComplete { _ in
            self.clients.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(client)) }
        }
    }

    /// Sends this to everybody who is connected now, as if the server had.
    func inject(_ bytes: [UInt8]) {
        for client in self.clients.withLock({ Array($0.values) }) {
            client.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
        }
    }

    func stop() async {
        try? await self.listener.close()
        for client in self.clients.withLock({ Array($0.values) }) { try? await client.close() }
    }
}

/// The proxy of a listener, once there is one.
private final class KnownProxy: Sendable {
    private let known = Mutex<FaultyProxy?>(nil)

    var proxy: FaultyProxy? { self.known.withLock { $0 } }

    func set(_ proxy: FaultyProxy) {
        self.known.withLock { $0 = proxy }
    }
}

/// Writes what it reads to the other side.
private final class Glue: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel

    init(_ other: any Channel) {
        self.other = other
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.other.writeAndFlush(self.unwrapInboundIn(data), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
