package import NIOCore

/// Which identity requests (sign-up, sign-in, refresh) are put to the registry, without input or output: so many at a
/// time, and the others wait.
///
/// A device repeats what was not answered within 2 s, so what has waited for `ageLimit` is answered unprocessed: to
/// work on it would be work for nobody, and the next one would be late as well. While the queue is long the newest goes
/// first: its peer still waits. Those who are known go before those who are not, so that a reconnect which has begun is
/// ended before another begins.
package struct SignInQueue: Sendable {
    package struct Limits: Hashable, Sendable {
        /// How many the registry is asked at once.
        package var concurrent: Int
        /// How many may wait.
        package var waiting: Int
        package var ageLimit: TimeAmount
        /// A wait above this, for `patience`, turns the queue round; below it, it is in order again.
        package var longWait: TimeAmount
        package var patience: TimeAmount

        package init(
            concurrent: Int, waiting: Int = 20_000, ageLimit: TimeAmount = .milliseconds(1500),
            longWait: TimeAmount = .milliseconds(500), patience: TimeAmount = .milliseconds(100)
        ) {
            self.concurrent = concurrent
            self.waiting = waiting
            self.ageLimit = ageLimit
            self.longWait = longWait
            self.patience = patience
        }
    }

    package typealias ID = UInt64

    package enum Arrival: Hashable, Sendable {
        case begin
        /// - Parameter late: who gave way to it, since as many wait as may.
        case wait(ID, late: ID?)
    }

    package struct Turns: Hashable, Sendable {
        package var begin: [Waited] = []
        /// To be answered unprocessed.
        package var late: [ID] = []
    }

    package struct Waited: Hashable, Sendable {
        package let id: ID
        package let wait: TimeAmount
    }

    private struct Entry: Sendable {
        let id: ID
        let since: NIODeadline
    }

    private let limits: Limits
    private var running = 0
    /// In the order they came.
    private var known = CircularBuffer<Entry>()
    private var others = CircularBuffer<Entry>()
    private var nextID: ID = 0
    private var longSince: NIODeadline?
    package private(set) var isNewestFirst = false

    package init(limits: Limits) {
        self.limits = limits
    }

    package var waitingCount: Int { self.known.count + self.others.count }

    /// How long the one has waited that waits the longest.
    package func wait(now: NIODeadline) -> TimeAmount {
        [self.known.first, self.others.first].compactMap { $0?.since }.min().map { now - $0 } ?? .zero
    }

    /// Takes a slot; false if there is none.
    package mutating func begins() -> Bool {
        guard self.running < self.limits.concurrent else { return false }
        self.running += 1
        return true
    }

    /// - Parameter isKnown: its peer has shown before who it is.
    package mutating func arrived(isKnown: Bool, now: NIODeadline) -> Arrival {
        // Nobody waits while a slot is free.
        if self.begins() { return .begin }
        self.nextID += 1
        let entry = Entry(id: self.nextID, since: now)
        var late: ID?
        if self.waitingCount >= self.limits.waiting {
            late = (self.others.isEmpty ? self.known.popFirst() : self.others.popFirst())?.id
        }
        if isKnown { self.known.append(entry) } else { self.others.append(entry) }
        self.look(now: now)
        return .wait(entry.id, late: late)
    }

    /// One that had begun is over.
    package mutating func finished(now: NIODeadline) -> Turns {
        self.running = max(0, self.running - 1)
        var turns = Turns(late: self.late(now: now))
        self.look(now: now)
        while self.running < self.limits.concurrent, let next = self.next() {
            self.running += 1
            turns.begin.append(Waited(id: next.id, wait: now - next.since))
        }
        // Who was begun may have been who waited the longest.
        self.look(now: now)
        return turns
    }

    private mutating func next() -> Entry? {
        if self.isNewestFirst { return self.known.popLast() ?? self.others.popLast() }
        return self.known.popFirst() ?? self.others.popFirst()
    }

    /// Those that are too old; they wait no more.
    package mutating func late(now: NIODeadline) -> [ID] {
        self.look(now: now)
        var late: [ID] = []
        while let first = self.known.first, now - first.since >= self.limits.ageLimit {
            late.append(first.id)
            self.known.removeFirst()
        }
        while let first = self.others.first, now - first.since >= self.limits.ageLimit {
            late.append(first.id)
            self.others.removeFirst()
        }
        return late
    }

    private mutating func look(now: NIODeadline) {
        guard self.wait(now: now) > self.limits.longWait else {
            self.longSince = nil
            self.isNewestFirst = false
            return
        }
        let since = self.longSince ?? now
        self.longSince = since
        if now - since >= self.limits.patience { self.isNewestFirst = true }
    }
}
