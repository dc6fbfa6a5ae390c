package import NIOCore

// Observations of ours (RFC 7641 §3, RFC 8323 §7.1). One begins as a request like any other; with its first answer it
// leaves its place to the next one and stays under its token, without a deadline.

/// What we observe at the peer, bounded in number and bytes.
struct OutgoingObservations: Hashable {
    private struct Entry: Hashable {
        let cancellation: Message
        let size: Int
        /// Its first answer is there.
        var isOpen = false
    }

    private let maximumCount: Int
    private let maximumBytes: Int
    private var entries: [ExchangeID: Entry] = [:]
    private var bytes = 0
    /// Those whose last answer has not come. Tokens are never used twice, so this only tells them from what nobody ever
    /// asked for.
    private var cancelled: Set<ExchangeID> = []

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    func isKept(_ id: ExchangeID) -> Bool { self.entries[id] != nil }
    func isOpen(_ id: ExchangeID) -> Bool { self.entries[id]?.isOpen == true }
    func isCancelled(_ id: ExchangeID) -> Bool { self.cancelled.contains(id) }

    func hasRoom(for size: Int) -> Bool {
        self.entries.count < self.maximumCount && self.bytes + size <= self.maximumBytes
    }

    mutating func insert(_ id: ExchangeID, cancellation: Message, size: Int) {
        self.entries[id] = Entry(cancellation: cancellation, size: size)
        self.bytes += size
    }

    mutating func open(_ id: ExchangeID) {
        self.entries[id]?.isOpen = true
    }

    /// The message that would cancel it.
    @discardableResult
    mutating func remove(_ id: ExchangeID) -> Message? {
        guard let entry = self.entries.removeValue(forKey: id) else { return nil }
        self.bytes -= entry.size
        return entry.cancellation
    }

    mutating func removeAll() -> [ExchangeID] {
        defer {
            self.entries = [:]
            self.bytes = 0
            self.cancelled = []
        }
        return Array(self.entries.keys)
    }

    /// - Parameter keeping: which to remember in any case. The others are forgotten where a peer answers none of them.
    mutating func noteCancelled(_ id: ExchangeID, keeping: (ExchangeID) -> Bool) {
        if self.cancelled.count >= self.maximumCount {
            self.cancelled = self.cancelled.filter(keeping)
        }
        self.cancelled.insert(id)
    }

    mutating func forget(_ id: ExchangeID) {
        self.cancelled.remove(id)
    }
}

extension ConnectionMachine {
    /// Sends a GET that registers, now or when there is a place. The deadline is for its first answer.
    package mutating func observe(_ request: Request, deadline: NIODeadline, now: NIODeadline) -> SendAction {
        var options = request.options.compacted()
        options.observe = 1
        if !self.configuration.isInternal {
            options.removeInternal()
        }
        var cancellation = Message(code: .get, token: Token(eightBytes: 0), options: options)
        let size = cancellation.frameLength
        // It must go out later even if it is a byte longer.
        guard size <= self.peer.maximumMessageSize else {
            return .refuse(.tooLarge(size: size, maximum: self.peer.maximumMessageSize))
        }
        guard self.observations.hasRoom(for: size) else { return .refuse(.queueFull) }
        options.observe = 0
        let action = self.send(Request(.get, options: options), deadline: deadline, now: now)
        let id: ExchangeID
        switch action {
        case .write(let outgoing): id = outgoing.id
        case .queued(let queued): id = queued
        case .refuse: return action
        }
        cancellation.token = Token(eightBytes: id.rawValue)
        self.observations.insert(id, cancellation: cancellation, size: size)
        return action
    }

    /// Nobody wants to be told any more: the message that says so to the peer, ahead of whatever waits in the queue,
    /// with the same options under the same token (RFC 7641 §3.6). Nil if it never heard of it, or is on its way out.
    ///
    /// No action names the observation after this.
    package mutating func cancel(_ id: ExchangeID) -> Message? {
        guard let message = self.observations.remove(id) else { return nil }
        guard self.queue.removeAll(where: { $0.id == id }).isEmpty, self.phase != .closed else { return nil }
        let inFlight = self.inFlight
        self.observations.noteCancelled(id) { inFlight[$0] != nil }
        guard self.phase == .open, message.frameLength <= self.peer.maximumMessageSize else { return nil }
        return message
    }

    /// An answer under a token whose observation was cancelled. The one to the registration itself may still come, then
    /// notifications that were on their way, then the one to the cancellation, which has no Observe option.
    mutating func receivedUnwanted(
        _ response: Response, _ id: ExchangeID, wasInFlight: Bool, now: NIODeadline
    ) -> ReceiveAction {
        guard wasInFlight else {
            if !response.continuesObservation { self.observations.forget(id) }
            return .ignore(.cancelledObservation)
        }
        return .swallowed(next: self.fillFlight(now: now), end: self.endIfDrained())
    }
}
