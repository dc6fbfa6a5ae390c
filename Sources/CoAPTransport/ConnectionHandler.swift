import CoAP
import Logging
import NIOCore

/// Carries out what `ConnectionMachine` decides, on one TCP connection.
///
/// It owns the bytes, the timer and the callbacks of requests under way; every decision is the machine's. Not Sendable:
/// everything happens on the channel's event loop, and `CoAPConnection` is the way in from elsewhere.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    typealias Completion = @Sendable (Result<Response, ExchangeError>) -> Void

    private var machine: ConnectionMachine
    private var frameLimits: FrameLimits
    private let limits: TransportLimits
    private let delegate: any ConnectionDelegate
    private let logger: Logger
    private let ended: EventLoopPromise<ConnectionEnd>
    private let turn: LoopTurn?
    let arrival: ConnectionArrival

    private var context: ChannelHandlerContext?
    /// Bytes of messages that are not whole yet, or not handled yet.
    private(set) var buffer = ByteBuffer()
    private var rate: MessageRate?
    private var completions: [ExchangeID: Completion] = [:]
    private var pongs = AwaitedPongs()

    private var timer: Scheduled<Void>?
    private var timerDeadline: NIODeadline?
    private var slowReaderTimer: Scheduled<Void>?
    private var lingerTimer: Scheduled<Void>?

    private var isReading = false
    private var needsFlush = false
    private var end: ConnectionEnd?
    private var hasToldDelegate = false
    private var hasReportedEnd = false
    /// Handling stopped in the middle of the buffer: for the others' turn, the rate, or a slow reader.
    private var isPaused = false
    private var heldRead = false

    init(
        configuration: ConnectionConfiguration, limits: TransportLimits, delegate: any ConnectionDelegate,
        tokenSeed: UInt64, ended: EventLoopPromise<ConnectionEnd>, turn: LoopTurn? = nil,
        arrival: ConnectionArrival = ConnectionArrival(), logger: Logger
    ) {
        let now = NIODeadline.now()
        self.machine = ConnectionMachine(configuration: configuration, tokenSeed: tokenSeed, now: now)
        self.frameLimits = configuration.limits
        if let first = limits.firstMessageBytes {
            self.frameLimits.maximumMessageSize = min(first, configuration.limits.maximumMessageSize)
        }
        self.limits = limits
        self.delegate = delegate
        self.rate = limits.messagesPerSecond.map {
            MessageRate(perSecond: $0, burst: limits.messageBurst, now: now)
        }
        self.ended = ended
        self.turn = turn
        self.arrival = arrival
        self.logger = logger
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive {
            self.open(context: context)
        }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.open(context: context)
        context.fireChannelActive()
    }

    private func open(context: ChannelHandlerContext) {
        self.write(self.machine.open())
        self.flush()
        self.delegate.connectionOpened(
            CoAPConnection(channel: context.channel, handler: self, ended: self.ended.futureResult))
        if self.arrival.isSecured { self.delegate.connectionSecured(with: self.arrival.certificate) }
        self.schedule()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let now = NIODeadline.now()
        // First of all: it may close this very connection.
        self.turn?.check(now: now)
        guard self.end == nil else { return }
        var bytes = self.unwrapInboundIn(data)
        self.machine.receivedBytes(now: now)
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
        } else {
            // What was read stays in front of the rest until it is discarded: with a peer whose every segment ends in
            // the middle of a message the buffer would grow for ever.
            self.buffer.discardReadBytes()
            self.buffer.writeBuffer(&bytes)
        }
        self.isReading = true
        if !self.isPaused {
            self.handleBuffered()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.isReading = false
        self.flush()
        self.schedule()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if self.isPaused || !self.mayRead(context) {
            self.heldRead = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.slowReaderTimer?.cancel()
            self.slowReaderTimer = nil
            self.resumeReading()
        } else if self.slowReaderTimer == nil, self.end == nil {
            self.slowReaderTimer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limits.slowReaderTimeout) {
                self.finish(.closedByUs("the peer reads too slowly"))
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What carries the messages found one that is none.
        if let error = error as? DecodeError {
            return self.perform(.abort(self.machine.malformed(error), .malformed(error)))
        }
        self.finish(.failed("\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.reportEnd(self.end ?? .closedByPeer)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.reportEnd(self.end ?? .closedByPeer)
        self.context = nil
    }

    // MARK: Receiving

    /// Handles whole messages, at most so many before the others' turn.
    private func handleBuffered() {
        var handled = 0
        self.isPaused = false
        while self.end == nil {
            let now = NIODeadline.now()
            let before = self.buffer.readerIndex
            let message: Message
            do throws(DecodeError) {
                guard let next = try Message(readingFrameFrom: &self.buffer, limits: self.frameLimits) else { break }
                message = next
            } catch {
                self.perform(.abort(self.machine.malformed(error), .malformed(error)))
                break
            }
            if message.code == .pong { self.pongs.take(message.token)?(true) }
            let action = self.machine.received(message, size: self.buffer.readerIndex - before, now: now)
            self.perform(action)
            handled += 1
            // Answers to our own requests are bounded by those; everything else a peer sends of its own accord.
            if !action.isAwaited, self.rate?.admit(now: now) == false, let resumesAt = self.rate?.resumesAt {
                self.pause(until: resumesAt)
                return
            }
            if handled >= self.limits.messagesPerTurn, self.buffer.readableBytes > 0 {
                self.pause(until: nil)
                return
            }
        }
        if self.end != nil || self.buffer.readableBytes == 0 {
            self.buffer = ByteBuffer()
        }
    }

    private func pause(until time: NIODeadline?) {
        guard let eventLoop = self.context?.eventLoop else { return }
        self.isPaused = true
        if let time {
            eventLoop.assumeIsolated().scheduleTask(deadline: time) { self.resume() }
        } else {
            eventLoop.assumeIsolated().execute { self.resume() }
        }
    }

    private func resume() {
        self.turn?.check(now: .now())
        guard self.end == nil else { return }
        // One flush for all of them, as in a read cycle.
        self.isReading = true
        self.handleBuffered()
        self.isReading = false
        self.flush()
        self.schedule()
        self.resumeReading()
    }

    private func resumeReading() {
        guard self.heldRead, !self.isPaused, let context = self.context, self.mayRead(context) else { return }
        self.heldRead = false
        context.read()
    }

    private func mayRead(_ context: ChannelHandlerContext) -> Bool {
        self.limits.readsWhileUnwritable || context.channel.isWritable
    }

    /// From here on messages may be as large as the configuration says.
    func takeLargeMessages(_ limits: FrameLimits) {
        self.frameLimits = limits
    }

    private func perform(_ action: ReceiveAction) {
        switch action {
        case .ignore(let what):
            self.delegate.connectionIgnored(what)
        case .handle(let id, let request):
            self.delegate.connectionReceived(request, id: id)
        case .reply(let message):
            self.write(message)
            if message.code.kind == .response {
                self.delegate.connectionRefused(with: message.code)
            }
        case .complete(let id, let result, let next, let end):
            self.write(next)
            self.complete(id, result)
            if let end {
                self.finishWritten(end)
            }
        case .released(let holdOffSeconds, let unsent, let closeNow):
            for id in unsent {
                self.complete(id, .failure(ExchangeError(.closing, delivered: false)))
            }
            self.delegate.connectionReleased()
            if closeNow {
                self.finish(.released(holdOffSeconds: holdOffSeconds))
            }
        case .abort(let message, let end):
            self.abort(message, end)
        case .close(let end):
            self.finish(end)
        }
    }

    // MARK: Sending

    func send(_ request: Request, deadline: NIODeadline, completion: @escaping Completion) {
        switch self.machine.send(request, deadline: deadline, now: .now()) {
        case .write(let outgoing):
            self.completions[outgoing.id] = completion
            self.write([outgoing])
            self.settle()
        case .queued(let id):
            self.completions[id] = completion
            self.schedule()
        case .refuse(let failure):
            completion(.failure(ExchangeError(failure, delivered: false)))
        }
    }

    func respond(to id: IncomingID, with response: Response) {
        switch self.machine.respond(to: id, with: response) {
        case .nothing:
            break
        case .write(let messages):
            messages.forEach(self.write)
            self.settle()
        case .writeThenClose(let messages, let end):
            messages.forEach(self.write)
            self.finishWritten(end)
        }
    }

    func ping() {
        if let message = self.machine.ping() {
            self.write(message)
            self.settle()
        }
    }

    func ping(deadline: NIODeadline, completion: @escaping @Sendable (Bool) -> Void) {
        guard self.end == nil, let eventLoop = self.context?.eventLoop, let message = self.machine.ping(),
            self.pongs.add(message.token, completion)
        else { return completion(false) }
        self.write(message)
        self.settle()
        eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.pongs.take(message.token)?(false) }
    }

    func release(holdOffSeconds: UInt32?) {
        guard let action = self.machine.release(holdOffSeconds: holdOffSeconds, now: .now()) else { return }
        self.write(action.message)
        self.settle()
        for id in action.unsent {
            self.complete(id, .failure(ExchangeError(.closing, delivered: false)))
        }
    }

    /// Requests that are still in the queue will not be sent: whom they were meant for is no longer here.
    func withdrawQueued() {
        for id in self.machine.withdrawQueued() {
            self.complete(id, .failure(ExchangeError(.closing, delivered: false)))
        }
    }

    func abort(diagnostic: String, end: ConnectionEnd) {
        if let message = self.machine.abort(diagnostic: diagnostic) {
            self.abort(message, end)
        }
    }

    /// Flush, half-close, close: a reset must not overtake the Abort (RFC 8323 §5.6).
    ///
    /// Unless requests lie in front of it that the kernel has not taken: they would go out as well, although whoever
    /// asked is told now that they did not, and sends them elsewhere. Such a peer does without the Abort.
    private func abort(_ message: Message, _ end: ConnectionEnd) {
        guard self.end == nil, let context = self.context else { return }
        self.write(message)
        self.flush()
        guard self.machine.unwritten == 0 else { return self.finish(end) }
        self.halfClose(context, end)
        self.close(in: self.limits.abortLinger)
        self.tellEnd(end)
    }

    /// Closes once the kernel has taken every byte written so far: the last answer may be larger than its buffer. The
    /// peer has as long as any slow reader, and then a moment to close itself.
    private func finishWritten(_ end: ConnectionEnd) {
        guard self.end == nil, let context = self.context else { return }
        let isWritten = context.eventLoop.makePromise(of: Void.self)
        self.halfClose(context, end, promise: isWritten)
        isWritten.futureResult.assumeIsolated().whenComplete { _ in
            self.close(in: self.limits.abortLinger)
        }
        self.close(in: self.limits.slowReaderTimeout)
        self.tellEnd(end)
    }

    private func close(in time: TimeAmount) {
        self.lingerTimer?.cancel()
        self.lingerTimer = self.context?.eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.context?.close(promise: nil)
        }
    }

    /// Nothing is written after this. Input is read on and dropped until the peer closes.
    private func halfClose(
        _ context: ChannelHandlerContext, _ end: ConnectionEnd, promise: EventLoopPromise<Void>? = nil
    ) {
        self.end = end
        self.needsFlush = false
        context.flush()
        context.close(mode: .output, promise: promise)
        self.isPaused = false
        self.heldRead = false
        context.read()
    }

    /// Writes what is buffered, then closes.
    func finish(_ end: ConnectionEnd) {
        guard self.end == nil else { return }
        self.end = end
        self.needsFlush = false
        self.context?.flush()
        self.tellEnd(end)
        self.context?.close(promise: nil)
    }

    /// The same, also where the end had begun and only the peer was waited for.
    func closeNow(_ end: ConnectionEnd) {
        if self.end == nil {
            self.finish(end)
        } else {
            self.context?.close(promise: nil)
        }
    }

    private func write(_ messages: [Outgoing]) {
        for outgoing in messages {
            guard let context = self.context else { return }
            let written = context.eventLoop.makePromise(of: Void.self)
            self.write(outgoing.message, promise: written)
            written.futureResult.assumeIsolated().whenSuccess {
                self.machine.written(outgoing.id)
            }
        }
    }

    private func write(_ message: Message) {
        self.write(message, promise: nil)
    }

    private func write(_ message: Message, promise: EventLoopPromise<Void>?) {
        guard let context = self.context, self.end == nil else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        var frame = context.channel.allocator.buffer(capacity: message.frameLength)
        message.writeFrame(into: &frame)
        self.needsFlush = true
        context.write(self.wrapOutboundOut(frame), promise: promise)
    }

    /// One flush for each read cycle; outside of one, at once.
    private func settle() {
        if !self.isReading {
            self.flush()
            self.schedule()
        }
    }

    private func flush() {
        guard self.needsFlush else { return }
        self.needsFlush = false
        self.context?.flush()
    }

    private func complete(_ id: ExchangeID, _ result: Result<Response, ExchangeError>) {
        self.completions.removeValue(forKey: id)?(result)
    }

    // MARK: Time

    /// Sees to it that the machine is asked when it wants to be. A timer that fires early costs one look.
    private func schedule() {
        guard self.end == nil, let context = self.context, let next = self.machine.nextDeadline else { return }
        if let scheduled = self.timerDeadline, scheduled <= next { return }
        self.timer?.cancel()
        self.timerDeadline = next
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: next) {
            self.timerDeadline = nil
            self.deadlineReached()
        }
    }

    private func deadlineReached() {
        // What is over makes room for what waited: after a pause that must not be written before anybody looked.
        self.turn?.check(now: .now())
        while self.end == nil {
            switch self.machine.deadlineReached(now: .now()) {
            case .wait:
                self.flush()
                self.schedule()
                return
            case .expire(let late, let next):
                self.write(next)
                for (id, error) in late {
                    self.complete(id, .failure(error))
                }
            case .ping(let message):
                self.write(message)
            case .abort(let message, let end):
                self.abort(message, end)
            case .close(let end):
                self.finish(end)
            }
        }
    }

    // MARK: The end

    private func failRequests() {
        for (id, error) in self.machine.closed() {
            self.complete(id, .failure(error))
        }
        for completion in self.pongs.takeAll() { completion(false) }
    }

    /// As soon as the end is decided: whoever stands behind the connection must not go on for as long as the bytes do,
    /// with a sign-in that was under way least of all.
    private func tellEnd(_ end: ConnectionEnd) {
        self.timer?.cancel()
        self.slowReaderTimer?.cancel()
        self.failRequests()
        guard !self.hasToldDelegate else { return }
        self.hasToldDelegate = true
        self.delegate.connectionEnded(end)
    }

    private func reportEnd(_ end: ConnectionEnd) {
        guard !self.hasReportedEnd else { return }
        self.hasReportedEnd = true
        self.end = end
        self.lingerTimer?.cancel()
        self.tellEnd(end)
        self.ended.succeed(end)
    }
}
