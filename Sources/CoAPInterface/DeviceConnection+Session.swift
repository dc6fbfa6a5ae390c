import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore
import ServiceShell

// Beginning and end of the session.

extension DeviceConnection {
    func identityAnswered(_ response: Response) {
        guard !self.hasEnded else { return }
        let before = self.machine.session
        switch self.machine.identityAnswered(response, now: .now()) {
        case .answer(let ids, let response, let ended):
            if let ended { self.ended(ended, as: nil) }
            guard self.keepsRight(since: before) else { return self.refuse(ids) }
            for id in ids { self.answer(id, response) }
            self.proceed()
        case .claim(let di, let uid, let ended):
            if let ended { self.ended(ended, as: .left) }
            self.claim(di: di, uid: uid)
        }
    }

    /// A session that was renewed goes by its new login from here on. False if that was taken away meanwhile.
    private func keepsRight(since before: Session?) -> Bool {
        guard let session = self.machine.session, session.epoch == before?.epoch, let connection = self.connection,
            session.family != before?.family || session.sequence != before?.sequence
        else { return true }
        let handle = SessionHandle(
            session: session, connection: NIOLoopBound(self, eventLoop: connection.eventLoop),
            movableFrom: self.movableFrom)
        return self.context.sessions.renew(handle, askedAt: self.askedAt)
    }

    private func claim(di: DeviceID, uid: UserID) {
        guard let connection = self.connection else { return }
        let this = NIOLoopBound(self, eventLoop: connection.eventLoop)
        self.context.keeper.claim(di, uid: uid, peer: connection.peerAddress, on: connection.eventLoop) { verdict in
            this.onLoop { $0.claimed(di, verdict) }
        }
    }

    private func claimed(_ di: DeviceID, _ verdict: ClaimVerdict) {
        switch verdict {
        case .contested:
            self.context.sessions.claimEnded(di)
            let text = "two peers sign in as this device in turn: one of them has to stop"
            for id in self.machine.refuseGrant() {
                self.answer(id, Response(.serviceUnavailable, diagnostic: text, maxAge: 60))
            }
            self.proceed()
        case .begin(let ticket, let fenceRevision):
            guard !self.hasEnded, let connection = self.connection,
                let session = self.machine.claimed(epoch: ticket.epoch)
            else {
                self.context.sessions.claimEnded(di)
                return self.context.keeper.abandon(ticket)
            }
            self.confirmedRevision = fenceRevision
            let this = NIOLoopBound(self, eventLoop: connection.eventLoop)
            self.movableFrom = Rebalancing.movableFrom(movedAgo: ticket.movedAgo, now: .now())
            let handle = SessionHandle(session: session, connection: this, movableFrom: self.movableFrom)
            self.context.sessions.enter(handle, askedAt: self.askedAt, pod: self.context.keeper.pod.name) { entrance in
                this.onLoop { $0.entered(session, ticket, entrance) }
            }
        }
    }

    /// The session is in the table, or may not be.
    private func entered(_ session: Session, _ ticket: RouteTicket, _ entrance: SessionTable.Entrance) {
        switch entrance {
        case .entered(let tookOver):
            guard !self.hasEnded, self.machine.session?.epoch == session.epoch else {
                self.context.sessions.leave(session)
                self.context.sessions.claimEnded(session.di)
                self.context.keeper.abandon(ticket)
                return self.answerGrant()
            }
            self.isEntered = true
            self.connection?.becomeKnown()
            self.context.keeper.began(ticket)
            self.context.keeper.noteSignedIn(session, peer: self.connection?.peerAddress ?? "unknown")
            self.context.metrics.sessionBegan(tookOver: tookOver)
            self.noteFlapping(session)
            self.answerGrant()
            // Now that the device has its answer it may be asked what came early.
            self.context.sessions.claimEnded(session.di)
            self.linksMayBeOthers()
        case .beaten:
            self.context.sessions.claimEnded(session.di)
            self.context.routes.drop(session.di, pod: self.context.keeper.pod, epoch: session.epoch)
            guard self.machine.session?.epoch == session.epoch else { return }
            _ = self.machine.endSession(now: .now())
            self.logSuperseded(session)
        case .revoked:
            self.context.sessions.claimEnded(session.di)
            self.refuse(self.machine.refuseGrant())
        }
    }

    private func answerGrant() {
        guard let (ids, response) = self.machine.entered() else { return }
        for id in ids { self.answer(id, response) }
        self.proceed()
    }

    /// The registry granted a sign-in whose right was taken away before the session had begun, or was renewed.
    ///
    /// Not a 4.xx: more may have been taken away at that moment than is remembered, and then this one may stand. The
    /// registry knows, and answers the next sign-in with what is true.
    private func refuse(_ ids: [IncomingID]) {
        if let session = self.machine.endSession(now: .now()) {
            self.ended(session, as: nil)
        }
        let text = "registrations were deleted or replaced meanwhile: sign in again"
        for id in ids { self.answer(id, Response(.serviceUnavailable, diagnostic: text, maxAge: 1)) }
        self.proceed()
    }

    /// Requests that waited behind an identity request.
    private func proceed() {
        while let action = self.machine.next() {
            self.perform(action)
        }
        self.schedule()
    }

    /// The session is over; with `state` nil the device signed out, and its route goes at once.
    /// - Parameters:
    ///   - isSuperseded: the device has a newer session.
    ///   - end: why its connection ended, if that is what ended it.
    func ended(
        _ session: Session, as state: Route.State?, isSuperseded: Bool = false, by end: ConnectionEnd? = nil
    ) {
        self.context.sessions.leave(session)
        let wasMoving = self.moving.isUnderWay
        defer { self.moveEnded(by: end) }
        self.endStanding()
        self.endObserved(with: state == nil ? Relay.signedOut() : isSuperseded ? Relay.superseded() : Relay.offline())
        if self.isEntered {
            self.isEntered = false
            self.context.metrics.sessionEnded()
            if !isSuperseded {
                let why = wasMoving ? "it was asked to connect anew" : "its connection is gone"
                self.context.keeper.noteSignedOut(session, state == nil ? "signed out" : why)
            }
        }
        self.connection?.withdrawQueued()
        let pod = self.context.keeper.pod
        if let state {
            self.context.routes.mark(session.di, pod: pod, epoch: session.epoch, as: state)
        } else {
            self.context.routes.drop(session.di, pod: pod, epoch: session.epoch)
        }
    }

    /// The device has signed in elsewhere: the newest sign-in wins.
    /// - Parameter ended: called in between: nothing is written for this session any more, and what waits for it is not
    ///   given back yet, so that it finds whom it enters.
    func supersede(_ session: Session, ended: () -> Void) {
        guard self.machine.session?.epoch == session.epoch, let over = self.machine.endSession(now: .now()) else {
            return ended()
        }
        ended()
        // The route is the winner's, so marking it does nothing here.
        self.ended(over, as: .left, isSuperseded: true)
        self.logSuperseded(session)
    }

    private func logSuperseded(_ session: Session) {
        self.logger.info(
            "session superseded",
            metadata: .init([.deviceID: session.di.text, .peerAddress: self.connection?.peerAddress]))
        self.connection?.abort("superseded by a newer sign-in of this device")
    }

    /// The right to the session was taken away.
    func revoke(_ session: Session, reason: String) {
        guard self.machine.session?.epoch == session.epoch, let ended = self.machine.endSession(now: .now()) else {
            return
        }
        self.ended(ended, as: nil)
        // A device that signs up anew on the connection of its old session must have the answer, and signs in next.
        guard !self.machine.isAccountAsked else { return self.schedule() }
        self.connection?.abort(reason)
    }
}

extension Response {
    /// The registry's answer as a device may see it: that it could not be asked is for now, and never the device's
    /// fault.
    var fromRegistry: Response {
        guard !self.isFromPod || self.code == .gatewayTimeout || self.code == .badGateway else { return self }
        let text = self.diagnostic ?? "the registry cannot be reached"
        return Response(.serviceUnavailable, diagnostic: text, maxAge: self.options.maxAge ?? 5)
    }
}
