package import NIOCore

/// How one session is asked to go elsewhere, without input or output, and whatever the reason.
///
///     begin ─► quiescing ─► released ─► over
///                 │             ▲
///                 └─ deadline ──┘
///
/// While it is quiescing nothing new is written to the device: what comes for it is answered *undelivered*, and the
/// edge waits for the device's next session. What is in flight in either direction goes on to its end or its deadline.
/// Then the route is marked `moving` and the device gets a Release, in this order, so that whoever is refused finds a
/// route that is worth waiting for. When the device does not close, the connection does what RFC 8323 §5.5 leaves to
/// us: `ConnectionMachine` has that.
package struct SessionMove: Sendable {
    package enum BeginAction: Hashable, Sendable {
        /// So many requests are in flight, and there is time: nothing has begun.
        case busy(inFlight: Int)
        /// Call `quiet` once nothing is in flight, and `deadlineReached` then.
        case quiesce(until: NIODeadline)
        /// Mark the route as moving, then send a Release.
        case release
    }

    package enum Action: Hashable, Sendable {
        case nothing
        /// Mark the route as moving, then send a Release.
        case release
    }

    private enum State: Hashable {
        case idle
        case quiescing(until: NIODeadline)
        case released
        /// What became of it was told already.
        case cutShort
    }

    private var state = State.idle

    package init() {}

    /// Whether requests for the device are refused.
    package var isUnderWay: Bool { self.state != .idle }

    /// - Parameters:
    ///   - inFlight: requests of either side without an answer.
    ///   - isFirm: begin although some are in flight.
    ///   - patience: how long these may take; no request's deadline is longer.
    package mutating func begin(inFlight: Int, isFirm: Bool, patience: TimeAmount, now: NIODeadline) -> BeginAction {
        guard inFlight > 0 else {
            self.state = .released
            return .release
        }
        guard isFirm else { return .busy(inFlight: inFlight) }
        self.state = .quiescing(until: now + patience)
        return .quiesce(until: now + patience)
    }

    /// Nothing is in flight any more.
    package mutating func quiet() -> Action {
        guard case .quiescing = self.state else { return .nothing }
        self.state = .released
        return .release
    }

    package mutating func deadlineReached(now: NIODeadline) -> Action {
        guard case .quiescing(let until) = self.state, until <= now else { return .nothing }
        self.state = .released
        return .release
    }

    /// The process stops: the session is closed with all others, whether or not it was being moved, and this is what
    /// became of it. Nil if that was said before.
    package mutating func cutShort() -> MoveEnd? {
        guard self.state != .cutShort else { return nil }
        self.state = .cutShort
        return .closedAtDeadline
    }

    /// The session is over. Nil if it was not being moved, or what became of it was told already.
    /// - Parameter isPatienceOver: the device did not close after our Release.
    package mutating func ended(isPatienceOver: Bool, wasClosedByPeer: Bool) -> MoveEnd? {
        defer { self.state = .idle }
        switch self.state {
        case .idle, .cutShort: return nil
        case .quiescing: return .gone
        case .released where isPatienceOver: return .halfClosed
        case .released: return wasClosedByPeer ? .closedByDevice : .gone
        }
    }
}
