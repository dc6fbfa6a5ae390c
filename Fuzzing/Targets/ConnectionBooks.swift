import CoAP
import NIOCore

/// What must hold of a connection whatever happens on it, held from outside: each request ends once, each answer goes
/// out once, tokens are never used twice, no bound is exceeded, and nothing is done behind the end.
struct ConnectionBooks {
    private let configuration: ConnectionConfiguration

    /// Of each request of ours how often it ended.
    private var endings: [ExchangeID: Int] = [:]
    private var waiting: Set<ExchangeID> = []
    private var inFlight: Set<ExchangeID> = []
    /// In flight, but nobody waits for it any more.
    private var abandoned: Set<ExchangeID> = []
    /// Of which the transport has not said that they are written.
    private var unwritten: [ExchangeID] = []
    /// What we observe, open or not.
    private(set) var observed: [ExchangeID] = []
    private var cancelledIDs: Set<ExchangeID> = []
    private var usedTokens: Set<Token> = []
    /// Under which an answer may come.
    private(set) var tokens: [Token] = []

    /// Requests of the peer, and those that were answered but may stay registered.
    private(set) var answerable: [IncomingID] = []
    private var unanswered: [IncomingID: Token] = [:]
    private var registering: Set<IncomingID> = []
    private var gone: Set<IncomingID> = []
    private(set) var isOver = false

    init(_ configuration: ConnectionConfiguration) {
        self.configuration = configuration
    }

    // MARK: Requests of ours

    mutating func began(_ id: ExchangeID, isObserving: Bool) {
        require(self.endings.updateValue(0, forKey: id) == nil, "two requests of ours have one id")
        self.waiting.insert(id)
        if isObserving { self.observed.append(id) }
    }

    mutating func wrote(_ outgoing: Outgoing, _ peer: PeerSettings) {
        require(!self.isOver, "a request is written behind the end")
        require(self.waiting.remove(outgoing.id) != nil, "a request is written that does not wait")
        require(outgoing.message.token == Token(eightBytes: outgoing.id.rawValue), "a request has another token")
        self.useToken(outgoing.message.token)
        require(outgoing.message.frameLength <= peer.maximumMessageSize, "a request is larger than the peer takes")
        self.inFlight.insert(outgoing.id)
        self.unwritten.append(outgoing.id)
        self.tokens.append(outgoing.message.token)
    }

    mutating func takeUnwritten(_ input: inout InputReader) -> ExchangeID? {
        guard let id = input.pick(self.unwritten) else { return nil }
        self.unwritten.removeAll { $0 == id }
        return id
    }

    mutating func completed(_ id: ExchangeID) {
        guard let endings = self.endings[id] else { fatalError("a request ended that never began") }
        require(endings == 0, "a request ended twice")
        require(!self.cancelledIDs.contains(id), "a request ended that nobody waits for")
        self.endings[id] = 1
        self.waiting.remove(id)
        self.inFlight.remove(id)
        self.observed.removeAll { $0 == id }
    }

    mutating func notified(_ id: ExchangeID, isFirst: Bool) {
        require(self.observed.contains(id), "a notification for what is not observed")
        require((self.inFlight.remove(id) != nil) == isFirst, "another notification than the first counts as it")
    }

    mutating func cancelled(_ id: ExchangeID) {
        self.observed.removeAll { $0 == id }
        self.waiting.remove(id)
        if self.inFlight.remove(id) != nil { self.abandoned.insert(id) }
        self.cancelledIDs.insert(id)
    }

    mutating func wroteCancellation(_ message: Message, of id: ExchangeID, _ peer: PeerSettings) {
        require(!self.isOver, "a cancellation is written behind the end")
        require(message.token == Token(eightBytes: id.rawValue), "a cancellation has another token")
        require(message.options.observe == 1, "a cancellation does not say so")
        require(!self.waiting.contains(id), "what was never sent is cancelled")
        require(message.frameLength <= peer.maximumMessageSize, "a cancellation is larger than the peer takes")
    }

    mutating func swallowed(_ token: Token) {
        guard let id = self.abandoned.first(where: { Token(eightBytes: $0.rawValue) == token }) else {
            fatalError("an answer was swallowed although somebody waits for it, or nobody ever did")
        }
        self.abandoned.remove(id)
    }

    // MARK: Requests of the peer

    mutating func arrived(_ id: IncomingID, _ token: Token, mayObserve: Bool) {
        require(!self.isOver, "a request is handled behind the end")
        require(self.unanswered.updateValue(token, forKey: id) == nil, "two requests of the peer have one id")
        require(self.unanswered.count <= self.configuration.maximumIncoming, "too many requests are being answered")
        self.answerable.append(id)
        if mayObserve { self.registering.insert(id) }
    }

    mutating func answered(_ id: IncomingID) {
        self.unanswered[id] = nil
        // What cannot be registered is answered once; a second try must be nothing, which some inputs make.
        if self.answerable.count > 64 { self.answerable.removeFirst() }
    }

    /// The peer does not observe this, or not any more.
    mutating func unregistered(_ id: IncomingID) {
        require(self.gone.insert(id).inserted, "an observer is gone twice")
    }

    /// - Parameter id: whose answer it is, if it is an answer, a notification or a Pong behind one.
    mutating func wrote(_ message: Message, _ peer: PeerSettings, answering id: IncomingID? = nil) {
        require(!self.isOver, "a message is written behind the end")
        let fits = message.frameLength <= peer.maximumMessageSize
        switch message.code.kind {
        case .response:
            require(fits || message.code == .internalServerError && message.payload == nil, "an answer is too large")
            if let id {
                let isFirst = self.unanswered[id] != nil
                require(isFirst || self.registering.contains(id), "a request is answered twice")
                require(!self.gone.contains(id), "somebody is notified who is gone")
                require(
                    message.options.observe == nil || self.registering.contains(id),
                    "somebody is told to observe who did not ask")
                if isFirst { require(message.token == self.unanswered[id], "an answer has another token") }
            }
            require(
                self.configuration.isInternal || !message.options.contains { $0.number.isInternal },
                "an internal option goes out")
        case .signalling where message.code == .pong:
            break
        case .signalling:
            self.useToken(message.token)
            require(fits || message.payload == nil, "a signal is too large")
        case .empty, .request, .unassigned, .reserved:
            fatalError("wrote \(message.code)")
        }
    }

    // MARK: All of it

    private mutating func useToken(_ token: Token) {
        require(token.count == 8, "a token of ours has \(token.count) bytes")
        require(self.usedTokens.insert(token).inserted, "a token is used twice")
    }

    mutating func end(_ failures: [ExchangeID: ExchangeError]) {
        for id in failures.keys { self.completed(id) }
        self.isOver = true
        self.unwritten = []
    }

    func check(isClosed: Bool, hasDeadline: Bool, unwritten: Int) {
        require(isClosed == self.isOver, "the connection's end was not said, or said too early")
        require(!self.isOver || !hasDeadline, "something is due behind the end")
        require(self.inFlight.count <= self.configuration.maximumInFlight, "too many requests are in flight")
        require(self.waiting.count <= self.configuration.maximumQueued, "too many requests wait")
        require(self.observed.count <= self.configuration.maximumObservations, "too many observations are kept")
        require(self.isOver || unwritten == self.unwritten.count, "requests that were not written are miscounted")
    }

    func checkEnd() {
        require(self.waiting.isEmpty && self.inFlight.isEmpty && self.observed.isEmpty, "a request never ended")
        for (id, count) in self.endings {
            require(count == (self.cancelledIDs.contains(id) ? 0 : 1), "a request ended \(count) times")
        }
    }
}
