import NIOCore
import NIOEmbedded
import NIOPosix
import TestSupport
import Testing

@testable import Chaos

@Suite("A delaying relay")
struct NetworkRelayTests {
    /// Both ends of a long wire, on a clock that a test turns.
    private struct Wire {
        let loop = EmbeddedEventLoop()
        let reads = ReadCounter()
        let near: EmbeddedChannel
        let far: EmbeddedChannel

        init(delay: TimeAmount) throws {
            let (there, back) = (DelayedPassing(by: delay), DelayedPassing(by: delay))
            self.near = EmbeddedChannel(handlers: [self.reads, there], loop: self.loop)
            self.far = EmbeddedChannel(handler: back, loop: self.loop)
            there.passOn(to: back)
            back.passOn(to: there)
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
            for channel in [self.near, self.far] { try channel.connect(to: address).wait() }
        }

        /// What came out at the far end.
        func arrived() throws -> String {
            var text = ""
            while let bytes = try self.far.readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
            return text
        }
    }

    @Test("Everything takes its time, no more and no less, and stays in order")
    func inOrder() throws {
        let wire = try Wire(delay: .milliseconds(500))
        try wire.near.writeInbound(ByteBuffer(string: "a"))
        wire.loop.advanceTime(by: .milliseconds(300))
        try wire.near.writeInbound(ByteBuffer(string: "b"))
        try wire.near.writeInbound(ByteBuffer(string: "c"))
        wire.loop.advanceTime(by: .milliseconds(199))
        #expect(try wire.arrived() == "")
        wire.loop.advanceTime(by: .milliseconds(1))
        #expect(try wire.arrived() == "a")
        wire.loop.advanceTime(by: .milliseconds(299))
        #expect(try wire.arrived() == "")
        wire.loop.advanceTime(by: .milliseconds(1))
        #expect(try wire.arrived() == "bc")
    }

    @Test("The end comes after what was said before it, and as late")
    func end() throws {
        let wire = try Wire(delay: .milliseconds(500))
        try wire.near.writeInbound(ByteBuffer(string: "last words"))
        wire.loop.advanceTime(by: .milliseconds(100))
        try wire.near.close().wait()
        wire.loop.advanceTime(by: .milliseconds(499))
        #expect(try wire.arrived() == "last words")
        #expect(wire.far.isActive)
        wire.loop.advanceTime(by: .milliseconds(1))
        #expect(!wire.far.isActive)
    }

    @Test("It reads no more than it may hold, and goes on once it holds less")
    func bounded() throws {
        let wire = try Wire(delay: .milliseconds(500))
        let piece = ByteBuffer(repeating: 7, count: 1 << 16)
        let pieces = DelayedPassing.mostHeld / (1 << 16)
        for _ in 1..<pieces {
            try wire.near.writeInbound(piece)
            wire.near.read()
        }
        #expect(wire.reads.count == pieces - 1)
        try wire.near.writeInbound(piece)
        wire.near.read()
        #expect(wire.reads.count == pieces - 1)
        wire.loop.advanceTime(by: .milliseconds(500))
        #expect(wire.reads.count == pieces)
        #expect(try wire.arrived().utf8.count == DelayedPassing.mostHeld)
    }

    @Test("What its peer does not take is held, and is handed on once it does")
    func backPressure() throws {
        let wire = try Wire(delay: .milliseconds(500))
        wire.far.isWritable = false
        wire.far.pipeline.fireChannelWritabilityChanged()
        try wire.near.writeInbound(ByteBuffer(string: "patience"))
        wire.loop.advanceTime(by: .seconds(5))
        #expect(try wire.arrived() == "")
        wire.far.isWritable = true
        wire.far.pipeline.fireChannelWritabilityChanged()
        #expect(try wire.arrived() == "patience")
    }

    @Test("Over TCP it delays both ways, keeps half-closed connections and closes both ends when one closes")
    func overTCP() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AnswerAtEnd())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let relay = try await DelayingRelay.start(
            on: "127.0.0.1", port: 0, to: ("127.0.0.1", server.localAddress?.port ?? 0), delay: .milliseconds(100))
        let heard = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: String.self)
        let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Listening(heard))
                }
            }
            .connect(host: "127.0.0.1", port: relay.port).get()
        let text = (0..<20_000).map { "\($0)," }.joined()
        let start = ContinuousClock.now
        try await client.writeAndFlush(ByteBuffer(string: text))
        try await client.close(mode: .output)
        // The server answers after the end of what it reads, and closes; that reaches the client, too.
        #expect(try await heard.futureResult.get() == text)
        try await client.closeFuture.get()
        #expect(ContinuousClock.now - start >= .milliseconds(200))
        await relay.stop()
        try await server.close()
    }
}

private final class ReadCounter: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var count = 0

    func read(context: ChannelHandlerContext) {
        self.count += 1
        context.read()
    }
}

/// Says what it was sent once the other side has said everything, and closes.
private final class AnswerAtEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var heard = ByteBuffer()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.heard.writeBuffer(&bytes)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        let channel = context.channel
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(self.heard), promise: written)
    }
}

/// Everything it was sent until the end.
private final class Listening: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let heard: EventLoopPromise<String>
    private var text = ""

    init(_ heard: EventLoopPromise<String>) {
        self.heard = heard
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.text += String(buffer: self.unwrapInboundIn(data))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.heard.succeed(self.text)
    }
}
