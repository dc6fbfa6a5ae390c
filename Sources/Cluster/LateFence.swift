import CoAPInterface
import NIOCore
import Synchronization

/// Tells the keeper of routes that the process slept. It is made after the event loops are watched, which must be
/// before any connection is; what sleeps before that has no sessions.
final class LateFence: Sendable {
    private let keeper = Mutex<RouteKeeper?>(nil)

    func becomes(_ keeper: RouteKeeper) {
        self.keeper.withLock { $0 = keeper }
    }

    func paused(_ gap: TimeAmount) {
        self.keeper.withLock { $0 }?.paused(gap)
    }
}
