import CoAP
import NIOCore

/// One end of a connection to the cloud under test: it says exactly the bytes it is told to, and reads message by
/// message. Every wait has an end.
package actor WirePeer {
    /// The longest message read.
    private static let limits = FrameLimits(maximumMessageSize: 16 << 20, maximumTokenLength: 65_804)
    /// How many of the cloud's own requests may wait for somebody to expect them.
    private static let maximumStash = 64

    /// Who it plays, as in the transcript.
    nonisolated let name: String
    private let stream: ByteStream
    private let isWebSocket: Bool
    private let clock: CaseClock
    private let transcript: Transcript
    private var buffer = ByteBuffer()
    /// Fragments of a message over WebSocket.
    private var fragments: ByteBuffer?
    /// The status of the WebSocket's close frame.
    private(set) var closeStatus: UInt16?
    /// How many Empty messages came.
    private(set) var empties = 0
    /// Requests of the cloud that came while an answer was waited for.
    private var stash: [Message] = []

    init(name: String, stream: ByteStream, isWebSocket: Bool, clock: CaseClock, transcript: Transcript) {
        self.name = name
        self.stream = stream
        self.isWebSocket = isWebSocket
        self.clock = clock
        self.transcript = transcript
    }

    // MARK: - Saying

    func send(_ message: Message) async {
        var frame = ByteBuffer()
        if self.isWebSocket {
            let bytes = WebSocketFraming.lengthless(message)
            self.transcript.note(self.name, .sent, bytes, summary(of: message))
            frame = WebSocketFraming.frame(.binary, bytes)
        } else {
            message.writeFrame(into: &frame)
            self.transcript.note(self.name, .sent, frame.readableBytesView, summary(of: message))
        }
        await self.stream.send(frame)
    }

    /// Bytes as they are, whatever they are.
    func send(bytes: [UInt8], meaning: String) async {
        self.transcript.note(self.name, .sent, bytes, meaning)
        await self.stream.send(ByteBuffer(bytes: bytes))
    }

    /// Sends a request and waits for nothing.
    @discardableResult
    func start(_ request: Request, token: Token = .fresh()) async -> Token {
        await self.send(
            Message(code: request.method, token: token, options: request.options, payload: request.payload))
        return token
    }

    func answer(_ request: Message, _ response: Response) async {
        await self.send(
            Message(code: response.code, token: request.token, options: response.options, payload: response.payload))
    }

    func close() async {
        self.transcript.note(self.name, "closed its connection")
        await self.stream.close()
    }

    // MARK: - Hearing

    private enum Heard {
        case message(Message)
        case end
        case nothing
    }

    /// - Throws: `CaseFailure` when what came is no CoAP, or the transport broke.
    private func hear(within patience: Duration?, _ expected: String) async throws -> Heard {
        let deadline = ContinuousClock.now + (try self.clock.wait(patience))
        while true {
            if let message = try self.decode() { return .message(message) }
            do {
                guard var bytes = try await self.stream.next(within: max(.zero, deadline - .now)) else {
                    self.transcript.note(self.name, "saw the end of the connection")
                    return .end
                }
                self.buffer.writeBuffer(&bytes)
            } catch StreamError.timedOut {
                return .nothing
            } catch StreamError.failed(let text) {
                self.transcript.note(self.name, "lost its connection: \(text)")
                throw CaseFailure(expected: expected, got: "a broken connection: \(text)")
            }
        }
    }

    /// The next message, whatever it is; nil at the end of the connection.
    func receiveOrEnd(within patience: Duration? = nil, _ expected: String = "a message") async throws -> Message? {
        switch try await self.hear(within: patience, expected) {
        case .message(let message): return message
        case .end: return nil
        case .nothing:
            throw CaseFailure(expected: expected, got: "nothing within \((patience ?? self.clock.patience).spoken)")
        }
    }

    /// The next message, if one comes soon. Pings are answered, as `receive` does.
    func receiveIfAny(within patience: Duration) async throws -> Message? {
        if !self.stash.isEmpty { return self.stash.removeFirst() }
        while case .message(let message) = try await self.hear(within: patience, "a message") {
            switch message.code {
            case .capabilitiesAndSettings: continue
            case .empty: self.empties += 1
            case .ping: await self.send(Message(code: .pong, token: message.token))
            default: return message
            }
        }
        return nil
    }

    /// The next message that is neither a CSM nor a Ping; those are answered.
    func receive(_ expected: String = "a message", within patience: Duration? = nil) async throws -> Message {
        while true {
            guard let message = try await self.receiveOrEnd(within: patience, expected) else {
                throw CaseFailure(expected: expected, got: "the end of the connection")
            }
            switch message.code {
            case .capabilitiesAndSettings: continue
            case .empty: self.empties += 1
            case .ping: await self.send(Message(code: .pong, token: message.token))
            default: return message
            }
        }
    }

    /// The answer to this token. Requests of the cloud that come before it wait for `request(about:)`.
    func response(to token: Token, _ what: String, within patience: Duration? = nil) async throws -> Message {
        while true {
            let message = try await self.receive("the answer to \(what)", within: patience)
            if message.code.kind == .request, self.stash.count < Self.maximumStash {
                self.stash.append(message)
                continue
            }
            guard message.code.kind == .response, message.token == token else {
                throw CaseFailure(
                    expected: "the answer to \(what), token \(hexadecimal(token.bytes))", got: summary(of: message))
            }
            return message
        }
    }

    /// Sends a request and returns its answer.
    func ask(_ request: Request, token: Token = .fresh(), within patience: Duration? = nil) async throws -> Message {
        await self.start(request, token: token)
        let path = request.options.path?.joined(separator: "/") ?? "?"
        return try await self.response(to: token, "\(request.method.verb) /\(path)", within: patience)
    }

    /// The next request in whose path this word stands. A cloud may ask devices for things of its own: what does not
    /// hold the word is answered 4.04.
    func request(about word: String, within patience: Duration? = nil) async throws -> Message {
        while true {
            let message: Message
            if self.stash.isEmpty {
                message = try await self.receive("a request about \(word)", within: patience)
            } else {
                message = self.stash.removeFirst()
            }
            guard message.code.kind == .request else {
                throw CaseFailure(expected: "a request about \(word)", got: summary(of: message))
            }
            if message.options.path?.contains(where: { $0.contains(word) }) ?? false { return message }
            await self.answer(message, Response(.notFound))
        }
    }

    /// The end of the connection, after an Abort (RFC 8323 §5.6). Returns the Abort.
    @discardableResult
    func abort(_ why: String) async throws -> Message {
        let expected = "7.05 Abort (\(why)), then the end of the connection"
        var last: Message?
        while let message = try await self.receiveOrEnd(expected) {
            if message.code == .capabilitiesAndSettings { continue }
            guard last == nil, message.code == .abort else {
                throw CaseFailure(expected: expected, got: summary(of: message))
            }
            last = message
        }
        guard let last else { throw CaseFailure(expected: expected, got: "the end of the connection alone") }
        return last
    }

    /// The end of the connection; messages before it are passed over.
    func end(_ why: String, within patience: Duration? = nil) async throws {
        while try await self.receiveOrEnd(within: patience, "the end of the connection (\(why))") != nil {}
    }

    /// Nothing else came: the next message is the Pong to a Ping sent now. Requests of the cloud about other things are
    /// answered 4.04.
    func silence(_ why: String, about word: String? = nil) async throws {
        let token = Token.fresh()
        await self.send(Message(code: .ping, token: token))
        while true {
            let message: Message
            if self.stash.isEmpty {
                message = try await self.receive("the Pong to a Ping (\(why))")
            } else {
                message = self.stash.removeFirst()
            }
            if message.code == .pong, message.token == token { return }
            let isOther =
                message.code.kind == .request
                && !(message.options.path?.contains { $0.contains(word ?? "/") } ?? false)
            guard isOther else {
                throw CaseFailure(expected: "nothing but the Pong to a Ping (\(why))", got: summary(of: message))
            }
            await self.answer(message, Response(.notFound))
        }
    }

    // MARK: - Decoding

    private func decode() throws -> Message? {
        if self.isWebSocket { return try self.decodeWebSocket() }
        guard self.buffer.readableBytes > 0 else { return nil }
        let whole = self.buffer
        do throws(DecodeError) {
            guard let message = try Message(readingFrameFrom: &self.buffer, limits: Self.limits) else { return nil }
            let bytes = whole.readableBytesView.prefix(self.buffer.readerIndex - whole.readerIndex)
            self.transcript.note(self.name, .received, bytes, summary(of: message))
            if self.buffer.readableBytes == 0 { self.buffer.clear() }
            return message
        } catch {
            self.transcript.note(self.name, .received, whole.readableBytesView, "no CoAP: \(error)")
            throw CaseFailure(expected: "CoAP over TCP (RFC 8323 §3.2)", got: "\(error)")
        }
    }

    private func decodeWebSocket() throws -> Message? {
        while let frame = try WebSocketFraming.read(from: &self.buffer) {
            switch WebSocketFraming.Opcode(rawValue: frame.opcode) {
            case .binary, .continuation:
                var payload = frame.payload
                self.fragments = self.fragments ?? ByteBuffer()
                self.fragments?.writeBuffer(&payload)
                guard frame.isFinal, let whole = self.fragments else { continue }
                self.fragments = nil
                guard var framed = WebSocketFraming.withLength(whole),
                    let message = try? Message(readingFrameFrom: &framed, limits: Self.limits)
                else {
                    self.transcript.note(self.name, .received, whole.readableBytesView, "no CoAP")
                    throw CaseFailure(
                        expected: "CoAP with Len 0 in a binary message (RFC 8323 §4.2)",
                        got: hexadecimal(whole.readableBytesView.prefix(32)))
                }
                self.transcript.note(self.name, .received, whole.readableBytesView, summary(of: message))
                return message
            case .close:
                self.closeStatus = frame.payload.getInteger(at: frame.payload.readerIndex)
                let status = self.closeStatus.map { "status \($0)" } ?? "no status"
                self.transcript.note(self.name, .received, frame.payload.readableBytesView, "a close frame, \(status)")
            case .ping, .pong, .text, nil:
                self.transcript.note(
                    self.name, .received, frame.payload.readableBytesView, "a frame with opcode \(frame.opcode)")
            }
        }
        return nil
    }

    /// Puts what was read behind a WebSocket's handshake where the next message is looked for.
    func push(_ rest: ByteBuffer) {
        var rest = rest
        self.buffer.writeBuffer(&rest)
    }
}

extension Token {
    /// Eight random bytes: over TLS, readers that ask for six bytes first get stuck on less.
    static func fresh() -> Token {
        Token(eightBytes: .random(in: .min ... .max))
    }
}

extension Code {
    /// The method's name, else the code.
    var verb: String { self.name ?? self.description }
}

/// How long a case may still wait.
struct CaseClock: Sendable {
    /// For one answer.
    let patience: Duration
    /// When the whole case must be over.
    let end: ContinuousClock.Instant

    /// How long to wait now.
    func wait(_ patience: Duration? = nil) throws -> Duration {
        let left = self.end - .now
        guard left > .zero else { throw CaseFailure(expected: "an end of the case in time", got: "too many waits") }
        return min(patience ?? self.patience, left)
    }
}
