package import NIOCore

// Requests of ours: at most so many in flight, at most so many queued, each with a deadline.

/// A request of ours that was given to the transport.
struct InFlight: Hashable {
    let deadline: NIODeadline
    /// Whether its last byte was handed over to the kernel.
    var isWritten = false
}

/// Requests of ours that wait for a place, bounded in number and bytes.
struct RequestQueue: Hashable {
    struct Entry: Hashable {
        let id: ExchangeID
        let message: Message
        let size: Int
        let deadline: NIODeadline
    }

    private let maximumCount: Int
    private let maximumBytes: Int
    private var entries: [Entry] = []
    private var bytes = 0

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    var isEmpty: Bool { self.entries.isEmpty }
    var count: Int { self.entries.count }
    var earliestDeadline: NIODeadline? { self.entries.lazy.map(\.deadline).min() }
    var largestSize: Int { self.entries.lazy.map(\.size).max() ?? 0 }

    /// False if there is no room.
    mutating func append(_ entry: Entry) -> Bool {
        guard self.entries.count < self.maximumCount, self.bytes + entry.size <= self.maximumBytes else { return false }
        self.entries.append(entry)
        self.bytes += entry.size
        return true
    }

    /// The first that is not late and fits. The others stay for `removeAll`, which reports them.
    mutating func popFirst(now: NIODeadline, maximumSize: Int) -> Entry? {
        guard let index = self.entries.firstIndex(where: { $0.deadline > now && $0.size <= maximumSize }) else {
            return nil
        }
        let entry = self.entries.remove(at: index)
        self.bytes -= entry.size
        return entry
    }

    mutating func removeAll(where condition: (Entry) -> Bool = { _ in true }) -> [Entry] {
        let removed = self.entries.filter(condition)
        guard !removed.isEmpty else { return [] }
        self.entries.removeAll(where: condition)
        self.bytes -= removed.reduce(0) { $0 + $1.size }
        return removed
    }
}

extension ConnectionMachine {
    /// Sends a request, now or when there is a place.
    package mutating func send(_ request: Request, deadline: NIODeadline, now: NIODeadline) -> SendAction {
        guard self.phase == .open else { return .refuse(.closing) }
        guard deadline > now else { return .refuse(.timedOut) }
        var options = request.options
        if !self.configuration.isInternal {
            options.removeInternal()
        }
        let id = ExchangeID(rawValue: self.makeToken())
        let message = Message(
            code: request.method, token: Token(eightBytes: id.rawValue), options: options, payload: request.payload)
        guard options.longestValue <= Option.maximumLength else {
            return .refuse(.tooLarge(size: options.longestValue, maximum: Option.maximumLength))
        }
        let size = message.frameLength
        guard size <= self.peer.maximumMessageSize else {
            return .refuse(.tooLarge(size: size, maximum: self.peer.maximumMessageSize))
        }
        if self.inFlight.count < self.configuration.maximumInFlight && self.queue.isEmpty {
            self.inFlight[id] = InFlight(deadline: deadline)
            self.unwritten += 1
            self.note(deadline: deadline)
            return .write(Outgoing(id: id, message: message))
        }
        guard self.queue.append(.init(id: id, message: message, size: size, deadline: deadline)) else {
            return .refuse(.queueFull)
        }
        self.note(deadline: deadline)
        return .queued(id)
    }

    /// The last byte of this request was handed to the kernel: from here on nobody knows whether it was acted on. To be
    /// called once at most for each.
    package mutating func written(_ id: ExchangeID) {
        self.unwritten -= 1
        self.inFlight[id]?.isWritten = true
    }

    /// Empties the queue: those requests will not be sent.
    package mutating func withdrawQueued() -> [ExchangeID] {
        let ids = self.queue.removeAll().map(\.id)
        for id in ids { self.observations.remove(id) }
        return ids
    }

    mutating func receivedResponse(_ message: Message, now: NIODeadline) -> ReceiveAction {
        // Only eight-byte tokens are ours; anything else cannot be an answer to us (RFC 7252 §5.3.2).
        guard let id = message.token.eightByteValue.map(ExchangeID.init(rawValue:)) else {
            return .ignore(.unmatchedResponse)
        }
        var response = Response(message.code, options: message.options, payload: message.payload)
        let wasInFlight = self.inFlight.removeValue(forKey: id) != nil
        self.releaseMemory()
        if self.observations.isCancelled(id) {
            return self.receivedUnwanted(response, id, wasInFlight: wasInFlight, now: now)
        }
        // Not what is in the queue yet: its token can be guessed.
        guard wasInFlight || self.observations.isOpen(id) else { return .ignore(.unmatchedResponse) }
        let goesOn = self.observations.isKept(id) && response.continuesObservation
        let result: Result<Response, ExchangeError>
        do throws(OptionFault) {
            try response.options.screen(allowingInternal: self.configuration.isInternal)
            result = .success(response)
        } catch {
            result = .failure(ExchangeError(.unusableResponse(error), delivered: true))
        }
        if goesOn, case .success(let response) = result {
            self.observations.open(id)
            return .notify(
                id, response, isFirst: wasInFlight, next: self.fillFlight(now: now), end: self.endIfDrained())
        }
        self.observations.remove(id)
        return .complete(id, result, next: self.fillFlight(now: now), end: self.endIfDrained())
    }

    /// Takes requests from the queue as far as there are places.
    mutating func fillFlight(now: NIODeadline) -> [Outgoing] {
        guard self.phase == .open else { return [] }
        var next: [Outgoing] = []
        let maximumSize = self.peer.maximumMessageSize
        while self.inFlight.count < self.configuration.maximumInFlight,
            let entry = self.queue.popFirst(now: now, maximumSize: maximumSize)
        {
            self.inFlight[entry.id] = InFlight(deadline: entry.deadline)
            self.unwritten += 1
            next.append(Outgoing(id: entry.id, message: entry.message))
        }
        return next
    }

    /// The peer may have lowered its Max-Message-Size: what waits and no longer fits is due at once.
    mutating func noteMessageSize(now: NIODeadline) {
        guard self.queue.largestSize > self.peer.maximumMessageSize else { return }
        self.note(deadline: now)
    }

    private mutating func note(deadline: NIODeadline) {
        self.earliestDeadline = self.earliestDeadline.map { min($0, deadline) } ?? deadline
    }

    /// Ends what is late, or no longer fits the peer. Nil if there is nothing after all.
    mutating func expireRequests(now: NIODeadline) -> DeadlineAction? {
        var late: [ExchangeID: ExchangeError] = [:]
        var cancellations: [Message] = []
        for (id, exchange) in self.inFlight where exchange.deadline <= now {
            // Also where the kernel has not taken all of it yet: what was given to the transport cannot be taken back
            // from an open connection, and goes out as soon as the peer reads.
            late[id] = ExchangeError(.timedOut, delivered: true)
        }
        for id in Array(late.keys) {
            self.inFlight.removeValue(forKey: id)
            if self.observations.isCancelled(id) {
                late[id] = nil
            } else if let message = self.cancel(id) {
                cancellations.append(message)
            }
        }
        for entry in self.queue.removeAll(where: { $0.deadline <= now }) {
            self.observations.remove(entry.id)
            late[entry.id] = ExchangeError(.timedOut, delivered: false)
        }
        let maximum = self.peer.maximumMessageSize
        for entry in self.queue.removeAll(where: { $0.size > maximum }) {
            self.observations.remove(entry.id)
            late[entry.id] = ExchangeError(.tooLarge(size: entry.size, maximum: maximum), delivered: false)
        }
        let next = self.fillFlight(now: now)
        self.earliestDeadline = [
            self.inFlight.values.lazy.map(\.deadline).min(), self.queue.earliestDeadline,
        ].compactMap { $0 }.min()
        guard !late.isEmpty || !next.isEmpty else { return nil }
        return .expire(late, cancellations: cancellations, next: next)
    }
}
