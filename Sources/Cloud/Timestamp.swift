import FoundationEssentials

/// A moment: milliseconds since 1970-01-01T00:00:00Z, as stores keep it. Arithmetic stops at the ends instead of
/// wrapping, so that a lifetime of 2^63 seconds from a peer is merely very long.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var milliseconds: Int64

    package init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    package static func < (one: Timestamp, other: Timestamp) -> Bool { one.milliseconds < other.milliseconds }

    package static func + (moment: Timestamp, duration: Duration) -> Timestamp {
        let (sum, overflow) = moment.milliseconds.addingReportingOverflow(duration.clampedMilliseconds)
        return Timestamp(milliseconds: overflow ? (duration < .zero ? .min : .max) : sum)
    }

    package static func - (moment: Timestamp, duration: Duration) -> Timestamp {
        let (difference, overflow) = moment.milliseconds.subtractingReportingOverflow(duration.clampedMilliseconds)
        return Timestamp(milliseconds: overflow ? (duration < .zero ? .max : .min) : difference)
    }

    /// How long from `earlier` until `later`; negative when it is the other way round.
    package static func - (later: Timestamp, earlier: Timestamp) -> Duration {
        let (difference, overflow) = later.milliseconds.subtractingReportingOverflow(earlier.milliseconds)
        return .milliseconds(overflow ? (later < earlier ? .min : .max) : difference)
    }
}

extension Timestamp: CustomStringConvertible {
    package var description: String { "\(self.milliseconds) ms" }
}

extension Duration {
    /// Whole milliseconds, clamped to 64 bits.
    package var clampedMilliseconds: Int64 {
        let (seconds, attoseconds) = self.components
        let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let (sum, overflowOfSum) = milliseconds.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
        return overflowOfSum ? (seconds < 0 ? .min : .max) : sum
    }
}

/// What time it is, passed in wherever it matters.
package protocol WallClock: Sendable {
    func now() -> Timestamp
}

/// The machine's clock.
package struct SystemWallClock: WallClock {
    package init() {}

    package func now() -> Timestamp {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }
}
