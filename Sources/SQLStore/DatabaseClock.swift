package import Cloud
import Synchronization

/// What a database said when asked for the time, on this machine's monotonic clock.
package struct DatabaseMoment: Hashable, Sendable {
    package var time: Timestamp
    package var asked: ContinuousClock.Instant
    package var answered: ContinuousClock.Instant

    package init(time: Timestamp, asked: ContinuousClock.Instant, answered: ContinuousClock.Instant) {
        self.time = time
        self.asked = asked
        self.answered = answered
    }
}

/// The database's time, so that programs whose machines disagree about the time of day agree about what has expired.
///
/// Between two looks at the database it goes with the monotonic clock, which nobody sets. A database whose own clock
/// jumps takes everybody along at the next look.
package final class DatabaseClock: WallClock {
    /// An answer that took longer says too little about when it was given: half of it is the error.
    package static let longestRoundTrip = Duration.seconds(2)

    private let ask: @Sendable () async throws(CloudError) -> DatabaseMoment
    private let monotonic: @Sendable () -> ContinuousClock.Instant
    private let anchor: Mutex<(time: Timestamp, at: ContinuousClock.Instant)>

    /// Goes with this machine's clock until the first `refresh()`.
    package convenience init(_ store: SQLCloudStore) {
        self.init(
            ask: { () async throws(CloudError) in try await store.databaseMoment() }, monotonic: { .now },
            machine: SystemWallClock())
    }

    init(
        ask: @escaping @Sendable () async throws(CloudError) -> DatabaseMoment,
        monotonic: @escaping @Sendable () -> ContinuousClock.Instant,
        machine: any WallClock,
    ) {
        self.ask = ask
        self.monotonic = monotonic
        self.anchor = Mutex((machine.now(), monotonic()))
    }

    /// Asks the database. To be called once before anything depends on the time, then about every ten seconds; a call
    /// that fails changes nothing.
    ///
    /// - Throws: `unavailable` when the database does not answer, or not quickly enough to be of use.
    package func refresh() async throws(CloudError) {
        let moment = try await self.ask()
        let roundTrip = moment.answered - moment.asked
        guard roundTrip <= Self.longestRoundTrip else {
            throw CloudError(
                .unavailable, "the database took \(roundTrip) to say what time it is: try again in a moment")
        }
        self.anchor.withLock { $0 = (moment.time, moment.asked + roundTrip / 2) }
    }

    package func now() -> Timestamp {
        let (time, at) = self.anchor.withLock { $0 }
        return time + (self.monotonic() - at)
    }
}
