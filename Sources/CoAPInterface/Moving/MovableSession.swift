package import Cloud

/// Names one session of this pod for whoever moves it elsewhere.
package struct MovableSession: Hashable, Sendable {
    package let di: DeviceID
    package let epoch: UInt64

    package init(di: DeviceID, epoch: UInt64) {
        self.di = di
        self.epoch = epoch
    }
}

/// What became of a session that was to move.
package enum MoveEnd: String, Hashable, Sendable, CaseIterable {
    /// The device closed after our Release, as it should (RFC 8323 §5.5).
    case closedByDevice = "closed-by-device"
    /// It did not, so we half-closed and then closed.
    case halfClosed = "half-closed"
    /// The process stopped before it was over.
    case closedAtDeadline = "closed-at-deadline"
    /// It was over before, or ended in another way: signed out, superseded, lost.
    case gone
}
