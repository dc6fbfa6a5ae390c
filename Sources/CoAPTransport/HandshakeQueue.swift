package import NIOCore

/// Who may begin a TLS handshake, without input or output: a few at a time, the others wait in the order they came.
///
/// A slot is the work of a handshake, not its round trips: it is lent when a whole ClientHello is handed to TLS, and is
/// free again once TLS has answered it and the event loop has looked at its other connections. A slot that were held
/// until the peer's Finished would let no more than slots ÷ round trip handshakes through in a second, and whoever says
/// nothing could hold all of them.
///
/// A client that offers to resume a session goes first, since that costs less and it was here before. Anybody can claim
/// so, therefore every fourth slot goes to the oldest of the others.
package struct HandshakeQueue<ID: Hashable & Sendable>: Sendable {
    package enum Arrival: Hashable, Sendable {
        case begin
        case wait
        /// Too many wait.
        case refuse
    }

    /// What becomes of those who wait when a slot is free again, or time passes.
    package struct Turns: Hashable, Sendable {
        package var begin: [Waited] = []
        /// They waited for too long.
        package var refuse: [ID] = []
    }

    package struct Waited: Hashable, Sendable {
        package let id: ID
        package let wait: TimeAmount
    }

    private struct Line: Sendable {
        private var entries = CircularBuffer<(id: ID, since: NIODeadline)>()

        mutating func add(_ id: ID, since: NIODeadline) { self.entries.append((id, since)) }

        /// The oldest that still waits; those that left before it are forgotten.
        mutating func first(of waiting: [ID: NIODeadline]) -> (id: ID, since: NIODeadline)? {
            while let first = self.entries.first {
                if waiting[first.id] == first.since { return first }
                self.entries.removeFirst()
            }
            return nil
        }
    }

    /// Of so many slots in a row one is for those who do not resume.
    private static var share: Int { 4 }

    private let limits: HandshakeLimits
    private var running = 0
    private var waiting: [ID: NIODeadline] = [:]
    private var resuming = Line()
    private var others = Line()
    private var preferred = 0

    package init(limits: HandshakeLimits) {
        self.limits = limits
    }

    package var waitingCount: Int { self.waiting.count }

    /// - Parameter resumes: the client offers to resume a session.
    package mutating func arrived(_ id: ID, resumes: Bool, now: NIODeadline) -> Arrival {
        if self.running < self.limits.slots {
            // Nobody waits while a slot is free.
            self.running += 1
            return .begin
        }
        guard self.waiting.count < self.limits.waiting else { return .refuse }
        self.waiting[id] = now
        if resumes { self.resuming.add(id, since: now) } else { self.others.add(id, since: now) }
        return .wait
    }

    /// The connection is gone; nothing happens if it does not wait.
    package mutating func left(_ id: ID) {
        self.waiting[id] = nil
    }

    /// So many slots are free again.
    package mutating func finished(_ count: Int, now: NIODeadline) -> Turns {
        self.running = max(0, self.running - count)
        var turns = Turns(refuse: self.expired(now: now))
        while self.running < self.limits.slots, let next = self.next() {
            self.waiting[next.id] = nil
            self.running += 1
            turns.begin.append(Waited(id: next.id, wait: now - next.since))
        }
        return turns
    }

    private mutating func next() -> (id: ID, since: NIODeadline)? {
        let other = self.others.first(of: self.waiting)
        guard let resuming = self.resuming.first(of: self.waiting) else { return other }
        guard let other, self.preferred >= Self.share - 1 else {
            self.preferred += 1
            return resuming
        }
        self.preferred = 0
        return other
    }

    /// Those who have waited for too long; they wait no more.
    package mutating func expired(now: NIODeadline) -> [ID] {
        var expired: [ID] = []
        while let first = self.resuming.first(of: self.waiting), self.isOver(first.since, now) {
            self.waiting[first.id] = nil
            expired.append(first.id)
        }
        while let first = self.others.first(of: self.waiting), self.isOver(first.since, now) {
            self.waiting[first.id] = nil
            expired.append(first.id)
        }
        return expired
    }

    private func isOver(_ since: NIODeadline, _ now: NIODeadline) -> Bool { now - since >= self.limits.patience }

    /// When `expired` has somebody next; nil: nobody waits.
    package mutating func deadline() -> NIODeadline? {
        let firsts = [self.resuming.first(of: self.waiting), self.others.first(of: self.waiting)]
        return firsts.compactMap { $0?.since }.min().map { $0 + self.limits.patience }
    }
}

/// How TLS handshakes are spread over time.
package struct HandshakeLimits: Hashable, Sendable {
    /// How many are worked on at once.
    package var slots: Int
    /// How many may wait for that.
    package var waiting: Int
    /// How long.
    package var patience: TimeAmount

    package init(slots: Int, waiting: Int = 20_000, patience: TimeAmount = .seconds(5)) {
        self.slots = slots
        self.waiting = waiting
        self.patience = patience
    }

    /// The part of one event loop of several.
    func divided(by loops: Int) -> HandshakeLimits {
        HandshakeLimits(
            slots: self.slots == 0 ? 0 : max(1, self.slots / max(1, loops)),
            waiting: self.waiting / max(1, loops), patience: self.patience)
    }
}
