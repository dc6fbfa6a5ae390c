import CoAP
import NIOCore
import Testing

/// One connection seen from our end: what the peer says goes in, what the machine wants comes out. Time stands still
/// unless it is told to pass.
final class Conversation {
    private var machine: ConnectionMachine
    private(set) var now: NIODeadline
    /// What we opened with; nil: nothing.
    let csm: Message?

    init(_ configuration: ConnectionConfiguration = .quiet, tokenSeed: UInt64 = 0x1122_3344_5566_7788) {
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
        self.now = start
        self.machine = ConnectionMachine(configuration: configuration, tokenSeed: tokenSeed, now: start)
        self.csm = self.machine.open()
    }

    var peer: PeerSettings { self.machine.peer }
    var isOpen: Bool { self.machine.isOpen }
    var isClosed: Bool { self.machine.isClosed }
    var hasWorkInFlight: Bool { self.machine.hasWorkInFlight }
    /// How long until the machine wants to be asked; nil: never.
    var nextDeadline: TimeAmount? { self.machine.nextDeadline.map { $0 - self.now } }

    func pass(_ time: TimeAmount) {
        self.now = self.now + time
    }

    func receive(_ message: Message) -> ReceiveAction {
        self.machine.received(message, size: message.frameLength, now: self.now)
    }

    func receiveBytes() {
        self.machine.receivedBytes(now: self.now)
    }

    func send(_ request: Request = Request(.get, path: ["a"]), within: TimeAmount = .seconds(20)) -> SendAction {
        self.machine.send(request, deadline: self.now + within, now: self.now)
    }

    func respond(
        _ id: IncomingID, _ response: Response = Response(.content), isWritable: Bool = true
    ) -> RespondAction {
        self.machine.respond(to: id, with: response, isWritable: isWritable)
    }

    func observe(_ request: Request = Request(.get, path: ["a"]), within: TimeAmount = .seconds(20)) -> SendAction {
        self.machine.observe(request, deadline: self.now + within, now: self.now)
    }

    func cancel(_ id: ExchangeID) -> Message? { self.machine.cancel(id) }
    func nextNotification() -> RespondAction { self.machine.nextNotification() }

    func askWhatIsDue() -> DeadlineAction { self.machine.deadlineReached(now: self.now) }
    func release(holdOffSeconds: UInt32? = nil) -> ReleaseAction? {
        self.machine.release(holdOffSeconds: holdOffSeconds, now: self.now)
    }
    func abort(_ diagnostic: String) -> Message? { self.machine.abort(diagnostic: diagnostic) }
    func malformed(_ error: DecodeError) -> Message { self.machine.malformed(error) }
    func ping() -> Message? { self.machine.ping() }
    func close() -> [ExchangeID: ExchangeError] { self.machine.closed() }
    func written(_ id: ExchangeID) { self.machine.written(id) }
    var unwritten: Int { self.machine.unwritten }
    func withdrawQueued() -> [ExchangeID] { self.machine.withdrawQueued() }
}

// MARK: - Outcomes

/// The machine wanted something else.
struct Unexpected: Error {
    let action: String

    init(_ action: some Sendable) {
        self.action = "\(action)"
    }
}

extension Conversation {
    struct Completion {
        let id: ExchangeID
        let result: Result<Response, ExchangeError>
        let next: [Outgoing]
        let end: ConnectionEnd?
    }

    @discardableResult
    func handled(_ message: Message) throws -> (id: IncomingID, request: Request) {
        let action = self.receive(message)
        guard case .handle(let id, let request) = action else { throw Unexpected(action) }
        return (id, request)
    }

    func replied(to message: Message) throws -> Message {
        let action = self.receive(message)
        guard case .reply(let reply) = action else { throw Unexpected(action) }
        return reply
    }

    func aborted(by message: Message) throws -> (message: Message, end: ConnectionEnd) {
        let action = self.receive(message)
        guard case .abort(let abort, let end) = action else { throw Unexpected(action) }
        return (abort, end)
    }

    func completed(by message: Message) throws -> Completion {
        let action = self.receive(message)
        guard case .complete(let id, let result, let next, let end) = action else { throw Unexpected(action) }
        return Completion(id: id, result: result, next: next, end: end)
    }

    @discardableResult
    func wrote(_ request: Request = Request(.get, path: ["a"]), within: TimeAmount = .seconds(20)) throws -> Outgoing {
        let action = self.send(request, within: within)
        guard case .write(let outgoing) = action else { throw Unexpected(action) }
        return outgoing
    }

    @discardableResult
    func queued(
        _ request: Request = Request(.get, path: ["a"]), within: TimeAmount = .seconds(20)
    ) throws -> ExchangeID {
        let action = self.send(request, within: within)
        guard case .queued(let id) = action else { throw Unexpected(action) }
        return id
    }

    func answered(_ id: IncomingID, _ response: Response = Response(.content)) throws -> [Message] {
        let action = self.respond(id, response)
        guard case .write(let messages) = action else { throw Unexpected(action) }
        return messages
    }

    func expired() throws -> (late: [ExchangeID: ExchangeError], next: [Outgoing]) {
        let action = self.askWhatIsDue()
        guard case .expire(let late, _, let next) = action else { throw Unexpected(action) }
        return (late, next)
    }

    func pinged() throws -> Message {
        let action = self.askWhatIsDue()
        guard case .ping(let message) = action else { throw Unexpected(action) }
        return message
    }
}

// MARK: - Observations

extension Conversation {
    /// Asks to observe; the request was written.
    @discardableResult
    func observed(
        _ request: Request = Request(.get, path: ["a"]), within: TimeAmount = .seconds(20)
    ) throws -> Outgoing {
        let action = self.observe(request, within: within)
        guard case .write(let outgoing) = action else { throw Unexpected(action) }
        return outgoing
    }

    /// Observes, and the peer agreed.
    func observing(_ request: Request = Request(.get, path: ["a"])) throws -> Outgoing {
        let outgoing = try self.observed(request)
        let first = try self.notified(by: .notification(to: outgoing))
        guard first.isFirst else { throw Unexpected("not the first") }
        return outgoing
    }

    struct Notification {
        let id: ExchangeID
        let response: Response
        let isFirst: Bool
        let next: [Outgoing]
    }

    @discardableResult
    func notified(by message: Message) throws -> Notification {
        let action = self.receive(message)
        guard case .notify(let id, let response, let isFirst, let next, nil) = action else { throw Unexpected(action) }
        return Notification(id: id, response: response, isFirst: isFirst, next: next)
    }

    func cancelled(by message: Message) throws -> (id: IncomingID, then: ReceiveAction) {
        let action = self.receive(message)
        guard case .cancelled(let id, let then) = action else { throw Unexpected(action) }
        return (id, then)
    }

    /// The peer observes, and was told so.
    func registered(_ path: String = "a", token: [UInt8] = [1]) throws -> IncomingID {
        let (id, request) = try self.handled(.observing(path, token: token))
        guard request.registers else { throw Unexpected(request) }
        guard try self.answered(id, .observed()).first?.options.contains(.observe) == true else {
            throw Unexpected("not registered")
        }
        return id
    }
}

extension Message {
    static func notification(_ payload: String = "", to outgoing: Outgoing, value: [UInt8] = []) -> Message {
        .response(to: outgoing, adding: [(.observe, value)], payload: payload)
    }

    /// A GET of the peer with an Observe option.
    static func observing(_ path: String = "a", token: [UInt8] = [1], value: [UInt8] = []) -> Message {
        .get(path, token: token, adding: [(.observe, value)])
    }

    var text: String { self.payload.map { String(buffer: $0) } ?? "" }
}

extension Response {
    /// One that keeps whoever asked registered.
    static func observed(_ payload: String = "") -> Response {
        var response = Response(.content, payload: ByteBuffer(string: payload))
        response.options.observe = 0
        return response
    }
}

extension ExchangeID {
    /// Of the request that went out under this token.
    init(_ token: Token) {
        self.init(rawValue: token.bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }
}

// MARK: - What peers say

extension ConnectionConfiguration {
    /// Without keepalive, so that only what a test is about happens.
    static let quiet = ConnectionConfiguration(keepalive: nil)
    static let strict = ConnectionConfiguration(isStrict: true, keepalive: nil)
    static let `internal` = ConnectionConfiguration(keepalive: nil, isInternal: true)
}

extension Message {
    static func get(
        _ path: String..., token: [UInt8] = [1], adding options: [(OptionNumber, [UInt8])] = []
    ) -> Message {
        var all = Options()
        all.path = path
        for (number, value) in options {
            all.append(number, bytes: value)
        }
        return Message(code: .get, token: Token(token), options: all)
    }

    static func response(
        _ code: Code = .content, to outgoing: Outgoing, adding options: [(OptionNumber, [UInt8])] = [],
        payload: String = ""
    ) -> Message {
        var all = Options()
        for (number, value) in options {
            all.append(number, bytes: value)
        }
        return Message(
            code: code, token: outgoing.message.token, options: all, payload: ByteBuffer(string: payload))
    }

    /// A signalling message with options by their numbers.
    static func signal(
        _ code: Code, token: [UInt8] = [], _ options: [(UInt16, [UInt8])] = [], payload: String = ""
    ) -> Message {
        var all = Options()
        for (number, value) in options {
            all.append(OptionNumber(rawValue: number), bytes: value)
        }
        return Message(code: code, token: Token(token), options: all, payload: ByteBuffer(string: payload))
    }

    /// A CSM that announces a Max-Message-Size.
    static func csm(maxMessageSize: UInt64) -> Message {
        var options = Options()
        options.append(OptionNumber(rawValue: 2), uint: maxMessageSize)
        return Message(code: .capabilitiesAndSettings, token: .empty, options: options)
    }

    static let empty = Message(code: .empty, token: .empty)

    var diagnostic: String { self.payload.map { String(buffer: $0) } ?? "" }
}
