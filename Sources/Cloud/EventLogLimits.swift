/// The bounds of every event log.
package enum EventLogLimits {
    /// About so many of each owner.
    package static let perOwner = 1000
    /// None older than that.
    package static let age: Duration = .seconds(7 * 24 * 3600)
    /// The bytes of an event's text.
    package static let textBytes = 512

    /// A text within the bound, cut between characters.
    package static func cut(_ text: String) -> String {
        guard text.utf8.count > Self.textBytes else { return text }
        var count = 0
        return String(
            text.prefix { character in
                count += character.utf8.count
                return count <= Self.textBytes
            })
    }
}

/// The place of an event in its log, written `1700000000000-7`: when it was, and the how manyth of its owner's it is,
/// from 1 on. Number 0 is the place before the first.
package struct EventLogID: Hashable, Comparable, Sendable {
    package let milliseconds: UInt64
    package let number: UInt64

    package init(milliseconds: UInt64, number: UInt64 = 0) {
        self.milliseconds = milliseconds
        self.number = number
    }

    /// An id as it was given out; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let milliseconds = UInt64(parts[0]), let number = UInt64(parts[1]) else { return nil }
        self.milliseconds = milliseconds
        self.number = number
    }

    package var text: String { "\(self.milliseconds)-\(self.number)" }

    /// Before everything.
    package static let start = EventLogID(milliseconds: 0)

    /// The smallest that is greater.
    package var next: EventLogID {
        if self.number < .max { return EventLogID(milliseconds: self.milliseconds, number: self.number + 1) }
        if self.milliseconds < .max { return EventLogID(milliseconds: self.milliseconds + 1) }
        return self
    }

    /// Whether the other's number is the next: none is missing in between. Numbers come from outside too, so none is
    /// added to.
    package func isFollowed(by other: EventLogID) -> Bool {
        other.number > 0 && other.number - 1 == self.number
    }

    package static func < (one: EventLogID, other: EventLogID) -> Bool {
        (one.milliseconds, one.number) < (other.milliseconds, other.number)
    }
}
