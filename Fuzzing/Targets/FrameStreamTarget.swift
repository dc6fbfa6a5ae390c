import CoAP
import NIOCore

/// The bytes of one connection over TCP (RFC 8323 §3.2). The first byte of the input chooses the limits, the second how
/// the rest is cut.
enum FrameStreamTarget {
    private struct Outcome: Equatable {
        var messages: [Message] = []
        var error: DecodeError?
        /// What waits for more.
        var left = ByteBuffer()
    }

    static func check(_ input: ByteBuffer) {
        var reader = InputReader(input)
        let choice = reader.byte()
        let limits = FrameLimits(
            maximumMessageSize: [256 * 1024, 1152, 64, 20][Int(choice & 0b11)],
            maximumTokenLength: [8, 12, 300, 65_804][Int(choice >> 2 & 0b11)],
            message: MessageLimits(maximumOptions: choice & 0b1_0000 == 0 ? 256 : 3))
        let cut = Int(reader.byte())
        let stream = reader.rest

        let whole = self.read([stream], limits)
        require(self.read(stream.pieces([cut, 1, cut / 2]), limits) == whole, "the same bytes cut are other messages")
        if stream.readableBytes <= 256 {
            require(
                self.read(stream.pieces([1], atMost: 256), limits) == whole,
                "the same bytes one by one are other messages")
        }

        var written = ByteBuffer()
        for message in whole.messages {
            self.checkBounds(message, limits)
            message.writeFrame(into: &written)
        }
        require(
            stream.readableBytesView.starts(with: written.readableBytesView),
            "what was read is written in other bytes than it came in")
        let end = stream.readerIndex + written.readableBytes
        require(
            stream.getSlice(at: end, length: stream.writerIndex - end) == whole.left,
            "a message took more or fewer bytes than it has")
        require(self.read([written], limits).messages == whole.messages, "what was written is read as something else")
    }

    private static func read(_ pieces: [ByteBuffer], _ limits: FrameLimits) -> Outcome {
        var outcome = Outcome()
        for piece in pieces {
            outcome.left.writeImmutableBuffer(piece)
            guard outcome.error == nil else { continue }
            do throws(DecodeError) {
                while true {
                    let before = outcome.left
                    guard let message = try Message(readingFrameFrom: &outcome.left, limits: limits) else {
                        require(outcome.left == before, "bytes are gone although there was no whole message")
                        break
                    }
                    outcome.messages.append(message)
                }
            } catch {
                outcome.error = error
                continue
            }
            // A frame's head has at most 8 bytes before its size is known.
            require(
                outcome.left.readableBytes < max(limits.maximumMessageSize, 8),
                "waits for more with \(outcome.left.readableBytes) bytes there")
        }
        return outcome
    }

    private static func checkBounds(_ message: Message, _ limits: FrameLimits) {
        var frame = ByteBuffer()
        message.writeFrame(into: &frame)
        require(frame.readableBytes == message.frameLength, "a frame is longer or shorter than was said")
        require(frame.readableBytes <= limits.maximumMessageSize, "a message exceeds our Max-Message-Size")
        require(message.token.count <= limits.maximumTokenLength, "a token is longer than announced")
        require(message.options.count <= limits.message.maximumOptions, "a message has too many options")
        require(message.code.kind != .reserved, "a message of a reserved class was taken")
        require(message.payload?.readableBytes != 0, "a payload is empty but there")
        require(zip(message.options, message.options.dropFirst()).allSatisfy { $0.number <= $1.number }, "unordered")
    }
}
