package import CoAP
import NIOCore

// Both ends of an observation (RFC 7641).

extension ScriptedPeer {
    /// Registers, without waiting for anything.
    package func register(_ path: String, token: Token) async throws {
        try await self.start(Self.get(path, observe: 0), token: token)
    }

    package static func get(_ path: String, observe: UInt32?) -> Request {
        var request = Request.ocf(.get, path)
        request.options.observe = observe
        return request
    }

    /// The other end registers, or deregisters.
    package func receiveGet(_ path: String, observe: UInt32?) async throws -> Message {
        let request = try await self.receiveRequest(.get, path)
        guard request.options.observe == observe else {
            let found = request.options.observe.map { "\($0)" } ?? "none"
            throw PeerError("GET \(path) with Observe \(found), not \(observe.map { "\($0)" } ?? "none")")
        }
        return request
    }

    /// Tells who registered what the state is.
    package func notify(_ registration: Message, _ text: String) async throws {
        var response = Response(.content, payload: ByteBuffer(string: text))
        response.options.observe = 5
        try await self.answer(registration, response)
    }

    /// The next message is a notification under this token.
    package func receiveNotification(_ text: String, token: Token) async throws {
        let message = try await self.receivePastCSM()
        guard message.code == .content, message.token == token, message.options.contains(.observe),
            message.text == text
        else { throw PeerError("\(message.code) \(message.text) where the notification \(text) was expected") }
    }

    /// The next message is the last one under this token.
    @discardableResult
    package func receiveEnd(_ code: Code, token: Token) async throws -> Message {
        let message = try await self.receivePastCSM()
        guard message.code == code, message.token == token, !message.options.contains(.observe),
            !message.options.hasInternal
        else { throw PeerError("\(message.code) \(message.text) where the end \(code) was expected") }
        return message
    }
}
