import CoAP
import NIOCore
import Synchronization
import TestSupport
import Testing

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

    /// A device signs in at one pod, then at the other: every northbound reaches it at each, and the older session ends
    /// with an Abort.
    static func moves(_ di: String, of owner: Owner, in cluster: RunningCluster) async throws {
        let device = try await cluster.device(di, of: owner, at: 0)
        async let old = Self.serve(device.peer, saying: "old")
        for door in cluster.northbounds.indices {
            #expect(try await cluster.http(door).get("/\(di)/light", token: owner.token).text == "old")
        }
        let next = try await device.login.signIn(on: cluster.connect(to: 1))
        async let new = Self.serve(next.peer, saying: "new")
        #expect(try await old.abort != nil)
        for door in cluster.northbounds.indices {
            #expect(try await cluster.http(door).get("/\(di)/light", token: owner.token).text == "new")
        }
        await next.peer.close()
        _ = try await new
    }
}
