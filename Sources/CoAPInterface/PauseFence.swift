import Synchronization

/// Whether this pod may trust its own sessions. While its event loops slept, another pod may have taken any of them
/// over, so after a pause each has to be confirmed by the store, unless the store cannot be asked.
final class PauseFence: Sendable {
    private let raised = Atomic<UInt64>(0)
    private let lifted = Atomic<UInt64>(0)

    /// Counts the pauses. What begins after one of them is confirmed as far as it goes.
    var revision: UInt64 { self.raised.load(ordering: .acquiring) }

    /// The pod slept: every session has to be confirmed anew.
    func raise() {
        self.raised.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }

    /// The store was asked after the pause of this revision, and cannot answer: the pod goes by its own table.
    func lift(through revision: UInt64) {
        self.lifted.max(revision, ordering: .acquiringAndReleasing)
    }

    /// Whether a session that was confirmed at this revision has to be confirmed again before anything is written to
    /// it.
    func holds(confirmed: UInt64) -> Bool {
        let raised = self.raised.load(ordering: .acquiring)
        return confirmed < raised && self.lifted.load(ordering: .acquiring) < raised
    }
}
