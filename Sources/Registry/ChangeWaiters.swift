import Cloud
import OCF

/// Who waits for the next change, and the newest changes: a value that decides and does nothing else. Whoever holds it
/// reads the change log when there is reason to, and answers whom it names.
struct ChangeWaiters: Sendable {
    struct Limits: Hashable, Sendable {
        /// Requests that may be held.
        var waiting = 4096
        /// Changes that are kept to answer from.
        var kept = 4096
        /// How old what was read may be when somebody is told that there was nothing.
        var freshness: Duration = .seconds(2)
        /// Every so often the log is read while anybody waits: other registries write into it, too.
        var period: Duration = .milliseconds(500)
    }

    /// What one of those who wait gets.
    enum Outcome: Hashable, Sendable {
        case page(ChangePage)
        /// The log could not be read.
        case unavailable
        case full
        case ended
    }

    struct Answer: Hashable, Sendable {
        let id: UInt64
        let outcome: Outcome
    }

    enum Arrival: Hashable, Sendable {
        case answer(Outcome)
        case wait(read: Bool)
    }

    private struct Waiter: Sendable {
        let after: Int64?
        let until: ContinuousClock.Instant
        /// How many reads had begun when it came: a later one tells what it needs.
        let reads: UInt64
    }

    private let limits: Limits
    private var waiters: [UInt64: Waiter] = [:]
    /// Those who are further behind than what is kept.
    private var behind: [UInt64: Int64] = [:]
    /// What is known: the last sequence, and the changes after `start` up to it.
    private var position: Int64?
    private var start: Int64 = 0
    private var kept: [Change] = []
    private var readsBegun: UInt64 = 0
    private var lastRead: ContinuousClock.Instant?
    private var isClosed = false

    init(limits: Limits = Limits()) {
        self.limits = limits
    }

    var count: Int { self.waiters.count + self.behind.count }

    mutating func arrived(
        _ id: UInt64, after: Int64?, wait: Duration, now: ContinuousClock.Instant
    ) -> Arrival {
        guard !self.isClosed else { return .answer(.ended) }
        if let after, let page = self.page(after: after) { return .answer(.page(page)) }
        guard self.count < self.limits.waiting else { return .answer(.full) }
        self.waiters[id] = Waiter(after: after, until: now + wait, reads: self.readsBegun)
        let isFresh = self.lastRead.map { now - $0 < self.limits.period } ?? false
        return .wait(read: !isFresh || after == nil || after != self.position)
    }

    /// A read may begin: after which sequence; nil inside: from nowhere. Nil when nobody waits.
    mutating func beginRead() -> Int64?? {
        guard !self.waiters.isEmpty else { return nil }
        self.readsBegun += 1
        return .some(self.position)
    }

    mutating func read(_ page: ChangePage, begun: ContinuousClock.Instant) -> [Answer] {
        self.lastRead = begun
        if self.position == nil || page.gap {
            self.position = page.last
            self.start = page.last
            self.kept = []
        } else {
            self.kept += page.changes
            self.position = page.changes.last?.sequence ?? self.position
            let surplus = self.kept.count - self.limits.kept
            if surplus > 0 {
                self.start = self.kept[surplus - 1].sequence
                self.kept.removeFirst(surplus)
            }
        }
        var answers: [Answer] = []
        for (id, waiter) in self.waiters {
            // Whoever came during the read may know of more than it found.
            let isNew = waiter.reads >= self.readsBegun
            guard let outcome = self.outcome(of: waiter, isNew: isNew) else { continue }
            self.waiters[id] = nil
            switch outcome {
            case .answer(let page): answers.append(Answer(id: id, outcome: .page(page)))
            case .behind(let after): self.behind[id] = after
            }
        }
        return answers
    }

    private enum Found {
        case answer(ChangePage)
        case behind(Int64)
    }

    private func outcome(of waiter: Waiter, isNew: Bool) -> Found? {
        guard let position else { return nil }
        guard let after = waiter.after else {
            return isNew ? nil : .answer(ChangePage(last: position, gap: false, changes: []))
        }
        if let page = self.page(after: after) { return .answer(page) }
        if after < self.start { return .behind(after) }
        // It was never given out: the store is an older one than the one that was followed.
        if after > position, !isNew { return .answer(ChangePage(last: position, gap: true, changes: [])) }
        return nil
    }

    /// What there is after a sequence; nil if nothing is known of it.
    private func page(after: Int64) -> ChangePage? {
        guard let position, after >= self.start, after < position else { return nil }
        // Sequences have no gaps, so the distance is the place.
        let changes = self.kept.dropFirst(Int(after - self.start)).prefix(RegistryProtocol.maximumChanges)
        return ChangePage(last: position, gap: false, changes: Array(changes))
    }

    /// The log could not be read: whoever needs it does not wait for it any longer.
    mutating func readFailed() -> [Answer] {
        let failed = self.waiters.filter { $0.value.after == nil || $0.value.after != self.position }.map(\.key)
        for id in failed { self.waiters[id] = nil }
        return failed.map { Answer(id: $0, outcome: .unavailable) }
    }

    /// The next of those who are behind what is kept: read for it alone, and answer it.
    mutating func nextBehind() -> (id: UInt64, after: Int64)? {
        guard let (id, after) = self.behind.first else { return nil }
        self.behind[id] = nil
        return (id, after)
    }

    /// Whose time is over.
    mutating func expire(now: ContinuousClock.Instant) -> [Answer] {
        var answers: [Answer] = []
        for (id, waiter) in self.waiters where waiter.until <= now {
            let isFresh = self.lastRead.map { now - $0 <= self.limits.freshness } ?? false
            if isFresh, let position, waiter.after == position {
                answers.append(Answer(id: id, outcome: .page(ChangePage(last: position, gap: false, changes: []))))
            } else if now - waiter.until >= self.limits.freshness {
                answers.append(Answer(id: id, outcome: .unavailable))
            } else {
                continue
            }
            self.waiters[id] = nil
        }
        return answers
    }

    /// Whether somebody waits and the log was not read for a while.
    func isReadDue(now: ContinuousClock.Instant) -> Bool {
        guard !self.waiters.isEmpty else { return false }
        return self.lastRead.map { now - $0 >= self.limits.period } ?? true
    }

    mutating func close() -> [Answer] {
        self.isClosed = true
        let ids = Array(self.waiters.keys) + Array(self.behind.keys)
        self.waiters = [:]
        self.behind = [:]
        return ids.map { Answer(id: $0, outcome: .ended) }
    }
}
