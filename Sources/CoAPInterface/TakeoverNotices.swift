import Cloud
import NIOCore

/// Which displaced pods still have to acknowledge, without input or output: each is told at once and again with
/// back-off, until it has acknowledged, its lease is over, or it has had time enough.
struct TakeoverNotices {
    /// One pod that has to hear of one device.
    struct Key: Hashable, Sendable {
        let di: DeviceID
        let pod: Pod
    }

    struct Delivery: Hashable, Sendable {
        let key: Key
        let notice: TakeoverNotice
    }

    enum Outcome: Hashable {
        case acknowledged
        /// Tried again at its time.
        case waits
        case podGone
        /// Nothing such is under way: another notice took its place.
        case stale
    }

    struct Due: Hashable {
        var send: [Delivery] = []
        /// Their time is over. What they would have told is found out by assertion.
        var expired: [Key] = []
    }

    static let maximum = 4096
    static let lifetime = TimeAmount.seconds(30)
    static let firstPause = TimeAmount.milliseconds(100)
    static let longestPause = TimeAmount.seconds(2)

    private struct Entry {
        let notice: TakeoverNotice
        let until: NIODeadline
        var pause: TimeAmount
        /// When to send it again; nil while an answer is awaited.
        var again: NIODeadline?
    }

    private var entries: [Key: Entry] = [:]

    var count: Int { self.entries.count }

    /// Takes a notice, to be sent at once; nil if there are as many as may be. It takes the place of an earlier one of
    /// the same device to the same pod.
    mutating func add(_ notice: TakeoverNotice, to pod: Pod, now: NIODeadline) -> Delivery? {
        let key = Key(di: notice.di, pod: pod)
        guard self.entries[key] != nil || self.entries.count < Self.maximum else { return nil }
        self.entries[key] = Entry(notice: notice, until: now + Self.lifetime, pause: Self.firstPause, again: nil)
        return Delivery(key: key, notice: notice)
    }

    mutating func answered(_ delivery: Delivery, isAcknowledged: Bool, now: NIODeadline) -> Outcome {
        guard var entry = self.entries[delivery.key], entry.notice == delivery.notice else { return .stale }
        guard !isAcknowledged else {
            self.entries[delivery.key] = nil
            return .acknowledged
        }
        entry.again = now + entry.pause
        entry.pause = min(entry.pause * 2, Self.longestPause)
        self.entries[delivery.key] = entry
        return .waits
    }

    /// What is known of the lease of a pod that has not acknowledged.
    mutating func heard(_ lease: PodLease, for delivery: Delivery) -> Outcome {
        guard let entry = self.entries[delivery.key], entry.notice == delivery.notice else { return .stale }
        switch lease {
        case .held:
            return .waits
        case .lapsed, .gone:
            // It fences itself when it wakes up, and its assertions lose.
            self.entries[delivery.key] = nil
            return .podGone
        }
    }

    mutating func due(now: NIODeadline) -> Due {
        var due = Due()
        for (key, entry) in self.entries {
            if entry.until <= now {
                due.expired.append(key)
            } else if let again = entry.again, again <= now {
                due.send.append(Delivery(key: key, notice: entry.notice))
            }
        }
        for key in due.expired { self.entries[key] = nil }
        for delivery in due.send { self.entries[delivery.key]?.again = nil }
        return due
    }
}
