/// When to try again after a connection to Redis ended: 50 ms, twice that each time, at most 2 s, each up to a quarter
/// shorter, so that the pods of a cluster do not come back in step.
package struct RedisReconnectPlan: Sendable, Equatable {
    package static let shortest: Duration = .milliseconds(50)
    package static let longest: Duration = .seconds(2)

    private var failures = 0

    package init() {}

    /// - Parameter fraction: a random number from 0 up to 1.
    package mutating func next(fraction: Double) -> Duration {
        let whole = min(Self.shortest * (1 << min(self.failures, 10)), Self.longest)
        self.failures += 1
        return whole * (1 - 0.25 * min(max(fraction, 0), 1))
    }

    /// A connection served: the next one that ends is not blamed on the same trouble.
    package mutating func served() {
        self.failures = 0
    }
}
