import CoAP
import NIOCore
import NIOEmbedded
import NIOWebSocket
import Testing

@testable import CoAPTransport

@Suite("CoAP over WebSocket: frames to messages and back")
struct WebSocketCodecTests {
    private final class Errors: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private(set) var all: [any Error] = []

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.all.append(error)
        }
    }

    @Test("RFC 6455 §5.5.1: what stands behind a Close in one segment is nothing, and the Close keeps its code")
    func behindClose() throws {
        let channel = EmbeddedChannel()
        let errors = Errors()
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(WebSocketFrameEncoder())
        try pipeline.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1152)))
        try pipeline.addHandler(WebSocketCodec(role: .server, limits: FrameLimits()))
        try pipeline.addHandler(errors)

        // Close 1001 with the mask 0, then the head of a control frame that breaks the rules.
        let close: [UInt8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9]
        try channel.writeInbound(ByteBuffer(bytes: close + [0x0D, 0x0D, 0x0D, 0x0D]))
        channel.embeddedEventLoop.run()

        #expect(errors.all.isEmpty)
        var written = ByteBuffer()
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { written.writeImmutableBuffer(bytes) }
        #expect(Array(written.readableBytesView) == [0x88, 0x02, 0x03, 0xE9])
        #expect(!channel.isActive)
    }
}
