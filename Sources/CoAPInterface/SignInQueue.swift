package import NIOCore

/// Which identity requests (sign-up, sign-in, refresh) are put to the registry, without input or output: so many at a
/// time, and the others wait.
///
/// A device repeats what was not answered within 2 s, so what has waited for `ageLimit` is answered unprocessed: to
/// work on it would be work for nobody, and the next one would be late as well. Each time a device repeats it waits
/// twice as long, so who was turned away before may wait twice as long each time too, and goes first: else a queue that
/// has become short stays empty while everybody is away. While the queue is long the newest goes first: its peer still
/// waits. Those who are known go before those who are not, so that a reconnect which has begun is ended before another
/// begins.
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

    /// Those of one kind, in the order they came.
    private struct Lane: Sendable {
        let ageLimit: TimeAmount
        var entries = CircularBuffer<Entry>()
    }

    /// Turned away more often than so makes no difference.
    private static let mostTurnedAway = 3

    private let limits: Limits
    private var running = 0
    /// Whose turn comes first is in the first: the known, then the others; of each, who was turned away most often.
    private var lanes: [Lane]
    private var nextID: ID = 0
    private var longSince: NIODeadline?
    package private(set) var isNewestFirst = false

    package init(limits: Limits) {
        self.limits = limits
        let lanes = (0...Self.mostTurnedAway).reversed().map { Lane(ageLimit: limits.ageLimit * (1 << $0)) }
        self.lanes = lanes + lanes
    }

    private static func lane(isKnown: Bool, turnedAway: Int) -> Int {
        self.mostTurnedAway - min(max(turnedAway, 0), self.mostTurnedAway) + (isKnown ? 0 : self.mostTurnedAway + 1)
    }

    package var waitingCount: Int { self.lanes.reduce(0) { $0 + $1.entries.count } }

    /// How long the one has waited that waits the longest.
    package func wait(now: NIODeadline) -> TimeAmount {
        self.lanes.lazy.compactMap { $0.entries.first?.since }.min().map { now - $0 } ?? .zero
    }

    /// Takes a slot; false if there is none.
    package mutating func begins() -> Bool {
        guard self.running < self.limits.concurrent else { return false }
        self.running += 1
        return true
    }

    /// - Parameters:
    ///   - isKnown: its peer has shown before who it is.
    ///   - turnedAway: how often its peer was answered unprocessed since it was last served.
    package mutating func arrived(isKnown: Bool, turnedAway: Int = 0, now: NIODeadline) -> Arrival {
        // Nobody waits while a slot is free.
        if self.begins() { return .begin }
        self.nextID += 1
        let entry = Entry(id: self.nextID, since: now)
        var late: ID?
        if self.waitingCount >= self.limits.waiting {
            // The lane whose turn comes last gives way.
            late = self.lanes.lastIndex { !$0.entries.isEmpty }.flatMap { self.lanes[$0].entries.popFirst() }?.id
        }
        self.lanes[Self.lane(isKnown: isKnown, turnedAway: turnedAway)].entries.append(entry)
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
        guard let lane = self.lanes.firstIndex(where: { !$0.entries.isEmpty }) else { return nil }
        return self.isNewestFirst ? self.lanes[lane].entries.popLast() : self.lanes[lane].entries.popFirst()
    }

    /// Those that are too old; they wait no more.
    package mutating func late(now: NIODeadline) -> [ID] {
        self.look(now: now)
        var late: [ID] = []
        for index in self.lanes.indices {
            while let first = self.lanes[index].entries.first, now - first.since >= self.lanes[index].ageLimit {
                late.append(first.id)
                self.lanes[index].entries.removeFirst()
            }
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
