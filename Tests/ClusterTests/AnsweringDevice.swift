import CoAP
import NIOCore
import Synchronization
import TestSupport

/// Answers whatever a device is asked on one connection, until that ends, and keeps what came.
struct AnsweringDevice: Sendable {
    /// How a connection ended: what it was asked, and the last message if that was an Abort.
    struct End: Sendable {
        let requests: [Message]
        let abort: Message?
    }

    /// - Parameter text: goes into each answer, so that whoever asked knows which connection answered.
    static func serve(_ peer: ScriptedPeer, saying text: String) async throws -> End {
        var requests: [Message] = []
        var last: Message?
        while let message = try await peer.receiveOrEnd() {
            last = message
            switch message.code {
            case .get, .post, .put, .delete:
                requests.append(message)
                // A connection that ends meanwhile takes no answer; its end is what the next turn finds.
                try? await peer.answer(message, Response(.content, payload: ByteBuffer(string: text)))
            case .ping:
                try? await peer.send(Message(code: .pong, token: message.token))
            default:
                break
            }
        }
        return End(requests: requests, abort: last?.code == .abort ? last : nil)
    }
}
