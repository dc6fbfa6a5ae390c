package import NIOCore

/// How many messages a peer may send: a token bucket whose time is passed in.
package struct MessageRate: Hashable, Sendable {
    private let perSecond: Int
    private let burst: Int
    private var tokens: Double
    private var updated: NIODeadline

    package init(perSecond: Int = 200, burst: Int = 400, now: NIODeadline) {
        self.perSecond = max(1, perSecond)
        self.burst = burst
        self.tokens = Double(burst)
        self.updated = now
    }

    /// Counts one message. False when it has to wait: `resumesAt` says until when.
    package mutating func admit(now: NIODeadline) -> Bool {
        self.refill(now: now)
        guard self.tokens >= 1 else { return false }
        self.tokens -= 1
        return true
    }

    /// When there will be room for some messages again: a few at a time, so that reading is not switched on and off
    /// for each.
    package var resumesAt: NIODeadline {
        let wanted = min(Double(self.burst), 16)
        let missing = max(0, wanted - self.tokens)
        // A nanosecond more, lest rounding leaves us just below one message at the time named.
        let wait = (missing / Double(self.perSecond) * 1_000_000_000).rounded(.up) + 1
        return self.updated + .nanoseconds(Int64(wait))
    }

    private mutating func refill(now: NIODeadline) {
        guard now > self.updated else { return }
        let elapsed = Double((now - self.updated).nanoseconds) / 1_000_000_000
        self.tokens = min(Double(self.burst), self.tokens + elapsed * Double(self.perSecond))
        self.updated = now
    }
}
