import CBOR
import CoAP
import NIOCore
import NIOPosix
import Testing

/// A cloud that says what the test tells it to, on a real socket: it sees every frame and answers none by itself.
final class ScriptedCloud: Sendable {
    private let channel: any Channel
    private let peers: AsyncStream<Peer>

    private init(channel: any Channel, peers: AsyncStream<Peer>) {
        self.channel = channel
        self.peers = peers
    }

    static func start() async throws -> ScriptedCloud {
        let (peers, arrivals) = AsyncStream<Peer>.makeStream()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (frames, queue) = AsyncStream<Frame>.makeStream()
                    try channel.pipeline.syncOperations.addHandler(FrameHandler(queue))
                    arrivals.yield(Peer(channel: channel, frames: frames))
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        return ScriptedCloud(channel: channel, peers: peers)
    }

    var port: Int { self.channel.localAddress?.port ?? 0 }

    /// The next connection, whose first message must be a CSM.
    /// - Parameter csm: false for devices that open without one.
    func accept(csm: Bool = true) async throws -> Peer {
        var iterator = self.peers.makeAsyncIterator()
        let peer = try #require(await iterator.next())
        if csm {
            #expect(try await peer.frame().message.code == .capabilitiesAndSettings)
        }
        return peer
    }

    func stop() async throws {
        try await self.channel.close()
    }
}

/// A message as it came, with its bytes.
struct Frame: Sendable {
    let message: Message
    let bytes: [UInt8]
}

/// The device's connection, seen from the cloud.
struct Peer: Sendable {
    let channel: any Channel
    let frames: AsyncStream<Frame>

    /// The next message; fails when the device has closed.
    func frame() async throws -> Frame {
        var iterator = self.frames.makeAsyncIterator()
        return try #require(await iterator.next(), "the device closed the connection")
    }

    /// The next message, which must be a request for this path.
    func request(_ method: Code, _ path: String) async throws -> Message {
        let message = try await self.frame().message
        #expect(message.code == method)
        #expect(message.options.path?.joined(separator: "/") == path)
        return message
    }

    /// Takes the next request, which must be for this path, and answers it.
    @discardableResult
    func answer(
        _ method: Code, _ path: String, _ code: Code, _ item: DataItem? = nil,
    ) async throws -> Message {
        let message = try await self.request(method, path)
        try await self.reply(to: message, code, item)
        return message
    }

    func reply(
        to request: Message, _ code: Code, _ item: DataItem? = nil, format: ContentFormat? = .ocfCBOR,
    ) async throws {
        var options = Options()
        if item != nil {
            options.contentFormat = format
        }
        try await self.send(Message(code: code, token: request.token, options: options, payload: item?.encoded()))
    }

    func reply(to request: Message, _ code: Code, diagnostic: String) async throws {
        try await self.send(Message(code: code, token: request.token, payload: ByteBuffer(string: diagnostic)))
    }

    func send(_ message: Message) async throws {
        var buffer = ByteBuffer()
        message.writeFrame(into: &buffer)
        try await self.channel.writeAndFlush(buffer)
    }

    func send(bytes: some Sequence<UInt8>) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// Closes, if the device has not done so.
    func close() async throws {
        do {
            try await self.channel.close()
        } catch ChannelError.alreadyClosed {}
    }

    /// Returns when the device has closed its end, and the messages that came before.
    func end() async -> [Message] {
        var messages: [Message] = []
        for await frame in self.frames {
            messages.append(frame.message)
        }
        return messages
    }
}

private final class FrameHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var buffer = ByteBuffer()
    private let queue: AsyncStream<Frame>.Continuation

    init(_ queue: AsyncStream<Frame>.Continuation) {
        self.queue = queue
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.buffer.writeBuffer(&bytes)
        do {
            let whole = self.buffer
            while let message = try Message(readingFrameFrom: &self.buffer, limits: FrameLimits()) {
                let length = message.frameLength
                let start = self.buffer.readerIndex - length
                self.queue.yield(Frame(message: message, bytes: whole.getBytes(at: start, length: length) ?? []))
            }
        } catch {
            Issue.record(error)
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.queue.finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// What a cloud answers to sign-up and refresh.
func tokens(_ number: Int, expiresIn: Int64 = 3600, _ more: [DataItem.Pair] = []) -> DataItem {
    .map(
        [
            .init("accesstoken", .text("at-\(number)")), .init("refreshtoken", .text("rt-\(number)")),
            .init("expiresin", DataItem(integer: expiresIn)), .init("uid", "u-1"), .init("redirecturi", ""),
        ].filter { pair in !more.contains { $0.key == pair.key } } + more
    )
}

/// The bytes these digits stand for.
func bytes(_ hexadecimal: String) -> [UInt8] {
    var digits = hexadecimal[...]
    var result: [UInt8] = []
    while let byte = UInt8(digits.prefix(2), radix: 16) {
        result.append(byte)
        digits = digits.dropFirst(2)
    }
    return result
}
