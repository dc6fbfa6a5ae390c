package import CoAP
import Glibc
package import NIOCore
import NIOPosix

/// What a scripted peer found in the place of what it waited for.
package struct PeerError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// The other end of a CoAP/TCP connection, one expectation a line: it says exactly the bytes it is told to, and reads
/// what comes back message by message. Every wait has a deadline.
package final class ScriptedPeer: Sendable {
    /// No answer takes longer, unless something is broken.
    package static let patience = TimeAmount.seconds(40)

    private let channel: any Channel
    private let inbox: Inbox

    private init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    /// Connects, and says nothing yet.
    /// - Parameters:
    ///   - localPort: the peer's own port; nil for any.
    ///   - localHost: the peer's own address, if it names a port: one that nobody else connects from.
    ///   - staysHalfOpen: does not close when the other end has; a well-behaved peer does.
    package static func connect(
        port: Int, host: String = "127.0.0.1", from localPort: Int? = nil,
        localHost: String = "127.0.0.1", staysHalfOpen: Bool = false
    ) async throws -> ScriptedPeer {
        let inbox = Inbox()
        var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        if let localPort {
            bootstrap = try bootstrap.channelOption(.socketOption(.so_reuseaddr), value: 1)
                .bind(to: SocketAddress(ipAddress: localHost, port: localPort))
        }
        let channel =
            try await bootstrap
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.allowRemoteHalfClosure, value: staysHalfOpen)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox: inbox))
                }
            }
            .connect(host: host, port: port)
            .get()
        return ScriptedPeer(channel: channel, inbox: inbox)
    }

    package var localPort: Int { self.channel.localAddress?.port ?? 0 }

    // MARK: Saying

    package func send(bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    package func send(_ messages: Message...) async throws {
        var buffer = ByteBuffer()
        for message in messages { message.writeFrame(into: &buffer) }
        try await self.channel.writeAndFlush(buffer)
    }

    /// Sends a request without waiting for anything.
    package func start(_ request: Request, token: Token = .unique()) async throws {
        try await self.send(
            Message(code: request.method, token: token, options: request.options, payload: request.payload))
    }

    /// Answers a request that was received.
    package func answer(_ request: Message, _ response: Response) async throws {
        try await self.send(
            Message(code: response.code, token: request.token, options: response.options, payload: response.payload))
    }

    /// From here on nothing is taken from the socket, or again.
    package func setReading(_ isOn: Bool) async throws {
        try await self.channel.setOption(.autoRead, value: isOn).get()
        if isOn { self.channel.read() }
    }

    /// Resets the connection, so that its address is free at once.
    package func reset() async throws {
        guard let socket = self.channel as? any SocketOptionProvider else { throw PeerError("no socket") }
        try await socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        await self.close()
    }

    /// Closes the connection without a word.
    package func close() async {
        try? await self.channel.close()
    }

    // MARK: Hearing

    /// The next message, whatever it is.
    package func receive() async throws -> Message {
        switch try await self.inbox.next(on: self.channel.eventLoop) {
        case .message(let message): return message
        case .closed: throw PeerError("the connection was closed where a message was expected")
        }
    }

    /// The next message, nil once the connection has ended: for who serves a connection for as long as it lasts.
    package func receiveOrEnd() async throws -> Message? {
        switch try await self.inbox.next(on: self.channel.eventLoop) {
        case .message(let message): message
        case .closed: nil
        }
    }

    /// The next message that is not a CSM: ours may come at any time.
    package func receivePastCSM() async throws -> Message {
        while true {
            let message = try await self.receive()
            if message.code != .capabilitiesAndSettings { return message }
        }
    }

    /// The next thing is the end of the connection.
    package func receiveClose() async throws {
        switch try await self.inbox.next(on: self.channel.eventLoop) {
        case .closed: return
        case .message(let message): throw PeerError("\(message.code) where the end of the connection was expected")
        }
    }

    /// Reads messages until the connection ends, and returns them.
    package func receiveUntilClose() async throws -> [Message] {
        var messages: [Message] = []
        while true {
            switch try await self.inbox.next(on: self.channel.eventLoop) {
            case .closed: return messages
            case .message(let message): messages.append(message)
            }
        }
    }

    /// The next message is a request, and asks for this.
    package func receiveRequest(_ method: Code, _ path: String) async throws -> Message {
        let message = try await self.receivePastCSM()
        let found = message.options.path?.joined(separator: "/") ?? "?"
        guard message.code == method, found == path else {
            throw PeerError("\(message.code) \(found) where \(method) \(path) was expected")
        }
        return message
    }

    /// The peer gives up: its last message is an Abort (RFC 8323 §5.6), then comes the end. Returns the Abort; what
    /// came before it is dropped.
    @discardableResult
    package func receiveAbort() async throws -> Message {
        guard let last = try await self.receiveUntilClose().last, last.code == .abort else {
            throw PeerError("the connection was closed without an Abort")
        }
        return last
    }

    /// Sends a request and returns the answer with its token. Anything else but a CSM in between is an error.
    package func ask(_ request: Request, token: Token = .unique()) async throws -> Message {
        try await self.send(
            Message(code: request.method, token: token, options: request.options, payload: request.payload))
        let answer = try await self.receivePastCSM()
        guard answer.token == token else {
            throw PeerError("\(answer.code) with token \(answer.token) where the answer to \(token) was expected")
        }
        return answer
    }

    /// Proves that nothing else was sent: the next message is the Pong to a Ping of ours.
    package func expectSilence() async throws {
        let token = Token.unique()
        try await self.send(Message(code: .ping, token: token))
        let answer = try await self.receivePastCSM()
        guard answer.code == .pong, answer.token == token else {
            throw PeerError("\(answer.code) where nothing was expected")
        }
    }
}

extension Token {
    /// Another one each time.
    package static func unique() -> Token {
        Token(eightBytes: .random(in: .min ... .max))
    }
}

/// What arrived, in order; waited for on the event loop, so nothing falls between looking and waiting.
private final class Inbox: @unchecked Sendable {
    // Sendable because every member is touched on the channel's event loop only.
    enum Event {
        case message(Message)
        case closed
    }

    private var events: [Event] = []
    private var waiter: EventLoopPromise<Event>?
    private var deadline: Scheduled<Void>?

    func push(_ event: Event) {
        if let waiter = self.waiter {
            self.waiter = nil
            self.deadline?.cancel()
            waiter.succeed(event)
        } else {
            self.events.append(event)
        }
    }

    func next(on eventLoop: any EventLoop) async throws -> Event {
        try await eventLoop.flatSubmit { () -> EventLoopFuture<Event> in
            let promise = eventLoop.makePromise(of: Event.self)
            if let first = self.events.first {
                if case .message = first { self.events.removeFirst() }
                promise.succeed(first)
            } else {
                self.waiter = promise
                self.deadline = eventLoop.scheduleTask(in: ScriptedPeer.patience) {
                    self.waiter = nil
                    promise.fail(
                        PeerError("nothing came within \(ScriptedPeer.patience.nanoseconds / 1_000_000_000) s"))
                }
            }
            return promise.futureResult
        }.get()
    }
}

private final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let inbox: Inbox
    private var buffer = ByteBuffer()
    private let limits = FrameLimits(maximumMessageSize: 16 << 20, maximumTokenLength: 65_804)

    init(inbox: Inbox) {
        self.inbox = inbox
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.buffer.writeBuffer(&bytes)
        while let message = try? Message(readingFrameFrom: &self.buffer, limits: self.limits) {
            self.inbox.push(.message(message))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.inbox.push(.closed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
