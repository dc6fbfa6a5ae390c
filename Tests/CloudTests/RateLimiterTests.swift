import Testing

@testable import Cloud

@Suite("The rate limiter")
struct RateLimiterTests {
    private let start = Timestamp(milliseconds: 1_000_000)

    @Test("A burst is admitted, then one per interval, and the wait is told exactly")
    func bucket() {
        var limiter = RateLimiter<String>(burst: 3, interval: .seconds(10))
        for _ in 0..<3 { #expect(limiter.admit("a", now: self.start) == nil) }
        #expect(limiter.admit("a", now: self.start) == .seconds(10))
        #expect(limiter.admit("a", now: self.start + .seconds(4)) == .seconds(6))
        #expect(limiter.admit("a", now: self.start + .seconds(10)) == nil)
        #expect(limiter.admit("a", now: self.start + .seconds(10)) == .seconds(10))
    }

    @Test("Asking in vain costs nothing, and a full bucket does not overflow")
    func bounds() {
        var limiter = RateLimiter<String>(burst: 2, interval: .seconds(1))
        for _ in 0..<2 { #expect(limiter.admit("a", now: self.start) == nil) }
        for _ in 0..<100 { #expect(limiter.admit("a", now: self.start) == .seconds(1)) }
        #expect(limiter.admit("a", now: self.start + .seconds(1)) == nil)
        let later = self.start + .seconds(3600)
        for _ in 0..<2 { #expect(limiter.admit("a", now: later) == nil) }
        #expect(limiter.admit("a", now: later) == .seconds(1))
    }

    @Test("Keys do not disturb each other")
    func keys() {
        var limiter = RateLimiter<Int>(burst: 1, interval: .seconds(1))
        for key in 0..<50 { #expect(limiter.admit(key, now: self.start) == nil) }
        for key in 0..<50 { #expect(limiter.admit(key, now: self.start) == .seconds(1)) }
    }

    @Test("The number of keys is bounded: who was asked longest ago is forgotten first")
    func eviction() {
        var limiter = RateLimiter<Int>(burst: 1, interval: .seconds(100), maximumKeys: 3)
        for key in 1...3 { #expect(limiter.admit(key, now: self.start) == nil) }
        // 1 is the newest now, so 2 gives way to 4.
        #expect(limiter.admit(1, now: self.start) == .seconds(100))
        #expect(limiter.admit(4, now: self.start) == nil)
        #expect(limiter.count == 3)
        #expect(limiter.admit(1, now: self.start) == .seconds(100))
        #expect(limiter.admit(3, now: self.start) == .seconds(100))
        #expect(limiter.admit(2, now: self.start) == nil)
        for key in 0..<10_000 { _ = limiter.admit(key, now: self.start) }
        #expect(limiter.count == 3)
    }

    @Test("BI-76: a clock set back closes no bucket for longer than a refill")
    func clockSetBack() {
        var limiter = RateLimiter<String>(burst: 2, interval: .seconds(1))
        for _ in 0..<2 { #expect(limiter.admit("a", now: self.start) == nil) }
        let earlier = self.start - .seconds(600)
        #expect(limiter.admit("a", now: earlier) == .seconds(1))
        #expect(limiter.admit("a", now: earlier + .seconds(1)) == nil)
    }

    @Test("Against a model: over any stretch no more than the burst and one per interval")
    func model() {
        var generator = SystemRandomNumberGenerator()
        var limiter = RateLimiter<String>(burst: 5, interval: .milliseconds(100))
        var now = self.start
        var admitted: [Timestamp] = []
        for _ in 0..<5000 {
            now = now + .milliseconds(Int.random(in: 0...60, using: &generator))
            if limiter.admit("a", now: now) == nil { admitted.append(now) }
        }
        for first in stride(from: 0, to: admitted.count, by: 37) {
            for last in first..<min(first + 200, admitted.count) {
                let allowed = 5 + Int((admitted[last] - admitted[first]) / .milliseconds(100))
                #expect(last - first + 1 <= allowed + 1)
            }
        }
    }
}
