import TestSupport

/// Who is behind a balancer that learns late: what was seen of each member, and when that becomes true for it.
///
/// It watches nobody and tells nobody; time comes in. The last thing seen of a member wins: what is learnt later never
/// gives way to what was seen before it.
struct BelatedMembers: Sendable {
    private struct Member {
        /// As last seen.
        var isSeen = false
        /// As the balancer has it.
        var isKnown = false
        /// To be learnt, each later than the one before; they alternate.
        var news: [(isReady: Bool, at: Duration)] = []
        /// Nobody looks any more; no entry is left once the balancer has learnt that it is gone.
        var isForgotten = false
    }

    private let delay: ClosedRange<Duration>
    private var generator: SeededGenerator
    private var table: [String: Member] = [:]

    init(delay: ClosedRange<Duration>, seed: UInt64) {
        self.delay = delay
        self.generator = SeededGenerator(seed: seed)
    }

    /// In the balancer's eyes, by name.
    var members: [String] { self.table.filter(\.value.isKnown).keys.sorted() }

    /// Whether there is nobody left to tell of.
    var isEmpty: Bool { self.table.isEmpty }

    /// When something is to be learnt next.
    var nextNews: Duration? { self.table.values.compactMap { $0.news.first?.at }.min() }

    mutating func watch(_ name: String) {
        var member = self.table[name] ?? Member()
        member.isForgotten = false
        self.table[name] = member
    }

    /// It is not looked at any more, and seen as not ready from now on.
    mutating func forget(_ name: String, now: Duration) {
        self.saw(name, isReady: false, now: now)
        guard self.table[name] != nil else { return }
        self.table[name]?.isForgotten = true
        self.bury(name)
    }

    /// What an answer, or none, says of it.
    mutating func saw(_ name: String, isReady: Bool, now: Duration) {
        guard var member = self.table[name], !member.isForgotten, member.isSeen != isReady else { return }
        member.isSeen = isReady
        let at = now + self.randomDelay()
        // What would be learnt later than this is overtaken.
        member.news.removeAll { $0.at >= at }
        if (member.news.last?.isReady ?? member.isKnown) != isReady {
            member.news.append((isReady, at))
        }
        self.table[name] = member
    }

    /// The members from here on, if something was learnt.
    mutating func learn(now: Duration) -> [String]? {
        let before = self.members
        for name in self.table.keys {
            while let first = self.table[name]?.news.first, first.at <= now {
                self.table[name]?.isKnown = first.isReady
                self.table[name]?.news.removeFirst()
            }
            self.bury(name)
        }
        let after = self.members
        return after == before ? nil : after
    }

    private mutating func bury(_ name: String) {
        guard let member = self.table[name], member.isForgotten, !member.isKnown, member.news.isEmpty else { return }
        self.table[name] = nil
    }

    private mutating func randomDelay() -> Duration {
        let share = Double.random(in: 0...1, using: &self.generator)
        return self.delay.lowerBound + (self.delay.upperBound - self.delay.lowerBound) * share
    }
}
