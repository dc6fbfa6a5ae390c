import CBOR
import CoAP
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// What stands between the conformance run and a gateway that behaves, and spoils what goes through.
protocol Spoiler: Sendable {
    mutating func fromPeer(_ bytes: ByteBuffer) -> Spoiled
    mutating func fromCloud(_ bytes: ByteBuffer) -> Spoiled
    /// Whether the peer hears that the cloud has closed.
    var passesOnTheEnd: Bool { get }
}

/// What becomes of some bytes.
struct Spoiled: Sendable {
    var toCloud = ByteBuffer()
    var toPeer = ByteBuffer()
    var closesPeer = false
}

/// A door to a gateway with a switch for each way to be wrong.
final class WrongCloud: Sendable {
    private let listener: any Channel
    private let upstream = Mutex(0)
    private let make = Mutex<@Sendable () -> any Spoiler>({ HonestSpoiler() })

    var port: Int { self.listener.localAddress?.port ?? 0 }

    private init(listener: any Channel) {
        self.listener = listener
    }

    static func open() async throws -> WrongCloud {
        let opened = Opened()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { peer in
                peer.eventLoop.makeCompletedFuture {
                    guard let cloud = opened.cloud.withLock({ $0 }) else { throw PeerError("not open yet") }
                    try peer.pipeline.syncOperations.addHandler(
                        PeerSide(spoiler: cloud.make.withLock { $0 }(), upstream: cloud.upstream.withLock { $0 }))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let cloud = WrongCloud(listener: listener)
        opened.cloud.withLock { $0 = cloud }
        return cloud
    }

    private final class Opened: Sendable {
        let cloud = Mutex<WrongCloud?>(nil)
    }

    /// Connections made from now on lead to this port of this machine.
    func lead(to port: Int) {
        self.upstream.withLock { $0 = port }
    }

    /// Connections made from now on are spoilt so.
    func spoil(_ make: @escaping @Sendable () -> any Spoiler) {
        self.make.withLock { $0 = make }
    }

    func close() async {
        try? await self.listener.close()
    }
}

/// Nothing is spoilt.
struct HonestSpoiler: Spoiler {
    var passesOnTheEnd: Bool { true }

    func fromPeer(_ bytes: ByteBuffer) -> Spoiled { Spoiled(toCloud: bytes) }
    func fromCloud(_ bytes: ByteBuffer) -> Spoiled { Spoiled(toPeer: bytes) }
}

/// The connection that the conformance run made. Dials the gateway, and only then reads.
private final class PeerSide: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var spoiler: any Spoiler
    private let upstream: Int
    private var cloud: (any Channel)?
    private var peer: (any Channel)?

    init(spoiler: any Spoiler, upstream: Int) {
        self.spoiler = spoiler
        self.upstream = upstream
    }

    func channelActive(context: ChannelHandlerContext) {
        self.peer = context.channel
        let peer = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        ClientBootstrap(group: context.eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(CloudSide(bound.value))
                }
            }
            .connect(host: "127.0.0.1", port: self.upstream)
            .whenComplete { result in
                switch result {
                case .success(let cloud):
                    bound.value.cloud = cloud
                    peer.setOption(.autoRead, value: true).whenComplete { _ in peer.read() }
                case .failure:
                    peer.close(promise: nil)
                }
            }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.obey(self.spoiler.fromPeer(self.unwrapInboundIn(data)))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.cloud?.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func fromCloud(_ bytes: ByteBuffer) {
        self.obey(self.spoiler.fromCloud(bytes))
    }

    func cloudEnded() {
        if self.spoiler.passesOnTheEnd { self.peer?.close(promise: nil) }
    }

    private func obey(_ spoiled: Spoiled) {
        if spoiled.toCloud.readableBytes > 0 { self.cloud?.writeAndFlush(spoiled.toCloud, promise: nil) }
        if spoiled.toPeer.readableBytes > 0 { self.peer?.writeAndFlush(spoiled.toPeer, promise: nil) }
        if spoiled.closesPeer { self.peer?.close(promise: nil) }
    }
}

/// The connection to the gateway.
private final class CloudSide: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: PeerSide

    init(_ other: PeerSide) {
        self.other = other
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.other.fromCloud(self.unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.other.cloudEnded()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
