import Cloud
import NIOCore
import Synchronization

/// Notices devices that sign in again and again, without input or output. Nothing is refused because of it: somebody
/// has to look at the device, or at the way to it.
struct FlappingDevices {
    private struct Count {
        var since: NIODeadline
        var signIns: Int
    }

    /// More sign-ins than this within the window.
    static let limit = 10
    static let window = TimeAmount.seconds(60)

    private let capacity: Int
    private var counts: [DeviceID: Count] = [:]
    private var swept: NIODeadline?

    /// - Parameter capacity: how many devices are looked at; while a whole fleet comes back the others are not.
    init(capacity: Int = 65_536) {
        self.capacity = capacity
    }

    var count: Int { self.counts.count }

    /// True once in a window, with the first sign-in that is too much.
    mutating func signedIn(_ di: DeviceID, now: NIODeadline) -> Bool {
        guard var count = self.counts[di], now - count.since < Self.window else {
            self.sweep(now: now)
            if self.counts[di] != nil || self.counts.count < self.capacity {
                self.counts[di] = Count(since: now, signIns: 1)
            }
            return false
        }
        count.signIns += 1
        self.counts[di] = count
        return count.signIns == Self.limit + 1
    }

    /// Forgets those whose window is over, at most once a second.
    private mutating func sweep(now: NIODeadline) {
        guard self.counts.count >= self.capacity, self.swept.map({ now - $0 >= .seconds(1) }) ?? true else { return }
        self.swept = now
        self.counts = self.counts.filter { now - $0.value.since < Self.window }
    }
}

/// The devices of one process that sign in again and again.
package final class FlappingWatch: Sendable {
    private let devices = Mutex(FlappingDevices())

    package init() {}

    func signedIn(_ di: DeviceID) -> Bool {
        self.devices.withLock { $0.signedIn(di, now: .now()) }
    }
}
