import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// A request's body was not complete in time.
struct BodyTimeout: Error {}

/// Stands between Hummingbird's codec and its handler on one connection, and ends connections well.
///
/// - What is no HTTP request is answered with a problem instead of an empty 400.
/// - After a response that says `Connection: close` it half-closes, lets what still comes in fall, and closes soon
///   after: closing at once would let a reset eat the answer, reading on would let the client choose how much.
/// - A body that does not end in time is an error to whoever reads it.
///
/// It does not count or queue requests: one is handled at a time, which is its neighbour's business.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private enum State {
        case open
        /// There is no room for this connection: whatever is asked first is answered so.
        case refusing
        /// The response that is being written is the last.
        case closing
        /// Nothing more is written or read.
        case closed
    }

    /// When a client for whom there is no room may ask again, in seconds: a look at the memory takes one, what ends a
    /// shortage longer.
    private static let noRoomRetryAfter = 5

    private let bodyTimeout: TimeAmount
    /// How long a client gets to read the last response before the connection is closed.
    private let lingering: TimeAmount
    private let malformed: @Sendable (Problem) -> HTTPAnswer
    /// Whether there is no room for a connection.
    private let isRefused: @Sendable (any Channel) -> Bool
    /// Whether the program will stop, so that clients have to go elsewhere.
    private let isDraining: @Sendable () -> Bool
    private var state = State.open
    /// Requests whose head came in and whose response is not complete.
    private var inProgress = 0
    /// The head of a request came in, its end did not.
    private var isReading = false
    /// The program stops: the response in progress is the last.
    private var isQuiescing = false
    /// An event stream is being written, which has no end of its own.
    private var isStreaming = false
    private var deadline: Scheduled<Void>?
    private var closing: Scheduled<Void>?

    /// - Parameter malformed: makes the answer for bytes that are no request.
    init(
        bodyTimeout: TimeAmount,
        lingering: TimeAmount = .seconds(2),
        isDraining: @escaping @Sendable () -> Bool = { false },
        isRefused: @escaping @Sendable (any Channel) -> Bool = { _ in false },
        malformed: @escaping @Sendable (Problem) -> HTTPAnswer,
    ) {
        self.bodyTimeout = bodyTimeout
        self.lingering = lingering
        self.isDraining = isDraining
        self.isRefused = isRefused
        self.malformed = malformed
    }

    func handlerAdded(context: ChannelHandlerContext) {
        guard self.isRefused(context.channel) else { return }
        self.state = .refusing
        // Who asks nothing holds one of few places.
        self.deadline = context.eventLoop.assumeIsolated().scheduleTask(in: self.lingering) {
            context.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .refusing = self.state {
            return self.answer(Problem(.noRoom, retryAfter: Self.noRoomRetryAfter), context)
        }
        guard case .open = self.state else { return }
        switch self.unwrapInboundIn(data) {
        case .head:
            self.inProgress += 1
            self.isReading = true
        case .body:
            break
        case .end:
            self.isReading = false
            self.deadline?.cancel()
            self.deadline = nil
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Only a body that did not come with its head needs a clock.
        if self.isReading, self.deadline == nil {
            self.deadline = context.eventLoop.assumeIsolated().scheduleTask(in: self.bodyTimeout) {
                self.deadline = nil
                if self.isReading { context.fireErrorCaught(BodyTimeout()) }
            }
        }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { self.isQuiescing = true }
        // Who asks nothing more still wants his answer, but nobody listens to a stream without wanting to ask again.
        if self.isStreaming, event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard case .open = self.state else { return }
        guard self.inProgress == 0, let problem = Self.problem(error) else {
            // Whoever handles the request sees the error in its place.
            context.fireErrorCaught(error)
            return
        }
        self.answer(problem, context)
    }

    /// Answers in the place of whoever handles requests, and ends the connection.
    private func answer(_ problem: Problem, _ context: ChannelHandlerContext) {
        let answer = self.malformed(problem)
        self.state = .closing
        var fields = answer.fields
        fields[.contentLength] = String(answer.body.readableBytes)
        fields[.connection] = "close"
        let head = HTTPResponse(status: .init(code: answer.status), headerFields: fields)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(answer.body)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        self.finish(context)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch (self.unwrapOutboundIn(data), self.state) {
        case (_, .closed):
            promise?.fail(ChannelError.outputClosed)
        case (.head(var head), .open):
            // RFC 9112 §9.6: who is not told would send the next request into the closing connection and lose it.
            if self.isQuiescing || self.isDraining(), head.status.kind != .informational {
                head.headerFields[.connection] = "close"
                self.state = .closing
                self.isStreaming = head.headerFields[.contentType] == "text/event-stream"
                context.write(self.wrapOutboundOut(.head(head)), promise: promise)
                return
            }
            if head.headerFields[.connection]?.lowercased() == "close" { self.state = .closing }
            self.isStreaming = head.headerFields[.contentType] == "text/event-stream"
            context.write(data, promise: promise)
        case (.end, .open):
            self.inProgress -= 1
            self.isStreaming = false
            context.write(data, promise: promise)
        case (.end, .closing):
            context.writeAndFlush(data, promise: promise)
            self.finish(context)
        case (.head, .refusing), (.body, .refusing), (.end, .refusing):
            // Nobody behind was given a request.
            promise?.fail(ChannelError.outputClosed)
        case (.head, .closing), (.body, .open), (.body, .closing):
            context.write(data, promise: promise)
        }
    }

    /// Half-closes, and closes once the client had time to read.
    private func finish(_ context: ChannelHandlerContext) {
        self.state = .closed
        self.deadline?.cancel()
        self.deadline = nil
        context.close(mode: .output, promise: nil)
        self.closing = context.eventLoop.assumeIsolated().scheduleTask(in: self.lingering) {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.cancelTimers()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.cancelTimers()
    }

    private func cancelTimers() {
        self.deadline?.cancel()
        self.deadline = nil
        self.closing?.cancel()
        self.closing = nil
    }

    /// What is wrong with bytes the parser refused; nil for errors of the connection.
    static func problem(_ error: any Error) -> Problem? {
        guard let error = error as? HTTPParserError else { return nil }
        if case .headerOverflow = error { return Problem(.headerTooLarge) }
        if case .invalidMethod = error { return Problem(.methodNotImplemented) }
        return Problem(.badRequest, "The bytes on the connection are no HTTP/1.1 request.")
    }
}
