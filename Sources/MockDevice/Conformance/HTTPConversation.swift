import NIOCore
import NIOSSL

/// Requests one after the other on one connection, for as long as the cloud keeps it open (RFC 9112 §9.3). For one task
/// at a time.
struct HTTPConversation {
    private let door: HTTPDoor
    private let tls: NIOSSLContext?
    private var stream: ByteStream?

    init(_ door: HTTPDoor, tls: NIOSSLContext?) {
        self.door = door
        self.tls = tls
    }

    /// Asks for something that may be done twice: a cloud that closes the connection just then is asked again on
    /// another one, and whether it has done the first is not known (RFC 9112 §9.3.1).
    mutating func repeatable(
        _ method: String, _ path: String, token: String?, headers: [(String, String)], body: String?,
        clock: CaseClock
    ) async throws -> HTTPAnswer {
        let text = self.door.text(
            method, path, token: token, headers: headers, body: body, connection: .keepAlive)
        if let stream = self.stream {
            do {
                return try await self.ask(stream, text, method, path, clock)
            } catch is HTTPDoor.NoAnswer {
                // Given up while it was idle.
            }
        }
        let stream = try await self.door.open(tls: self.tls, clock: clock)
        do {
            return try await self.ask(stream, text, method, path, clock)
        } catch let error as HTTPDoor.NoAnswer {
            throw error.failure
        }
    }

    private mutating func ask(
        _ stream: ByteStream, _ text: String, _ method: String, _ path: String, _ clock: CaseClock
    ) async throws -> HTTPAnswer {
        self.stream = nil
        await stream.send(ByteBuffer(string: text))
        do {
            let answer = try await HTTPDoor.answer(from: stream, to: method, path, clock: clock)
            if answer.keepsConnection { self.stream = stream } else { await stream.close() }
            return answer
        } catch {
            await stream.close()
            throw error
        }
    }

    mutating func end() async {
        await self.stream?.close()
        self.stream = nil
    }
}
