package import NIOCore

/// How much memory there is and how much of it is in use, in bytes.
package struct MemoryReading: Hashable, Sendable {
    package var used: Int
    package var limit: Int

    package init(used: Int, limit: Int) {
        self.used = used
        self.limit = limit
    }

    /// Whole per cent.
    package var percent: Int {
        // Both are widened: a limit of a cgroup may be as large as an Int holds.
        Int(clamping: Int64(self.used) / max(1, Int64(self.limit) / 100))
    }
}

/// When memory is short, and when it is not any more; without input or output.
///
/// Memory that was freed is not always given back to the system by itself, so before anybody is refused, and from time
/// to time while they are, it asks for that. It takes one reading to begin and a lower one to end, lest new connections
/// be let in and shut out in turns.
package struct MemoryMachine: Sendable {
    package struct Limits: Hashable, Sendable {
        /// From how many per cent on memory is short, and below how many it is not any more.
        package var shortAt = 80
        package var enoughBelow = 75
        /// How long after it what is free is given back again. It takes the allocator's locks.
        package var trimInterval = TimeAmount.seconds(10)

        package init() {}
    }

    package enum Action: Hashable, Sendable {
        case none
        /// Give back what is free, and read again.
        case trim
        /// New connections are refused from here on.
        case begin
        /// They are taken again.
        case end
    }

    private let limits: Limits
    package private(set) var isShort = false
    private var trimmed: NIODeadline?

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    package mutating func read(_ reading: MemoryReading, now: NIODeadline) -> Action {
        let percent = reading.percent
        if percent < self.limits.enoughBelow {
            guard self.isShort else { return .none }
            self.isShort = false
            return .end
        }
        guard self.isShort || percent >= self.limits.shortAt else { return .none }
        if self.trimmed.map({ $0 + self.limits.trimInterval <= now }) ?? true {
            self.trimmed = now
            return .trim
        }
        guard !self.isShort else { return .none }
        self.isShort = true
        return .begin
    }
}
