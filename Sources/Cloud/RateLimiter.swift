/// A token bucket per key: `burst` at once, then one every `interval`.
///
/// Knows no clock and keeps at most `maximumKeys` buckets: the one that was asked longest ago gives way. Whoever was
/// forgotten starts with a full bucket, so the bound should be well above what a flood can bring.
package struct RateLimiter<Key: Hashable & Sendable>: Sendable {
    private struct Bucket: Sendable {
        /// When the bucket will be full again: one number instead of a level and a time.
        var fullAt: Timestamp
        var older: Key?
        var newer: Key?
    }

    package let burst: Int
    package let interval: Duration
    package let maximumKeys: Int

    private var buckets: [Key: Bucket] = [:]
    private var oldest: Key?
    private var newest: Key?

    /// - Parameters:
    ///   - burst: how many are admitted at once, at least 1.
    ///   - interval: how long until one more is admitted, at least 1 ms.
    ///   - maximumKeys: how many keys are remembered, at least 1.
    package init(burst: Int, interval: Duration, maximumKeys: Int = 65_536) {
        self.burst = max(1, burst)
        self.interval = max(.milliseconds(1), interval)
        self.maximumKeys = max(1, maximumKeys)
    }

    package var count: Int { self.buckets.count }

    /// Takes one from the bucket of `key`.
    ///
    /// - Returns: nil when admitted, else how long until it would be. Asking in vain costs nothing.
    package mutating func admit(_ key: Key, now: Timestamp) -> Duration? {
        let capacity = self.interval * self.burst
        var fullAt = now
        if let bucket = self.buckets[key] {
            // A clock set back must not close a bucket for longer than an empty one takes to fill.
            fullAt = min(max(bucket.fullAt, now), now + capacity)
            self.unlink(key)
        } else if self.buckets.count >= self.maximumKeys, let oldest = self.oldest {
            self.unlink(oldest)
        }
        let after = fullAt + self.interval
        let wait = after - (now + capacity)
        self.link(key, fullAt: wait > .zero ? fullAt : after)
        return wait > .zero ? wait : nil
    }

    private mutating func unlink(_ key: Key) {
        guard let bucket = self.buckets.removeValue(forKey: key) else { return }
        if let older = bucket.older { self.buckets[older]?.newer = bucket.newer } else { self.oldest = bucket.newer }
        if let newer = bucket.newer { self.buckets[newer]?.older = bucket.older } else { self.newest = bucket.older }
    }

    private mutating func link(_ key: Key, fullAt: Timestamp) {
        if let newest = self.newest { self.buckets[newest]?.newer = key } else { self.oldest = key }
        self.buckets[key] = Bucket(fullAt: fullAt, older: self.newest, newer: nil)
        self.newest = key
    }
}
