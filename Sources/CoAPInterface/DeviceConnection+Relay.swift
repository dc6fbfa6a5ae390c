import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore
import ServiceShell

// Requests for the device.

extension DeviceConnection {
    /// Where a request goes that was authorised for a user, and perhaps for one session.
    enum RelayTarget {
        case session(Session, CoAPConnection)
        case refused(Response)
    }

    /// The one place where a request is held against the session, at the moment of writing.
    func relayTarget(of request: Request, di: DeviceID) -> RelayTarget {
        guard let session = self.machine.session, session.di == di, let connection = self.connection,
            let fence = request.options.fence, fence.uid == session.uid.text
        else { return .refused(Relay.offline()) }
        guard fence.epoch == 0 || fence.epoch == session.epoch else {
            return .refused(Relay.superseded())
        }
        // Undelivered, so that the edge sends it to the next session.
        guard !self.moving.isUnderWay else { return .refused(Relay.moving()) }
        guard !self.context.keeper.fence.holds(confirmed: self.confirmedRevision) else {
            self.context.keeper.assertNow(di)
            return .refused(Relay.moving())
        }
        return .session(session, connection)
    }

    /// Writes a request to the device if the session is still the one it was authorised for.
    /// - Parameter deadline: nil if the request names none.
    func relay(
        _ request: Request, to di: DeviceID, deadline: NIODeadline?, answer: @escaping @Sendable (Response) -> Void
    ) {
        // A task that was queued while the process slept must not be the first to write.
        self.turn?.check(now: .now())
        switch self.relayTarget(of: request, di: di) {
        case .refused(let response):
            answer(response)
        case .session(let session, let connection):
            self.lastWork = .now()
            self.logRelay(request, session)
            let record = self.relayRecord(of: request, session)
            connection.send(
                Relay.towardsDevice(request), deadline: deadline ?? .now() + self.context.requestTimeout
            ) { result in
                let response = Relay.response(for: result)
                record(response)
                answer(response)
            }
        }
    }

    func logRelay(_ request: Request, _ session: Session) {
        self.logger.debug(
            "request for the device",
            metadata: .init([
                .requestID: request.options.requestID ?? "-", .deviceID: session.di.text,
                .sessionID: "\(session.epoch)@\(self.context.keeper.pod.name)",
            ]))
    }

    /// What is to be called with the device's answer, for log and metrics.
    func relayRecord(of request: Request, _ session: Session) -> @Sendable (Response) -> Void {
        let started = ContinuousClock.now
        let accessLog = self.context.relayLog
        let metrics = self.context.metrics
        let requestID = request.options.requestID ?? "-"
        let method = request.method.name ?? "\(request.method)"
        return { response in
            let took = started.duration(to: .now)
            metrics.request(direction: "out", resource: "/{di}/{href}", code: response.code, took: took)
            let outcome = AccessOutcome(response)
            accessLog.record(
                outcome,
                AccessRecord(
                    .coap, requestID: requestID, method: method, path: "/{href}", status: "\(response.code)",
                    device: session.di.text, principal: session.principal, outcome: outcome,
                    duration: took))
        }
    }

    /// What waits for the device is given back: it must not be written before the session is confirmed.
    func withdrawQueued() {
        self.connection?.withdrawQueued()
    }

    /// The store has the session's route, and was asked after the pause of this revision.
    func confirm(_ session: Session, at revision: UInt64) {
        guard self.machine.session?.epoch == session.epoch else { return }
        self.confirmedRevision = max(self.confirmedRevision, revision)
    }

    /// Whether the device answers a Ping in time; with the address of its end.
    func probe(_ session: Session, completion: @escaping @Sendable (_ alive: String?) -> Void) {
        guard self.machine.session?.epoch == session.epoch, let connection = self.connection else {
            return completion(nil)
        }
        let peer = connection.peerAddress
        connection.ping(deadline: .now() + TimeAmount(RouteTimes.contestPing)) { completion($0 ? peer : nil) }
    }
}
