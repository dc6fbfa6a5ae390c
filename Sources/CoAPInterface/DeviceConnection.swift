import Certificates
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
    let context: CoAPInterfaceContext
    /// What the peer has shown in its TLS handshake.
    private var certificate: PeerCertificate?
    var machine: SessionMachine
    var connection: CoAPConnection?
    /// Tells whether our event loop slept.
    var turn: LoopTurn?
    var timer: NIOScheduledCallback?
    var timerDeadline: NIODeadline?
    /// When each request came, for its access line.
    var requests: [IncomingID: RequestLine] = [:]
    var hasEnded = false
    /// How often its identity requests waited too long since one was put to the registry.
    var turnedAway = 0
    /// `SessionTable.revision` when the registry was asked: a right taken away since then outweighs its answer.
    var askedAt: UInt64 = 0
    /// Whether the session is in the table.
    var isEntered = false
    /// Up to which pause of this process the session is confirmed.
    var confirmedRevision: UInt64 = 0
    /// Who observes this device, while it has a session.
    var observations = ObservationTable()
    /// What of them was counted last.
    var countedObservations = (upstream: 0, observers: 0)
    var observers: [ObservationTable.ObserverID: Observer] = [:]
    var upstreams: [ObservationTable.UpstreamID: Upstream] = [:]
    /// What the gateway itself observes, for the states.
    var watch = StateWatch()
    var watched: [WatchedLink: Observer] = [:]
    var watchTimer: Scheduled<Void>?
    var watchDeadline: NIODeadline?
    /// How the session is asked to go elsewhere, and who wants to know how that ends.
    var moving = SessionMove()
    var movers: [@Sendable (MoveNews) -> Void] = []
    /// Before that the session is not moved for balance.
    var movableFrom = NIODeadline.distantFuture
    /// When a request last came from the device, or went to it.
    var lastWork = NIODeadline.now()
    /// What this peer observes.
    var standing: [IncomingID: ObservationHandle] = [:]
    /// Those of them that observe the cloud's own links.
    var links: [IncomingID: LinksObservation] = [:]

    init(context: CoAPInterfaceContext) {
        self.context = context
        self.machine = SessionMachine(limits: context.limits, now: .now())
    }

    var logger: Logger { self.context.logger }

    /// Whether the peer has shown before who it is, by a certificate or a token.
    var isKnown: Bool { self.certificate != nil || self.machine.wasRecognised }

    // MARK: Connection events

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.turn = self.context.watch?.turn(of: connection.eventLoop)
        self.logger.debug("connection opened", metadata: .init([.peerAddress: connection.peerAddress]))
        self.schedule()
    }

    func connectionSecured(with certificate: PeerCertificate?) {
        self.certificate = certificate
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        self.lastWork = .now()
        self.requests[id] = RequestLine(request, session: self.machine.session)
        self.perform(self.machine.received(request, id: id, now: .now()))
    }

    func connectionCancelled(_ id: IncomingID) {
        self.cancelStanding(id)
        // Where it was not even answered, nobody waits for that any more.
        self.record(id, response: nil)
    }

    func connectionReleased(to alternativeAddresses: [String]) {
        // The device is going; until it has, requests for it come back as undelivered, from the connection itself.
        guard let session = self.machine.session else { return }
        self.context.routes.mark(session.di, pod: self.context.keeper.pod, epoch: session.epoch, as: .moving)
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
        case .csm, .pong, .heldPong, .empty, .cancelledObservation:
            break
        case .unmatchedResponse, .unknownSignal, .unassignedClass, .afterClose, .suppressedReply, .omittedPing,
            .omittedRelease:
            self.logger.debug(
                "message ignored",
                metadata: .init([.reason: message.rawValue, .peerAddress: self.connection?.peerAddress]))
        }
    }

    func connectionEnded(_ end: ConnectionEnd) {
        self.hasEnded = true
        self.timer?.cancel()
        self.watchTimer?.cancel()
        for id in Array(self.standing.keys) { self.cancelStanding(id) }
        if let session = self.machine.endSession(now: .now()) {
            self.ended(session, as: .left, by: end)
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

    func perform(_ action: SessionMachine.RequestAction) {
        switch action {
        case .answer(let id, let response):
            self.answer(id, response)
        case .wait:
            break
        case .identify(let id, let request):
            let device = self.machine.session?.di.text
            if let refusal = CertificateRule.refusal(of: request, certificate: self.certificate, session: device) {
                return self.identityAnswered(refusal)
            }
            self.identify(request, id: id)
        case .direct(let id, let request) where request.registers && request.options.path == ["oic", "res"]:
            self.observeLinks(self.annotated(request, id: id), id: id)
        case .direct(let id, let request):
            self.ask(self.context.registry, self.annotated(request, id: id)) { this, response in
                if response.code.isSuccess { this.linksMayHaveChanged(by: request) }
                this.answer(id, response.fromRegistry)
            }
        case .relay(let id, let request, let session):
            var request = request
            request.options.fence = Fence(uid: session.uid.text)
            request.options.requestID = self.requests[id]?.requestID
            request.options.endpoint = self.endpoint(for: request)
            request.options.deadlineMilliseconds = UInt32(
                clamping: self.context.requestTimeout.nanoseconds / 1_000_000)
            if request.registers { return self.observe(request, id: id) }
            self.ask(self.context.edge, request) { this, response in
                this.answer(id, response)
            }
        }
    }

    /// The one place where an answer from elsewhere comes back to this event loop.
    func ask(
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
    func annotated(_ request: Request, id: IncomingID) -> Request {
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
    func endpoint(for request: Request) -> String? {
        guard let connection = self.connection else { return nil }
        let scheme = connection.arrival.scheme
        if let configured = self.context.publicEndpoints.endpoint(for: scheme) { return configured }
        guard let local = connection.dialledAddress, let port = local.port else { return nil }
        if let host = request.options.first(.uriHost)?.string,
            host.utf8.allSatisfy({ $0.isHostCharacter }), !host.isEmpty
        {
            let named = request.options.first(.uriPort)?.uint ?? UInt64(port)
            return "\(scheme.rawValue)://\(host):\(named)"
        }
        return local.hostAndPort.map { "\(scheme.rawValue)://\($0)" }
    }

    func answer(_ id: IncomingID, _ response: Response) {
        // In this order: the answer may be the last thing the connection waited for, and then it ends here and now.
        self.record(id, response: response)
        self.connection?.respond(to: id, with: response)
        if self.machine.answered(response.code) {
            self.connection?.abort("too many refused requests: sign in with a valid token, or reconnect later")
        }
        self.schedule()
    }

    // MARK: Time

    func schedule() {
        guard !self.hasEnded, let connection = self.connection else { return }
        let isUnreachable = self.machine.isOver(now: .now()) && self.context.isRegistryUnreachable()
        switch self.machine.deadlineReached(now: .now(), isRegistryUnreachable: isUnreachable) {
        case .wait(until: nil):
            break
        case .wait(until: .some(let time)):
            // To cancel a timer costs a search through all timers of the event loop, and this comes with every answer:
            // one that fires early costs one look.
            if let timerDeadline = self.timerDeadline, timerDeadline <= time { return }
            self.timer?.cancel()
            self.timerDeadline = time
            self.timer = try? connection.eventLoop.assumeIsolated().scheduleCallback(at: time, handler: self)
        case .expired(let session):
            self.logger.debug("session expired", metadata: .init([.deviceID: session.di.text]))
            self.ended(session, as: .left)
            self.schedule()
        case .close(let reason):
            connection.close(reason: reason)
        }
    }

    // MARK: The access log

    func record(_ id: IncomingID, response: Response?) {
        guard let line = self.requests.removeValue(forKey: id) else { return }
        // Emptied it would keep its memory.
        if self.requests.isEmpty { self.requests = [:] }
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

extension DeviceConnection: NIOScheduledCallbackHandler {
    func handleScheduledCallback(eventLoop: some EventLoop) {
        self.timer = nil
        self.timerDeadline = nil
        self.schedule()
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
