import Cloud
package import CoAPTransport
import NIOCore
import Synchronization

/// How many connections one source may open in a second; ten seconds' worth at once, since a house or a mobile network
/// that comes back brings many devices behind one address.
package final class SourceLimit: Sendable {
    private static let burstSeconds = 10

    private let buckets: Mutex<RateLimiter<SourcePrefix>>

    /// - Parameter perSecond: at least 1.
    package init(perSecond: Int) {
        let rate = max(1, perSecond)
        self.buckets = Mutex(
            RateLimiter(burst: rate * Self.burstSeconds, interval: .nanoseconds(1_000_000_000 / Int64(rate))))
    }

    package func admits(_ source: SourcePrefix) -> Bool {
        // The monotonic clock: only differences count.
        let now = Timestamp(milliseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds / 1_000_000))
        return self.buckets.withLock { $0.admit(source, now: now) == nil }
    }
}
