import Cloud
import Synchronization

/// The greatest epoch this pod has seen for any device, and epochs of its own for sessions that begin without the
/// store.
///
/// Nothing is remembered beyond the process: an epoch is greater than all before because clocks go on, and where one
/// goes back, because of this floor.
final class EpochSource: Sendable {
    /// Epochs stay below 2^53, which every JSON and Lua number holds exactly. A clock that says more than half of that
    /// (the year 2112) is wrong, and would leave no room for those that come after.
    private static let greatestFromClock: UInt64 = 1 << 52

    private let clock: any WallClock
    private let seen = Mutex<UInt64>(0)

    init(clock: any WallClock) {
        self.clock = clock
    }

    var floor: UInt64 { self.seen.withLock { $0 } }

    func observe(_ epoch: UInt64) {
        self.seen.withLock { $0 = max($0, epoch) }
    }

    /// An epoch greater than every one seen here, in microseconds of the pod's clock.
    func mint() -> UInt64 {
        let milliseconds = UInt64(clamping: self.clock.now().milliseconds)
        let (microseconds, overflow) = milliseconds.multipliedReportingOverflow(by: 1000)
        let isSane = !overflow && microseconds <= Self.greatestFromClock
        return self.seen.withLock { seen in
            seen = max(seen + 1, isSane ? microseconds : 0)
            return seen
        }
    }
}
