import Cloud
import CoAP
import CoAPTransport
import NIOCore

/// What whoever moves a session is told of it.
enum MoveNews: Hashable, Sendable {
    /// There is no such session.
    case absent
    /// Nothing was begun: requests are in flight.
    case busy(inFlight: Int)
    /// It is over. Nothing comes after this.
    case ended(MoveEnd)
}

// The session is asked to go elsewhere: what `SessionMove` decides is done here.

extension DeviceConnection {
    /// Moves the session, for whatever reason.
    /// - Parameters:
    ///   - isFirm: also while requests are in flight; these may finish.
    ///   - told: called exactly once, on this event loop.
    func move(_ session: Session, isFirm: Bool, told: @escaping @Sendable (MoveNews) -> Void) {
        guard let connection = self.connection, self.machine.session?.epoch == session.epoch else {
            return told(.absent)
        }
        // Somebody else began it: the end is the same.
        guard !self.moving.isUnderWay else { return self.movers.append(told) }
        let begun = self.moving.begin(
            inFlight: connection.workCount, isFirm: isFirm, patience: self.context.requestTimeout, now: .now())
        switch begun {
        case .busy(let inFlight):
            told(.busy(inFlight: inFlight))
        case .quiesce(let until):
            self.movers.append(told)
            let this = NIOLoopBound(self, eventLoop: connection.eventLoop)
            connection.whenQuiet { this.onLoop { $0.performMove($0.moving.quiet()) } }
            connection.eventLoop.scheduleTask(deadline: until) {
                this.value.performMove(this.value.moving.deadlineReached(now: .now()))
            }
        case .release:
            self.movers.append(told)
            self.performMove(.release)
        }
    }

    /// Moves the session for balance, if nothing has been going on for a while.
    /// - Parameter told: called exactly once: whether it is asked to go now.
    func moveIfIdle(_ session: Session, told: @escaping @Sendable (Bool) -> Void) {
        guard let connection = self.connection, self.machine.session?.epoch == session.epoch,
            !self.moving.isUnderWay, connection.workCount == 0, self.lastWork + Rebalancing.idle <= .now()
        else { return told(false) }
        self.move(session, isFirm: false) { _ in }
        told(true)
    }

    private func performMove(_ action: SessionMove.Action) {
        switch action {
        case .nothing:
            break
        case .release:
            if let session = self.machine.session {
                self.context.routes.mark(session.di, pod: self.context.keeper.pod, epoch: session.epoch, as: .moving)
            }
            // Without Hold-Off: whoever heeds it would stay away for no reason.
            guard let connection = self.connection else { return }
            let other = self.context.keeper.alternativeAddress(for: connection.arrival.scheme)
            connection.release(alternativeAddresses: other.map { [$0] } ?? [])
        }
    }

    /// The session is over.
    /// - Parameter end: why its connection ended, if that is what ended it.
    func moveEnded(by end: ConnectionEnd?) {
        let isByPeer =
            switch end {
            case .closedByPeer, .released, .abortedByPeer: true
            case .closedByUs, .releaseUnheeded, .malformed, .protocolError, .keepaliveTimeout, .failed, nil: false
            }
        guard let ended = self.moving.ended(isPatienceOver: end == .releaseUnheeded, wasClosedByPeer: isByPeer) else {
            return
        }
        self.tell(ended)
    }

    /// The process stops, and the session is about to be closed with all others.
    func cutMoveShort(_ session: Session) {
        guard self.machine.session?.epoch == session.epoch, let ended = self.moving.cutShort() else { return }
        self.tell(ended)
    }

    private func tell(_ ended: MoveEnd) {
        self.context.metrics.moved(ended)
        for told in self.movers { told(.ended(ended)) }
        self.movers = []
    }
}

extension RouteKeeper {
    /// Moves one session of this pod to wherever the device signs in next, for whatever reason.
    /// - Parameters:
    ///   - isFirm: also while requests are in flight; these may finish.
    ///   - told: called exactly once, on any thread.
    func move(_ session: MovableSession, isFirm: Bool, told: @escaping @Sendable (MoveNews) -> Void) {
        guard let handle = self.sessions.find(session.di), handle.session.epoch == session.epoch else {
            return told(.absent)
        }
        handle.connection.onLoop { $0.move(handle.session, isFirm: isFirm, told: told) }
    }

    /// The time for moving is over: all sessions there are count as closed with the process, and as nothing else.
    /// - Returns: how many there are.
    func cutMovesShort() -> Int {
        let handles = self.sessions.handles()
        for handle in handles { handle.connection.onLoop { $0.cutMoveShort(handle.session) } }
        return handles.count
    }
}
