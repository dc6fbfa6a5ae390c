package import NIOCore

/// Which of the log lines that anybody outside can cause are written: one of a kind in ten seconds. Whoever knocks all
/// the time must not fill the log.
package struct RareLines<Kind: Hashable & Sendable>: Sendable {
    private let interval: TimeAmount
    /// When each may be written again, and how many were not since. Kinds are ours, so they are few.
    private var kinds: [Kind: (next: NIODeadline, held: Int)] = [:]

    package init(interval: TimeAmount = .seconds(10)) {
        self.interval = interval
    }

    /// How many were held back since the last line; nil: hold this one back as well.
    package mutating func mayWrite(_ kind: Kind, now: NIODeadline) -> Int? {
        if let line = self.kinds[kind], line.next > now {
            self.kinds[kind] = (line.next, line.held + 1)
            return nil
        }
        let held = self.kinds[kind]?.held ?? 0
        self.kinds[kind] = (now + self.interval, 0)
        return held
    }
}
