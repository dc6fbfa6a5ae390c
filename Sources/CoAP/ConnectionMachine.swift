package import NIOCore

/// The rules of one CoAP connection over a reliable transport (RFC 8323), for either end, without any input or output.
///
/// It says what to write and whom to tell; it resolves nothing, reads no clock and makes no random numbers. Each
/// request of ours that it takes ends exactly once: in `complete`, `expire`, `released` or `closed`. So does each
/// observation that is not cancelled, after any number of `notify`.
///
/// It does not read bytes (`Message.init(readingFrameFrom:limits:)` does), and knows nothing of resources or sessions.
/// Block-wise transfers are made of its requests and answers: `BlockServer` and `BlockExchange`.
package struct ConnectionMachine: ~Copyable {
    enum Phase: Hashable {
        case open
        /// The peer sent a Release: what it asked before is answered, nothing new is asked.
        case releasedByPeer(holdOffSeconds: UInt32?, until: NIODeadline)
        /// We sent a Release: the peer is to close.
        case releasedByUs(until: NIODeadline)
        case closed
    }

    private let shared: SharedConfiguration
    var configuration: ConnectionConfiguration { self.shared.value }
    var phase: Phase = .open
    package var peer = PeerSettings()

    /// Tokens count up from a random start, so that no two connections look alike and none repeats.
    private var nextToken: UInt64

    var inFlight: [ExchangeID: InFlight] = [:]
    var queue: RequestQueue
    /// No deadline of a request is earlier than this.
    var earliestDeadline: NIODeadline?
    /// Requests given to the transport of which the kernel has not taken all, those included whose time is over: they
    /// may still go out as long as the connection is open.
    package internal(set) var unwritten = 0

    var observations: OutgoingObservations
    var observers = Observers()

    var incoming: [IncomingID: Incoming] = [:]
    var lastIncoming: UInt64 = 0
    /// Pongs with Custody that wait until everything before their Ping was answered (RFC 8323 §5.4.1).
    var heldPongs: [HeldPong] = []

    private let opened: NIODeadline
    var lastReceived: NIODeadline
    var unansweredPings = 0
    var lastPing: NIODeadline?
    private var isFirstMessage = true
    /// So many addresses of a Release are kept.
    private static let maximumAlternatives = 4
    /// Where the peer's Release asks to connect to next, as it said it (RFC 8323 §5.5).
    package private(set) var alternativeAddresses: [String] = []

    /// - Parameter tokenSeed: any number; another one for each connection.
    package init(configuration: ConnectionConfiguration, tokenSeed: UInt64, now: NIODeadline) {
        self.init(sharing: SharedConfiguration(configuration), tokenSeed: tokenSeed, now: now)
    }

    package init(sharing shared: SharedConfiguration, tokenSeed: UInt64, now: NIODeadline) {
        let configuration = shared.value
        self.shared = shared
        self.nextToken = tokenSeed
        self.queue = RequestQueue(
            maximumCount: configuration.maximumQueued, maximumBytes: configuration.maximumQueuedBytes)
        self.observations = OutgoingObservations(
            maximumCount: configuration.maximumObservations, maximumBytes: configuration.maximumObservationBytes)
        self.opened = now
        self.lastReceived = now
    }

    mutating func makeToken() -> UInt64 {
        // Wrapping is meant: 2^64 values come before the first repeats.
        self.nextToken = self.nextToken &+ 1
        return self.nextToken
    }

    package var isOpen: Bool { self.phase == .open }
    package var isClosed: Bool { self.phase == .closed }
    /// Requests of either side that still wait for their answer. What is only observed is none.
    package var hasWorkInFlight: Bool { !self.inFlight.isEmpty || !self.incoming.isEmpty }
    /// How many these are, with those of ours that wait for a place.
    package var workCount: Int { self.inFlight.count + self.queue.count + self.incoming.count }

    /// An emptied dictionary keeps its memory, and most connections are idle most of the time.
    mutating func releaseMemory() {
        if self.inFlight.isEmpty { self.inFlight = [:] }
        if self.incoming.isEmpty { self.incoming = [:] }
    }

    // MARK: Beginning and end

    /// Our CSM, to be written before anything is read (RFC 8323 §5.3). Neither end waits for the other's. Nil for
    /// peers that leave it out.
    package mutating func open() -> Message? {
        guard !self.configuration.omissions.contains(.csm) else { return nil }
        let limits = self.configuration.limits
        let csm = CSM(
            maxMessageSize: UInt32(clamping: limits.maximumMessageSize),
            blockWiseTransfer: true,
            extendedTokenLength: limits.maximumTokenLength > Token.baseMaximumLength
                ? UInt32(clamping: limits.maximumTokenLength) : nil
        )
        return self.signal(.csm(csm))
    }

    /// What the bytes held was no message: say so, then close (RFC 8323 §5.6).
    package mutating func malformed(_ error: DecodeError) -> Message {
        self.phase = .closed
        return self.signal(.abort(badCSMOption: nil, diagnostic: error.description))
    }

    /// We give up: the message to write before closing.
    package mutating func abort(diagnostic: String) -> Message? {
        guard self.phase != .closed else { return nil }
        self.phase = .closed
        return self.signal(.abort(badCSMOption: nil, diagnostic: diagnostic))
    }

    /// We want the peer to close: no new requests from here on, those in flight go on (RFC 8323 §5.5). Nil if the
    /// connection is on its way out already.
    /// - Parameter alternativeAddresses: where the peer had better connect to next, `host:port`.
    package mutating func release(
        holdOffSeconds: UInt32?, alternativeAddresses: [String] = [], now: NIODeadline
    ) -> ReleaseAction? {
        guard self.phase == .open else { return nil }
        self.phase = .releasedByUs(until: now + self.configuration.releaseGrace)
        return ReleaseAction(
            message: self.signal(
                .release(alternativeAddresses: alternativeAddresses, holdOffSeconds: holdOffSeconds)),
            unsent: self.withdrawQueued()
        )
    }

    /// The connection is gone: all requests of ours that were waiting, and how far each had come.
    package mutating func closed() -> [ExchangeID: ExchangeError] {
        self.phase = .closed
        var failures: [ExchangeID: ExchangeError] = [:]
        for (id, exchange) in self.inFlight where !self.observations.isCancelled(id) {
            failures[id] = ExchangeError(.connectionLost, delivered: exchange.isWritten)
        }
        for entry in self.queue.removeAll() {
            failures[entry.id] = ExchangeError(.connectionLost, delivered: false)
        }
        for id in self.observations.removeAll() where failures[id] == nil {
            failures[id] = ExchangeError(.connectionLost, delivered: true)
        }
        self.inFlight = [:]
        self.incoming = [:]
        self.observers = Observers()
        self.heldPongs = []
        return failures
    }

    private mutating func signal(_ signal: Signal) -> Message {
        var message = signal.message(token: Token(eightBytes: self.makeToken()))
        if message.frameLength > self.peer.maximumMessageSize {
            // A payload of ours is only ever a reason for people (RFC 8323 §5.6).
            message.payload = nil
        }
        return message
    }

    // MARK: Receiving

    /// Bytes arrived, whatever they hold: the peer is alive.
    package mutating func receivedBytes(now: NIODeadline) {
        self.lastReceived = now
        self.unansweredPings = 0
        self.lastPing = nil
    }

    /// One message arrived.
    /// - Parameter size: its bytes on the wire.
    package mutating func received(_ message: Message, size: Int, now: NIODeadline) -> ReceiveAction {
        guard self.phase != .closed else { return .ignore(.afterClose) }
        self.peer.received(size: size)
        let isFirst = self.isFirstMessage
        self.isFirstMessage = false
        if isFirst && self.configuration.isStrict && message.code != .capabilitiesAndSettings {
            return self.protocolError("the first message must be a CSM (RFC 8323 §5.3)")
        }
        switch message.code.kind {
        case .empty:
            // RFC 8323 §3.4: ignored. Some libraries also send it where UDP has a Reset.
            return .ignore(.empty)
        case .request:
            return self.receivedRequest(message, now: now)
        case .response:
            return self.receivedResponse(message, now: now)
        case .signalling:
            return self.receivedSignal(message, now: now)
        case .unassigned:
            return .ignore(.unassignedClass)
        case .reserved:
            // The decoder refuses these; a transport that does not use it meets the same end.
            return .abort(
                self.malformed(.reservedCodeClass(message.code)), .malformed(.reservedCodeClass(message.code)))
        }
    }

    private mutating func receivedSignal(_ message: Message, now: NIODeadline) -> ReceiveAction {
        let signal: Signal
        do throws(UnknownCriticalSignallingOption) {
            signal = try Signal(message)
        } catch {
            // RFC 8323 §5.1 and, for a CSM, §5.3: Abort with Bad-CSM-Option.
            let text = "unknown critical option \(error.number.rawValue) in \(error.code)"
            let bad = error.code == .capabilitiesAndSettings ? error.number.rawValue : nil
            self.phase = .closed
            return .abort(self.signal(.abort(badCSMOption: bad, diagnostic: text)), .protocolError(text))
        }
        switch signal {
        case .csm(let csm):
            self.peer.apply(csm)
            self.noteMessageSize(now: now)
            return .ignore(.csm)
        case .ping(let custody):
            return self.receivedPing(token: message.token, custody: custody)
        case .pong:
            // Any byte proves the peer alive, so a Pong needs no matching.
            return .ignore(.pong)
        case .release(let alternatives, let holdOffSeconds):
            return self.receivedRelease(holdOffSeconds: holdOffSeconds, alternatives, now: now)
        case .abort(_, let diagnostic):
            self.phase = .closed
            return .close(.abortedByPeer(diagnostic: diagnostic))
        case .unknown:
            return .ignore(.unknownSignal)
        }
    }

    private mutating func receivedPing(token: Token, custody: Bool) -> ReceiveAction {
        guard !self.configuration.omissions.contains(.pongs) else { return .ignore(.omittedPing) }
        guard custody, !self.incoming.isEmpty else {
            return .reply(Signal.pong(custody: custody).message(token: token))
        }
        guard self.heldPongs.count < self.configuration.maximumHeldPongs else {
            return self.protocolError("more than \(self.configuration.maximumHeldPongs) Pings with Custody waiting")
        }
        self.heldPongs.append(HeldPong(token: token, behind: IncomingID(rawValue: self.lastIncoming)))
        return .ignore(.heldPong)
    }

    private mutating func receivedRelease(
        holdOffSeconds: UInt32?, _ alternatives: [String], now: NIODeadline
    ) -> ReceiveAction {
        guard !self.configuration.omissions.contains(.release) else { return .ignore(.omittedRelease) }
        switch self.phase {
        case .open, .releasedByUs:
            self.alternativeAddresses = Array(alternatives.prefix(Self.maximumAlternatives))
            let unsent = self.withdrawQueued()
            let closeNow = !self.hasWorkInFlight
            if closeNow {
                self.phase = .closed
            } else {
                self.phase = .releasedByPeer(
                    holdOffSeconds: holdOffSeconds, until: now + self.configuration.releaseGrace)
            }
            return .released(holdOffSeconds: holdOffSeconds, unsent: unsent, closeNow: closeNow)
        case .releasedByPeer, .closed:
            return .ignore(.unknownSignal)
        }
    }

    mutating func protocolError(_ text: String) -> ReceiveAction {
        self.phase = .closed
        return .abort(self.signal(.abort(badCSMOption: nil, diagnostic: text)), .protocolError(text))
    }

    // MARK: Time

    /// What is due. Call again until it says `wait`.
    package mutating func deadlineReached(now: NIODeadline) -> DeadlineAction {
        switch self.phase {
        case .closed:
            return .wait(until: nil)
        case .releasedByUs(let until) where until <= now:
            self.phase = .closed
            return .halfClose(.releaseUnheeded)
        case .releasedByPeer(let holdOffSeconds, let until) where until <= now:
            self.phase = .closed
            return .close(.released(holdOffSeconds: holdOffSeconds))
        case .open, .releasedByUs, .releasedByPeer:
            break
        }
        if let end = self.endIfDrained() {
            return .close(end)
        }
        if self.configuration.isStrict, !self.peer.sentCSM, self.opened + self.configuration.csmTimeout <= now {
            let text = "no CSM within \(self.configuration.csmTimeout.nanoseconds / 1_000_000_000) s (RFC 8323 §5.3)"
            self.phase = .closed
            return .abort(
                self.signal(.abort(badCSMOption: nil, diagnostic: text)), .protocolError(text))
        }
        if let earliest = self.earliestDeadline, earliest <= now {
            if let action = self.expireRequests(now: now) { return action }
            if let end = self.endIfDrained() { return .close(end) }
        }
        return self.keepAlive(now: now)
    }

    private mutating func keepAlive(now: NIODeadline) -> DeadlineAction {
        guard let keepalive = self.configuration.keepalive else { return .wait(until: self.nextDeadline) }
        let due = self.lastPing.map { $0 + keepalive.interval } ?? self.lastReceived + keepalive.time
        guard due <= now else { return .wait(until: self.nextDeadline) }
        guard self.unansweredPings < keepalive.retry else {
            self.phase = .closed
            return .close(.keepaliveTimeout)
        }
        self.unansweredPings += 1
        self.lastPing = now
        return .ping(self.signal(.ping(custody: false)))
    }

    /// A Ping at somebody's wish. Any byte that arrives later answers it.
    package mutating func ping() -> Message? {
        guard self.phase != .closed else { return nil }
        return self.signal(.ping(custody: false))
    }

    /// When `deadlineReached` wants to be called, at the latest.
    package var nextDeadline: NIODeadline? {
        var next = self.earliestDeadline
        func consider(_ time: NIODeadline) {
            next = next.map { min($0, time) } ?? time
        }
        switch self.phase {
        case .closed: return nil
        case .open: break
        case .releasedByPeer(_, let until), .releasedByUs(let until): consider(until)
        }
        if let keepalive = self.configuration.keepalive {
            consider(self.lastPing.map { $0 + keepalive.interval } ?? self.lastReceived + keepalive.time)
        }
        if self.configuration.isStrict, !self.peer.sentCSM {
            consider(self.opened + self.configuration.csmTimeout)
        }
        return next
    }
}

struct HeldPong: Hashable {
    let token: Token
    /// The last request that arrived before the Ping.
    let behind: IncomingID
}
