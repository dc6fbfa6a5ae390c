import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore

/// The dialling end of one connection: connect, prove, then send. Lives on one event loop.
final class HopLink {
    enum Change {
        case opened
        /// It never opened.
        case failed(String)
        /// The other side has asked us to leave: what is in flight goes on, nothing new is sent.
        case draining
        /// This request found the connection on its way out: not a byte of it was sent, and another has to take it.
        case returned(HopRequest)
        case ended
    }

    private enum Phase {
        case opening
        case open(HopWindow)
        case draining
        case over
    }

    private struct Waiting {
        let request: HopRequest
        let timer: Scheduled<Void>
    }

    let target: HopTarget
    private let eventLoop: any EventLoop
    private let limits: HopLimits
    private let changed: (HopLink, Change) -> Void

    private var phase = Phase.opening
    private var proof: InitiatorProof
    private var connection: CoAPConnection?
    /// Set first of all in `dial`.
    private(set) var bound: NIOLoopBound<HopLink>?

    private var waiting: [UInt64: Waiting] = [:]
    private var nextWaiting: UInt64 = 0
    private var waitingUse = WindowUse()
    private var use = WindowUse()
    var lastUsed = NIODeadline.now()
    var observed: [UInt64: Observed] = [:]
    var nextObserved: UInt64 = 0

    init(
        target: HopTarget, eventLoop: any EventLoop, limits: HopLimits, secrets: ClusterSecrets, me: HopPeer,
        changed: @escaping (HopLink, Change) -> Void
    ) {
        self.target = target
        self.eventLoop = eventLoop
        self.limits = limits
        self.changed = changed
        self.proof = InitiatorProof(secrets: secrets, me: me, target: target.name, random: SystemRandomSource())
    }

    /// When it has nothing to do: since when.
    var idleSince: NIODeadline? {
        guard case .open = self.phase, self.use.requests == 0, self.observed.isEmpty else { return nil }
        return self.lastUsed
    }

    var isLeaving: Bool {
        if case .open = self.phase { false } else { true }
    }

    // MARK: Opening

    func dial(with dialer: CoAPDialer, tls: HopTLS?) {
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.bound = bound
        let target = self.target
        dialer.connect(
            host: target.host, port: target.port, timeout: self.limits.connectTimeout, on: self.eventLoop,
            prepare: { channel in
                if let tls {
                    try channel.pipeline.syncOperations.addHandler(tls.clientHandler(for: target))
                }
            },
            makeDelegate: { Attempt(link: bound.value) }
        ).assumeIsolated().whenFailure { error in
            self.fail("\(error)")
        }
    }

    /// False if this one is not wanted any more.
    fileprivate func connectionOpened(_ connection: CoAPConnection) -> Bool {
        guard case .opening = self.phase, self.connection == nil else { return false }
        self.connection = connection
        self.prove(self.proof.hello, connection)
        return true
    }

    private func prove(_ request: Request, _ connection: CoAPConnection) {
        guard let bound = self.bound else { return }
        connection.send(request, deadline: .now() + self.limits.proofTimeout) { result in
            bound.value.proofAnswered(result, connection)
        }
    }

    private func proofAnswered(_ result: Result<Response, ExchangeError>, _ connection: CoAPConnection) {
        guard case .opening = self.phase else { return }
        switch result {
        case .failure(let error):
            // Why the connection was lost is known when it ends.
            if error.failure != .connectionLost { self.fail("the proof was not answered in time") }
        case .success(let response):
            switch self.proof.received(response) {
            case .send(let request): self.prove(request, connection)
            case .proven(let window): self.open(window, connection)
            case .refused(let refusal): self.fail(refusal.description)
            }
        }
    }

    private func open(_ window: HopWindow, _ connection: CoAPConnection) {
        self.phase = .open(window)
        self.lastUsed = .now()
        connection.takeLargeMessages(self.limits.initiator.limits)
        self.changed(self, .opened)
        for (_, waiting) in self.takeWaiting() {
            self.send(waiting.request)
        }
    }

    private func takeWaiting() -> [(UInt64, Waiting)] {
        let all = self.waiting.sorted { $0.key < $1.key }
        self.waiting = [:]
        self.waitingUse = WindowUse()
        all.forEach { $0.value.timer.cancel() }
        return all.map { ($0.key, $0.value) }
    }

    private func fail(_ reason: String) {
        guard case .opening = self.phase else { return }
        self.phase = .over
        self.connection?.close(reason: reason)
        self.connection = nil
        self.changed(self, .failed(reason))
        for (_, waiting) in self.takeWaiting() {
            waiting.request.answer(HopOutcome.unreachable(reason).response)
        }
        self.bound = nil
    }

    // MARK: Requests

    /// Takes a request: it waits while the connection opens.
    func take(_ request: HopRequest) {
        switch self.phase {
        case .opening: self.wait(request)
        case .open: self.send(request)
        case .draining, .over: request.answer(HopOutcome.unreachable("the connection is about to end").response)
        }
    }

    private func wait(_ request: HopRequest) {
        guard self.waitingUse.take(request.size, of: self.limits.waiting) else {
            request.answer(HopOutcome.windowFull.response)
            return
        }
        self.nextWaiting += 1
        let id = self.nextWaiting
        let timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: request.deadline) {
            guard let late = self.waiting.removeValue(forKey: id) else { return }
            self.waitingUse.give(back: late.request.size)
            late.request.answer(HopOutcome.late.response)
        }
        self.waiting[id] = Waiting(request: request, timer: timer)
    }

    private func send(_ hop: HopRequest) {
        guard case .open(let window) = self.phase, let connection = self.connection, let bound = self.bound else {
            hop.answer(HopOutcome.unreachable("the connection was lost").response)
            return
        }
        let observation = hop.observation?.value
        guard observation?.isOver != true else { return }
        let now = NIODeadline.now()
        let left = (hop.deadline - now).nanoseconds / 1_000_000
        guard left > 0 else {
            hop.answer(HopOutcome.late.response)
            return
        }
        guard self.use.take(hop.size, of: window) else {
            hop.answer(HopOutcome.windowFull.response)
            return
        }
        self.lastUsed = now
        var request = hop.request
        request.options.deadlineMilliseconds = UInt32(clamping: left)
        if let observation {
            self.observe(hop, observation, request, on: connection)
        } else {
            connection.send(request, deadline: hop.deadline) { result in
                bound.value.sent(hop, result)
            }
        }
    }

    private func sent(_ hop: HopRequest, _ result: Result<Response, ExchangeError>) {
        self.giveBack(hop)
        switch result {
        case .success(let response): hop.answer(response)
        case .failure(let error): self.failed(hop, error)
        }
    }

    func giveBack(_ hop: HopRequest) {
        self.use.give(back: hop.size)
        self.lastUsed = .now()
    }

    func failed(_ hop: HopRequest, _ error: ExchangeError) {
        if error.failure == .connectionLost || error.failure == .closing {
            // Whoever hears of the loss may ask again at once, and must not meet this connection.
            self.leave()
        }
        switch error.failure {
        case .closing:
            self.changed(self, .returned(hop))
        case .timedOut:
            // It was handed to the channel, and if the peer takes its bytes yet, nobody can keep them back.
            hop.answer(HopOutcome.noAnswer.response)
        case .connectionLost, .queueFull, .tooLarge, .unusableResponse:
            hop.answer(HopOutcome(error).response)
        }
    }

    private func leave() {
        guard case .open = self.phase else { return }
        self.phase = .draining
        self.changed(self, .draining)
    }

    // MARK: The end

    /// Closes at once. What is in flight ends as far as it had come.
    func close(reason: String) {
        if case .opening = self.phase {
            self.fail(reason)
        } else {
            self.connection?.close(reason: reason)
        }
    }

    fileprivate func connectionReleased() {
        switch self.phase {
        case .opening:
            self.fail("the other side is stopping")
        case .open, .draining, .over:
            self.leave()
            self.endObservations()
        }
    }

    fileprivate func connectionEnded(_ end: ConnectionEnd) {
        switch self.phase {
        case .opening:
            self.fail("the connection ended before the proof: \(end)")
        case .open, .draining:
            self.phase = .over
            self.changed(self, .ended)
        case .over:
            break
        }
        self.connection = nil
        self.bound = nil
    }
}

/// One attempt to connect: a name with several addresses makes several, and one of them becomes the link's connection.
private final class Attempt: ConnectionDelegate {
    private let link: HopLink
    private var connection: CoAPConnection?

    init(link: HopLink) {
        self.link = link
    }

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        if !self.link.connectionOpened(connection) {
            self.connection = nil
            connection.close(reason: "another connection is in its place")
        }
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        // Only the side that dialled asks.
        self.connection?.respond(to: id, with: Response(.notFound, diagnostic: "this side serves no resources"))
    }

    func connectionReleased(to alternativeAddresses: [String]) {
        if self.connection != nil { self.link.connectionReleased() }
    }

    func connectionIgnored(_ message: IgnoredMessage) {}

    func connectionEnded(_ end: ConnectionEnd) {
        guard self.connection != nil else { return }
        self.connection = nil
        self.link.connectionEnded(end)
    }
}
