import Cloud
import OCF

/// The rules of following the change log, without input or output: where to go on, what is new, when something was
/// missed, and how long to wait after a failure.
struct FollowerMachine: Sendable {
    enum Action: Hashable, Sendable {
        /// Changes are known from here on; sessions that are older must be verified.
        case begin(at: Int64)
        case apply(Change)
        /// Changes were missed: drop every copy, verify every session, go on from here.
        case gap(at: Int64)
    }

    static let backOff: ClosedRange<Duration> = .milliseconds(100)...(.seconds(1))

    /// The last change that was applied; nil before the first answer.
    private(set) var position: Int64?
    /// Sequences up to here are given out a second time: the store was replaced by an older one, a restored backup.
    private(set) var reusedUpTo: Int64?
    private var failures = 0
    /// Whether operators were told that the log cannot be followed.
    private(set) var hasComplained = false

    init() {}

    /// Whether operators are to be told now that the log cannot be followed: at once after it could be, else when it
    /// takes longer than a start does.
    private var isComplaintDue: Bool { self.position != nil || self.failures > Self.quietFailures }
    private static let quietFailures = 4

    mutating func answered(_ answer: ChangesAnswer) -> [Action] {
        self.failures = 0
        self.hasComplained = false
        guard let position else {
            self.position = answer.last
            return [.begin(at: answer.last)]
        }
        guard !answer.gap, answer.last >= position else { return [self.missed(answer)] }
        var actions: [Action] = []
        var expected = position + 1
        for change in answer.changes where change.sequence >= expected {
            guard change.sequence == expected else { return actions + [self.missed(answer)] }
            actions.append(.apply(change))
            self.position = expected
            expected += 1
        }
        // It stands further on, and gave nothing to get there.
        if answer.changes.isEmpty, answer.last > position { return [self.missed(answer)] }
        return actions
    }

    private mutating func missed(_ answer: ChangesAnswer) -> Action {
        if let position, answer.last < position { self.reusedUpTo = max(position, self.reusedUpTo ?? position) }
        self.position = answer.last
        return .gap(at: answer.last)
    }

    /// The sequence of a change as whoever keeps sessions must hear of it. A session that was granted before the store
    /// was replaced has one that says nothing about the changes that came since: those hit it whatever it says.
    func told(_ sequence: Int64) -> Int64 {
        guard let reusedUpTo, sequence <= reusedUpTo else { return sequence }
        return .max
    }

    /// - Returns: how long to wait before asking again, and whether operators must be told.
    mutating func failed() -> (wait: Duration, complain: Bool) {
        // 100 ms, doubled up to 1 s: four times is enough.
        let wait = Self.backOff.lowerBound * (1 << min(self.failures, 4))
        self.failures += 1
        let complain = !self.hasComplained && self.isComplaintDue
        if complain { self.hasComplained = true }
        return (min(wait, Self.backOff.upperBound), complain)
    }
}
