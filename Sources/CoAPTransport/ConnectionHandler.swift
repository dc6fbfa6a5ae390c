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
    typealias Observation = @Sendable (Result<ObservationEvent, ExchangeError>) -> Void

    var machine: ConnectionMachine
    let blocks: Blocks
    var frameLimits: FrameLimits
    let limits: TransportLimits
    let delegate: any ConnectionDelegate
    private let logger: Logger
    let ended: EventLoopPromise<ConnectionEnd>
    let turn: LoopTurn?
    let arrival: ConnectionArrival

    var context: ChannelHandlerContext?
    /// What others have in place of this, until it is open: each holds the other.
    var connection: CoAPConnection?
    /// Bytes of messages that are not whole yet, or not handled yet.
    var buffer = ByteBuffer()
    /// Whole messages that the channel was not given yet: they go as one buffer.
    var unsent = ByteBuffer()
    /// A WebSocket carries each message by itself (RFC 8323 §4.2).
    var joinsMessages: Bool { !self.arrival.scheme.isWebSocket }
    var rate: MessageRate?
    var completions: [ExchangeID: Completion] = [:]
    var observations: [ExchangeID: Observed] = [:]
    var fetches = ObservationFetches()
    var pongs = AwaitedPongs()
    /// Who waits until nothing is in flight.
    var quiet: (@Sendable () -> Void)?

    var timer: NIOScheduledCallback?
    private var timerDeadline: NIODeadline?
    var slowReaderTimer: Scheduled<Void>?
    var lingerTimer: Scheduled<Void>?

    var isReading = false
    var needsFlush = false
    var end: ConnectionEnd?
    var hasToldDelegate = false
    var hasReportedEnd = false
    /// Handling stopped in the middle of the buffer: for the others' turn, the rate, or a slow reader.
    var isPaused = false
    var heldRead = false
    /// Whether somebody stands behind this who knows the peer: see `CoAPConnection.becomeKnown`.
    var isKnown = false
    let isMemoryShort: @Sendable () -> Bool

    init(
        configuration: SharedConfiguration, limits: TransportLimits, delegate: any ConnectionDelegate,
        tokenSeed: UInt64, ended: EventLoopPromise<ConnectionEnd>, turn: LoopTurn? = nil,
        arrival: ConnectionArrival = ConnectionArrival(), isMemoryShort: @escaping @Sendable () -> Bool = { false },
        logger: Logger
    ) {
        let now = NIODeadline.now()
        self.machine = ConnectionMachine(sharing: configuration, tokenSeed: tokenSeed, now: now)
        self.blocks = Blocks(configuration.blocks, isAllowed: limits.firstMessageBytes == nil)
        self.frameLimits = configuration.value.limits
        if let first = limits.firstMessageBytes {
            self.frameLimits.maximumMessageSize = min(first, self.frameLimits.maximumMessageSize)
        }
        self.limits = limits
        self.delegate = delegate
        self.rate = limits.messagesPerSecond.map {
            MessageRate(perSecond: $0, burst: limits.messageBurst, now: now)
        }
        self.ended = ended
        self.turn = turn
        self.arrival = arrival
        self.isMemoryShort = isMemoryShort
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
        if let csm = self.machine.open() { self.write(csm) }
        self.flush()
        let connection =
            self.connection
            ?? CoAPConnection(channel: context.channel, handler: self, ended: self.ended.futureResult)
        self.connection = nil
        self.delegate.connectionOpened(connection)
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
            self.handleBuffered(now: now)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is WebSocketControlFrame { self.countControlFrame() }
        context.fireUserInboundEventTriggered(event)
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
            self.notifyWaiting(context)
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
        // What we said tells it what is spoken here.
        if error is ForeignPeer { return self.finishLingering(.failed("\(error)")) }
        self.finish(.failed("\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.reportEnd(self.end ?? .closedByPeer)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.reportEnd(self.end ?? .closedByPeer)
        self.context = nil
        self.connection = nil
    }

    // MARK: Time

    /// Sees to it that the machine is asked when it wants to be. A timer that fires early costs one look.
    func schedule() {
        self.checkQuiet()
        guard self.end == nil, let context = self.context, let next = self.machine.nextDeadline else { return }
        if let scheduled = self.timerDeadline, scheduled <= next { return }
        self.timer?.cancel()
        self.timerDeadline = next
        // Each connection has one for as long as it is open: a task would take four allocations more. It fails only
        // where the event loop is no more.
        self.timer = try? context.eventLoop.assumeIsolated().scheduleCallback(at: next, handler: self)
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
            case .expire(let late, let cancellations, let next):
                cancellations.forEach(self.write)
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
            case .halfClose(let end):
                // Requests the kernel has not taken would still go out, although whoever asked is told that they did
                // not.
                if self.machine.unwritten == 0 { self.finishWritten(end) } else { self.finish(end) }
            }
        }
    }
}

extension ConnectionHandler: NIOScheduledCallbackHandler {
    func handleScheduledCallback(eventLoop: some EventLoop) {
        self.timer = nil
        self.timerDeadline = nil
        self.deadlineReached()
    }
}
