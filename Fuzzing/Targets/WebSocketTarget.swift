import CoAP
import NIOCore
import NIOEmbedded
import NIOWebSocket

@testable import CoAPTransport

/// The bytes of one connection over WebSocket (RFC 6455 §5, RFC 8323 §4). The first byte of the input chooses which end
/// we are, the second how the rest is cut.
enum WebSocketTarget {
    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        let choice = reader.byte()
        let role = choice & 1 == 0 ? WebSocketRole.server : .client
        let limits = FrameLimits(
            maximumMessageSize: choice & 2 == 0 ? 1152 : 48, maximumTokenLength: choice & 4 == 0 ? 8 : 300)
        let cut = Int(reader.byte())
        let stream = reader.rest

        let whole = self.read([stream], role, limits)
        require(
            self.read(stream.pieces([cut, 1, cut / 2]), role, limits) == whole,
            "the same bytes cut are other messages, or end otherwise")
        for frame in whole.frames { self.checkFrame(frame, limits) }
        self.checkForms(of: stream)
    }

    private static func read(
        _ pieces: [ByteBuffer], _ role: WebSocketRole, _ limits: FrameLimits
    ) -> WebSocketReceiver.Outcome {
        let receiver = WebSocketReceiver()
        let channel = EmbeddedChannel()
        let pipeline = channel.pipeline.syncOperations
        guard
            (try? pipeline.addHandler(WebSocketFrameEncoder())) != nil,
            (try? pipeline.addHandler(
                ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: limits.maximumMessageSize)))) != nil,
            (try? pipeline.addHandler(WebSocketCodec(role: role, limits: limits))) != nil,
            (try? pipeline.addHandler(receiver)) != nil
        else { fatalError("there is no pipeline") }
        channel.pipeline.fireChannelActive()
        var written = ByteBuffer()
        for piece in pieces {
            // Behind the end nothing is read any more.
            _ = try? channel.writeInbound(piece)
            channel.embeddedEventLoop.run()
            while let bytes = try? channel.readOutbound(as: ByteBuffer.self) { written.writeImmutableBuffer(bytes) }
        }
        _ = try? channel.finish(acceptAlreadyClosed: true)
        while let bytes = try? channel.readOutbound(as: ByteBuffer.self) { written.writeImmutableBuffer(bytes) }
        require(receiver.completions.allSatisfy { $0 == 1 }, "what became of a write was said not once but otherwise")
        self.checkWritten(written, role)
        return receiver.outcome
    }

    /// What stands behind reads each frame whole: it waits for no more, and nothing is left.
    private static func checkFrame(_ frame: ByteBuffer, _ limits: FrameLimits) {
        var rest = frame
        do throws(DecodeError) {
            guard try Message(readingFrameFrom: &rest, limits: limits) != nil else {
                fatalError("a WebSocket message became the beginning of a frame")
            }
            require(rest.readableBytes == 0, "a WebSocket message became more than one frame")
        } catch {
            // Its reader's to refuse.
        }
    }

    /// What we write: whole frames that are masked by a client only, Close once and as the last (RFC 6455 §5.1,
    /// §5.5.1).
    private static func checkWritten(_ written: ByteBuffer, _ role: WebSocketRole) {
        let channel = EmbeddedChannel()
        let decoder = ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1 << 20))
        guard (try? channel.pipeline.syncOperations.addHandler(decoder)) != nil else { fatalError("no pipeline") }
        guard (try? channel.writeInbound(written)) != nil else { fatalError("we write what is no WebSocket") }
        var hasClosed = false
        while let frame = try? channel.readInbound(as: WebSocketFrame.self) {
            require(!hasClosed, "a frame was written behind a Close")
            require((frame.maskKey != nil) == (role == .client), "a frame is masked, or not, against the rules")
            require(frame.fin, "we cut a message")
            hasClosed = frame.opcode == .connectionClose
        }
        require((try? channel.finish())?.isClean == true, "we write half a frame")
    }

    /// The two forms of a message, there and back.
    private static func checkForms(of message: ByteBuffer) {
        guard let frame = try? WebSocketMessages.frame(of: message) else { return }
        require(WebSocketMessages.message(of: frame) == message, "a message changes on its way through the other form")
    }
}

/// Stands where a connection's handler does: takes whole frames, sends each back, closes when something is wrong.
final class WebSocketReceiver: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    struct Outcome: Equatable {
        var frames: [ByteBuffer] = []
        var error: String?
        var isClosed = false
    }

    private(set) var outcome = Outcome()
    /// How often each write was said to be done or to have failed.
    private(set) var completions: [Int] = []

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        require(self.outcome.error == nil, "a message came behind an error")
        let frame = self.unwrapInboundIn(data)
        self.outcome.frames.append(frame)
        let index = self.completions.count
        self.completions.append(0)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.completions[index] += 1 }
        context.writeAndFlush(self.wrapOutboundOut(frame), promise: promise)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard self.outcome.error == nil else { return }
        self.outcome.error = "\(error)"
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.outcome.isClosed = true
    }
}
