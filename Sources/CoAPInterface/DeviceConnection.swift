import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore
import ServiceShell

/// One connection of a device or client: obeys `SessionMachine`, asks the registry and the edge, writes the answers.
///
/// Lives on its connection's event loop; `SessionHandle` is the way in from elsewhere.
final class DeviceConnection: ConnectionDelegate {
    private let context: CoAPInterfaceContext
    private var machine: SessionMachine
    private var connection: CoAPConnection?
    private var timer: Scheduled<Void>?
    private var timerDeadline: NIODeadline?
    /// When each request came, for its access line.
    private var requests: [IncomingID: RequestLine] = [:]
    private var hasEnded = false
    /// `SessionTable.revision` when the registry was asked: a right taken away since then outweighs its answer.
    private var askedAt: UInt64 = 0

    init(context: CoAPInterfaceContext) {
        self.context = context
        self.machine = SessionMachine(limits: context.limits, now: .now())
    }

    private var logger: Logger { self.context.logger }

    // MARK: Connection events

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.logger.debug("connection opened", metadata: .init([.peerAddress: connection.peerAddress]))
        self.schedule()
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        self.requests[id] = RequestLine(request, session: self.machine.session)
        self.perform(self.machine.received(request, id: id, now: .now()))
    }

    func connectionReleased() {
        // The device is going; until it has, requests for it come back as undelivered, from the connection itself.
        guard let session = self.machine.session else { return }
        self.context.routes.mark(session.di, pod: self.context.pod, epoch: session.epoch, as: .moving)
    }

    func connectionRefused(with code: Code) {
        self.context.metrics.refused(with: code)
        self.logger.debug(
            "request refused unread",
            metadata: .init([.coapCode: "\(code)", .peerAddress: self.connection?.peerAddress]))
    }

    func connectionIgnored(_ message: IgnoredMessage) {
        self.context.metrics.ignored(message)
        switch message {
        case .csm, .pong, .heldPong, .empty:
            break
        case .unmatchedResponse, .unknownSignal, .unassignedClass, .afterClose, .suppressedReply:
            self.logger.debug(
                "message ignored",
                metadata: .init([.reason: message.rawValue, .peerAddress: self.connection?.peerAddress]))
        }
    }

    func connectionEnded(_ end: ConnectionEnd) {
        self.hasEnded = true
        self.timer?.cancel()
        if let session = self.machine.endSession(now: .now()) {
            self.ended(session, as: .left)
        }
        self.context.metrics.connectionEnded(end)
        self.logger.debug(
            "connection ended",
            metadata: .init([.peerAddress: self.connection?.peerAddress, .reason: "\(end)"]))
        for id in self.requests.keys {
            self.record(id, response: nil)
        }
        self.connection = nil
    }

    // MARK: Requests of the peer

    private func perform(_ action: SessionMachine.RequestAction) {
        switch action {
        case .answer(let id, let response):
            self.answer(id, response)
        case .wait:
            break
        case .identify(let id, let request):
            self.askedAt = self.context.sessions.revision
            self.ask(self.context.registry, self.annotated(request, id: id)) { this, response in
                this.identityAnswered(response)
            }
        case .direct(let id, let request):
            self.ask(self.context.registry, self.annotated(request, id: id)) { this, response in
                this.answer(id, response)
            }
        case .relay(let id, let request, let session):
            var request = request
            request.options.fence = Fence(uid: session.uid.text)
            request.options.requestID = self.requests[id]?.requestID
            request.options.endpoint = self.endpoint(for: request)
            request.options.deadlineMilliseconds = UInt32(
                clamping: self.context.requestTimeout.nanoseconds / 1_000_000)
            self.ask(self.context.edge, request) { this, response in
                this.answer(id, response)
            }
        }
    }

    /// The one place where an answer from elsewhere comes back to this event loop.
    private func ask(
        _ responder: any Responder, _ request: Request,
        then: @escaping @Sendable (DeviceConnection, Response) -> Void
    ) {
        guard let eventLoop = self.connection?.eventLoop else { return }
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        responder.respond(to: request) { response in
            this.onLoop { then($0, response) }
        }
    }

    /// The request as the registry wants it: with whose connection it came in on.
    private func annotated(_ request: Request, id: IncomingID) -> Request {
        var request = request
        let session = self.machine.session
        request.options.sessionUser = session?.uid.text
        request.options.sessionDevice = session?.di.text
        request.options.endpoint = self.endpoint(for: request)
        request.options.requestID = self.requests[id]?.requestID
        request.options.deadlineMilliseconds = UInt32(
            clamping: self.context.registryTimeout.nanoseconds / 1_000_000)
        return request
    }

    /// What the peer dialled: `eps` must be that to the letter, or clients open a second connection. What is configured
    /// comes first, then the Uri-Host it sent, then the address its connection came in on.
    private func endpoint(for request: Request) -> String? {
        if let configured = self.context.publicEndpoint { return configured }
        guard let local = self.connection?.channel.localAddress, let port = local.port else { return nil }
        if let host = request.options.first(.uriHost)?.string,
            host.utf8.allSatisfy({ $0.isHostCharacter }), !host.isEmpty
        {
            let named = request.options.first(.uriPort)?.uint ?? UInt64(port)
            return "coap+tcp://\(host):\(named)"
        }
        guard let ip = local.ipAddress else { return nil }
        return local.protocol == .inet6 ? "coap+tcp://[\(ip)]:\(port)" : "coap+tcp://\(ip):\(port)"
    }

    private func answer(_ id: IncomingID, _ response: Response) {
        // In this order: the answer may be the last thing the connection waited for, and then it ends here and now.
        self.record(id, response: response)
        self.connection?.respond(to: id, with: response)
        if self.machine.answered(response.code) {
            self.connection?.abort("too many refused requests: sign in with a valid token, or reconnect later")
        }
        self.schedule()
    }

    // MARK: Sessions

    private func identityAnswered(_ response: Response) {
        guard !self.hasEnded else { return }
        switch self.machine.identityAnswered(response, now: .now()) {
        case .answer(let ids, let response, let ended):
            if let ended { self.ended(ended, as: nil) }
            for id in ids { self.answer(id, response) }
            self.proceed()
        case .claim(let di, let uid, let ended):
            if let ended { self.ended(ended, as: .left) }
            self.claim(di: di, uid: uid)
        }
    }

    private func claim(di: DeviceID, uid: UserID) {
        guard let eventLoop = self.connection?.eventLoop else { return }
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        self.context.routes.claim(di, uid: uid, pod: self.context.pod, floor: 0, replacing: nil) { result in
            this.onLoop { $0.claimed(di: di, result) }
        }
    }

    private func claimed(di: DeviceID, _ result: Result<RouteClaimOutcome, RouteStoreUnavailable>) {
        let epoch: UInt64
        switch result {
        case .success(.claimed(let claim)):
            epoch = claim.route.epoch
        case .success(.contested):
            let text = "two peers sign in as this device in turn: one of them has to stop"
            for id in self.machine.refuseGrant() {
                self.answer(id, Response(.serviceUnavailable, diagnostic: text, maxAge: 60))
            }
            return self.proceed()
        case .failure(let error):
            // A sign-in never fails for want of a route: the epoch comes from the clock, and the route is written
            // later.
            epoch = UInt64(clamping: SystemWallClock().now().milliseconds) * 1000
            self.logger.warning("route not written", metadata: .init([.deviceID: di.text, .error: error.reason]))
        }
        guard !self.hasEnded, let connection = self.connection,
            let (session, ids, response) = self.machine.claimed(epoch: epoch)
        else {
            self.context.routes.drop(di, pod: self.context.pod, epoch: epoch)
            return
        }
        let handle = SessionHandle(
            session: session, connection: NIOLoopBound(self, eventLoop: connection.eventLoop))
        let loser: SessionHandle?
        switch self.context.sessions.enter(handle, askedAt: self.askedAt) {
        case .entered(let other):
            loser = other
        case .revoked:
            return self.refuse(ids)
        }
        self.context.metrics.sessionBegan(tookOver: loser != nil)
        for id in ids { self.answer(id, response) }
        if let loser {
            loser.connection.onLoop { $0.supersede(loser.session) }
        }
        self.proceed()
    }

    /// The registry granted a sign-in whose right was taken away before the session had begun.
    private func refuse(_ ids: [IncomingID]) {
        if let session = self.machine.endSession(now: .now()) {
            self.context.routes.drop(session.di, pod: self.context.pod, epoch: session.epoch)
        }
        let text = "the registration was deleted or replaced meanwhile: sign up again"
        for id in ids { self.answer(id, Response(.unauthorized, diagnostic: text)) }
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
    private func ended(_ session: Session, as state: Route.State?) {
        self.context.sessions.leave(session)
        self.context.metrics.sessionEnded()
        self.connection?.withdrawQueued()
        if let state {
            self.context.routes.mark(session.di, pod: self.context.pod, epoch: session.epoch, as: state)
        } else {
            self.context.routes.drop(session.di, pod: self.context.pod, epoch: session.epoch)
        }
    }

    /// The device has signed in elsewhere: the newest sign-in wins.
    func supersede(_ session: Session) {
        guard self.machine.session?.epoch == session.epoch, let ended = self.machine.endSession(now: .now()) else {
            return
        }
        // What waits for the old session is for the edge to send to the new one, which is in the table already. The
        // route is the winner's, so marking it does nothing here.
        self.ended(ended, as: .left)
        self.logger.info(
            "session superseded",
            metadata: .init([.deviceID: session.di.text, .peerAddress: self.connection?.peerAddress]))
        self.connection?.abort("superseded by a newer sign-in of this device")
    }

    /// The right to the session was taken away.
    func revoke(di: DeviceID, reason: String) {
        guard self.machine.session?.di == di, let ended = self.machine.endSession(now: .now()) else { return }
        self.ended(ended, as: nil)
        // A device that signs up anew on the connection of its old session must have the answer, and signs in next.
        guard !self.machine.isAccountAsked else { return self.schedule() }
        self.connection?.abort(reason)
    }

    // MARK: Requests for the device

    /// Writes a request to the device if the session is still the one it was authorised for.
    func relay(_ request: Request, to di: DeviceID, answer: @escaping @Sendable (Response) -> Void) {
        guard let session = self.machine.session, session.di == di, let connection = self.connection,
            let fence = request.options.fence, fence.uid == session.uid.text
        else { return answer(Relay.offline()) }
        guard fence.epoch == 0 || fence.epoch == session.epoch else {
            return answer(
                Relay.undelivered(.superseded, .serviceUnavailable, "the device has signed in anew; ask again"))
        }
        let started = ContinuousClock.now
        let milliseconds =
            request.options.deadlineMilliseconds.map(Int64.init) ?? self.context.requestTimeout.nanoseconds / 1_000_000
        let accessLog = self.context.relayLog
        let metrics = self.context.metrics
        let requestID = request.options.requestID ?? "-"
        connection.send(Relay.towardsDevice(request), deadline: .now() + .milliseconds(milliseconds)) { result in
            let response = Relay.response(for: result)
            let took = started.duration(to: .now)
            metrics.request(direction: "out", resource: "/{di}/{href}", code: response.code, took: took)
            accessLog.record(
                AccessRecord(
                    .coap, requestID: requestID, method: request.method.name ?? "\(request.method)",
                    path: "/{href}", status: "\(response.code)", device: di.text,
                    principal: session.principal, outcome: AccessOutcome(response),
                    duration: took))
            answer(response)
        }
    }

    // MARK: Time

    private func schedule() {
        guard !self.hasEnded, let connection = self.connection else { return }
        switch self.machine.deadlineReached(now: .now()) {
        case .wait(until: nil):
            break
        case .wait(until: .some(let time)):
            // To cancel a timer costs a search through all timers of the event loop, and this comes with every answer:
            // one that fires early costs one look.
            if let timerDeadline = self.timerDeadline, timerDeadline <= time { return }
            self.timer?.cancel()
            self.timerDeadline = time
            self.timer = connection.eventLoop.assumeIsolated().scheduleTask(deadline: time) {
                self.timerDeadline = nil
                self.schedule()
            }
        case .expired(let session):
            self.logger.debug("session expired", metadata: .init([.deviceID: session.di.text]))
            self.ended(session, as: .left)
            self.schedule()
        case .close(let reason):
            connection.close(reason: reason)
        }
    }

    // MARK: The access log

    private func record(_ id: IncomingID, response: Response?) {
        guard let line = self.requests.removeValue(forKey: id) else { return }
        let took = line.started.duration(to: .now)
        let session = self.machine.session ?? line.session
        if let response {
            self.context.metrics.request(direction: "in", resource: line.path, code: response.code, took: took)
        }
        self.context.accessLog.record(
            AccessRecord(
                .coap, requestID: line.requestID, method: line.method, path: line.path,
                status: response.map { "\($0.code)" }, device: session?.di.text,
                principal: session?.principal,
                outcome: response.map(AccessOutcome.init) ?? .abandoned, duration: took,
                peer: self.connection?.peerAddress))
    }
}

extension UInt8 {
    /// What a host name or address literal is made of (RFC 3986 §3.2.2).
    fileprivate var isHostCharacter: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"),
            UInt8(ascii: "["), UInt8(ascii: "]"):
            true
        default:
            false
        }
    }
}
