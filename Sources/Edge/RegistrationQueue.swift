package import Cloud
package import NIOCore

/// The order in which lost observations are registered anew: one at a time for each device, and so many a second
/// altogether, so that a pod that goes down does not send all its observers to the others at once.
package struct RegistrationQueue {
    package static let perSecond: Int64 = 200
    /// So many may go at once after a pause.
    package static let burst: Int64 = 20
    private static let interval = TimeAmount.nanoseconds(1_000_000_000 / Self.perSecond)

    /// Those of a device that wait behind one that is under way.
    private var behind: [DeviceID: [UInt64]] = [:]
    /// First of their device, waiting for the pace. Taken from `start` on.
    private var ready: [(id: UInt64, di: DeviceID)] = []
    private var start = 0
    /// When the next one would go if all of them had gone evenly.
    private var due: NIODeadline?

    package init() {}

    package mutating func add(_ id: UInt64, _ di: DeviceID) {
        if self.behind[di] == nil {
            self.behind[di] = []
            self.ready.append((id, di))
        } else {
            self.behind[di]?.append(id)
        }
    }

    /// One of this device that was taken is done: the next may go.
    package mutating func done(_ di: DeviceID) {
        guard let waiting = self.behind[di] else { return }
        guard let next = waiting.first else {
            self.behind[di] = nil
            return
        }
        self.behind[di]?.removeFirst()
        self.ready.append((next, di))
    }

    /// The next to go now. Each that was taken is followed by one `done`.
    package mutating func take(now: NIODeadline) -> (id: UInt64, di: DeviceID)? {
        guard self.start < self.ready.count else { return nil }
        // A burst is what has not gone out lately.
        let earliest = now - Self.interval * Self.burst
        let due = max(self.due ?? earliest, earliest)
        guard due <= now - Self.interval else { return nil }
        self.due = due + Self.interval
        let taken = self.ready[self.start]
        self.start += 1
        if self.start > 64, self.start * 2 > self.ready.count {
            self.ready.removeFirst(self.start)
            self.start = 0
        }
        return taken
    }

    /// When to `take` again; nil if nobody waits for the pace.
    package func nextTurn(now: NIODeadline) -> NIODeadline? {
        guard self.start < self.ready.count, let due = self.due else { return nil }
        return max(now, due + Self.interval)
    }
}
