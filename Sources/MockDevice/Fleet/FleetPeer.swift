import Cloud
import CoAP
import CoAPTransport
import NIOCore

/// A device of a fleet: carries out what its `FleetDevice` decides. Lives on one event loop.
final class FleetPeer {
    let index: Int
    let di: String
    let loop: FleetLoop
    var machine: FleetDevice
    var light: FleetLight
    var tokens: Tokens?
    var code: Secret?

    /// The connection there is.
    var line: FleetLine?
    /// When the one that is being opened was begun.
    private var dialledAt: ContinuousClock.Instant?
    private var connections = 0
    /// Where a Release asked it to connect to: for one attempt.
    private var alternative: FleetSetup.Target?
    private var hasSession = false
    private var wasEverSignedIn = false
    private var beganAt: ContinuousClock.Instant?
    private var lostAt: ContinuousClock.Instant?
    private var pingedAt: ContinuousClock.Instant?
    private var timer: Scheduled<Void>?
    private var timerAt: ContinuousClock.Instant?

    init(index: Int, loop: FleetLoop, machine: FleetDevice, tokens: Tokens?) {
        self.index = index
        self.di = loop.setup.di(index)
        self.loop = loop
        self.machine = machine
        self.light = FleetLight(padding: loop.setup.padding)
        self.tokens = tokens
    }

    var hasPublished: Bool { self.machine.hasPublished }

    // MARK: - Events from the loop

    func begin() {
        guard !self.loop.isStopping else { return }
        let now = ContinuousClock.now
        self.beganAt = now
        self.loop.counts.begun += 1
        self.perform(self.machine.begin(now: now))
        self.schedule()
    }

    /// Ends all of it, with a word to the cloud.
    func stop() {
        self.timer?.cancel()
        self.timer = nil
        guard let line = self.line else { return }
        line.connection?.release()
        self.drop(line, because: "the run ends")
    }

    /// A slow reader looks into its socket.
    func readSlowly() {
        if self.hasSession { self.line?.connection?.channel.read() }
    }

    // MARK: - Events from the connection

    func opened(_ line: FleetLine) {
        // Of several addresses one more may answer than is needed.
        guard line.number == self.connections, let dialledAt = self.dialledAt, !self.loop.isStopping else {
            line.connection?.close(reason: "not wanted")
            return
        }
        self.dialledAt = nil
        self.loop.succeeded(.connect, after: .now - dialledAt)
        self.line = line
        self.loop.counts.connections += 1
        self.loop.counts.connected += 1
        self.note(.connected, line)
        self.happened { $0.machine.connected(hasCSM: line.hasCSM, credentials: $0.credentials, now: .now) }
    }

    func receivedCSM(_ line: FleetLine) {
        guard line === self.line else { return }
        self.happened { $0.machine.receivedCSM(credentials: $0.credentials) }
    }

    func receivedPong(_ line: FleetLine) {
        guard line === self.line else { return }
        if let pingedAt = self.pingedAt { self.loop.latencies.record(.ping, .now - pingedAt) }
        self.pingedAt = nil
        self.machine.receivedPong()
        self.schedule()
    }

    func ignoredRelease(_ line: FleetLine) {
        self.loop.counts.releases += 1
        self.note(.released, line)
    }

    func released(_ line: FleetLine) {
        guard line === self.line else { return }
        self.loop.counts.releases += 1
        self.note(.released, line)
        if self.loop.setup.profile.heedsAlternativeAddress { self.alternative = line.alternative }
        switch self.machine.released(now: .now) {
        case .answerFirst:
            break
        case .close:
            self.drop(line, because: FleetDevice.Leaving.released.rawValue)
            self.schedule()
        }
    }

    func ended(_ line: FleetLine, _ end: ConnectionEnd) {
        guard line === self.line else { return }
        self.line = nil
        self.loop.counts.connected -= 1
        self.sessionEnded()
        let holdOff: UInt32?
        if case .released(let seconds) = end { holdOff = seconds } else { holdOff = nil }
        let loss = ConnectionLoss(end)
        self.note(.closed, line, detail: loss.cause)
        if !line.wasReleased { self.fail("connection", loss.cause) }
        let wasAborted = if case .aborted = loss { true } else { false }
        self.happened {
            $0.machine.connectionEnded(holdOffSeconds: holdOff, wasAborted: wasAborted, now: .now)
        }
    }

    // MARK: - Carrying out

    func happened(_ event: (FleetPeer) -> FleetDevice.Action) {
        guard !self.loop.isStopping else { return }
        self.perform(event(self))
        self.schedule()
    }

    private func perform(_ action: FleetDevice.Action) {
        switch action {
        case .nothing: break
        case .provision: self.provision()
        case .connect(let timeout): self.connect(timeout)
        case .send(let step, let timeout): self.send(step, timeout)
        case .ping:
            self.loop.counts.pings += 1
            self.pingedAt = .now
            self.line?.connection?.ping()
        case .close(let why):
            guard let line = self.line else { return }
            if why == .noPong || why == .noCSM { self.fail("connection", why.rawValue) }
            self.drop(line, because: why.rawValue)
        case .giveUp(let step):
            self.loop.counts.gaveUp += 1
            self.note(.gaveUp, self.line, detail: step.rawValue)
            if let line = self.line { self.drop(line, because: "gave up") }
        }
    }

    /// One timer a device, for whatever comes next. One that fires early costs a look.
    private func schedule() {
        guard !self.loop.isStopping, let next = self.machine.nextDeadline else { return }
        if self.timer != nil, let timerAt = self.timerAt, timerAt <= next { return }
        self.timer?.cancel()
        self.timerAt = next
        self.timer = self.loop.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(max(next - .now, .zero))) {
            self.timer = nil
            self.timerFired()
        }
    }

    private func timerFired() {
        while !self.loop.isStopping {
            let action = self.machine.deadlineReached(now: .now)
            guard action != .nothing else { break }
            self.perform(action)
        }
        self.schedule()
    }

    private func provision() {
        guard let provisioning = self.loop.provisioning else {
            self.fail(FleetStep.provision.rawValue, "no --northbound")
            return self.perform(self.machine.provisioningFailed(isFinal: true, now: .now))
        }
        let bound = NIOLoopBound(self, eventLoop: self.loop.eventLoop)
        provisioning.ask(for: self.di) { result, duration in
            bound.onLoop { $0.provisioned(result, duration) }
        }
    }

    private func provisioned(_ result: Result<Secret, ProvisioningFailure>, _ duration: Duration) {
        guard !self.loop.isStopping else { return }
        switch result {
        case .success(let code):
            self.loop.succeeded(.provision, after: duration)
            self.code = code
            self.happened { $0.machine.provisioned(now: .now) }
        case .failure(let failure):
            self.fail(FleetStep.provision.rawValue, failure.cause, notice: failure.detail)
            self.happened { $0.machine.provisioningFailed(isFinal: failure.isFinal, now: .now) }
        }
    }

    private func connect(_ timeout: Duration) {
        let target =
            self.alternative
            ?? self.loop.setup.targets[(self.index + self.connections) % self.loop.setup.targets.count]
        self.alternative = nil
        self.connections += 1
        let number = self.connections
        self.dialledAt = .now
        let bound = NIOLoopBound(self, eventLoop: self.loop.eventLoop)
        guard OpenFiles.haveRoom() else {
            // In a turn of its own, as any other failure.
            return self.loop.eventLoop.execute {
                let peer = bound.value
                guard number == peer.connections else { return }
                let message = "\(target.address): all but the last files this process may open are in use"
                peer.notConnected(ConnectFailure(.exhausted, message: message), target.address)
            }
        }
        let dialled = self.loop.dialer.connect(
            host: target.address.host, port: target.address.port, transport: target.transport,
            timeout: TimeAmount(timeout), on: self.loop.eventLoop
        ) {
            FleetLine(bound.value, number: number, to: target)
        }
        // That it succeeds shows where the line opens.
        dialled.assumeIsolated().whenFailure { error in
            guard number == self.connections else { return }
            let failure = (error as? TransportError).map { ConnectFailure($0, target.address) }
            self.notConnected(failure ?? ConnectFailure(.other, message: "\(error)"), target.address)
        }
    }

    private func notConnected(_ failure: ConnectFailure, _ address: ServerAddress) {
        guard self.dialledAt != nil, !self.loop.isStopping else { return }
        self.dialledAt = nil
        self.fail(
            FleetStep.connect.rawValue, failure.code.cause,
            notice:
                "\(address): \(failure.message). \(Advice.connecting(to: address, failure, again: "The devices try again"))"
        )
        self.happened { $0.machine.connectFailed(now: .now) }
    }

    private var credentials: ReconnectPlan.Credentials {
        ReconnectPlan.Credentials(
            isPermanent: self.tokens?.isPermanent ?? false, canRefresh: self.tokens != nil)
    }

    // MARK: - Sessions

    func sessionBegan(_ line: FleetLine) {
        self.note(.signedIn, line)
        // A token that was renewed in the middle of a session is no new one.
        guard !self.hasSession else { return }
        let now = ContinuousClock.now
        self.hasSession = true
        self.loop.counts.signedIn += 1
        if !self.wasEverSignedIn {
            self.wasEverSignedIn = true
            self.loop.counts.everSignedIn += 1
            if let beganAt = self.beganAt { self.loop.latencies.record(.firstSession, now - beganAt) }
        } else if let lostAt = self.lostAt {
            self.loop.latencies.record(.back, now - lostAt)
        }
        if self.loop.setup.quirks.contains(.slowReader) {
            _ = line.connection?.channel.setOption(.autoRead, value: false)
        }
    }

    private func sessionEnded() {
        guard self.hasSession else { return }
        self.hasSession = false
        self.loop.counts.signedIn -= 1
        self.lostAt = .now
    }

    /// Leaves a connection: nothing of it matters any more.
    private func drop(_ line: FleetLine, because reason: String) {
        self.line = nil
        self.loop.counts.connected -= 1
        self.sessionEnded()
        self.note(.closed, line, detail: reason)
        guard let connection = line.connection else { return }
        if self.loop.setup.quirks.contains(.halfClose) {
            connection.channel.close(mode: .output, promise: nil)
        } else {
            connection.close(reason: reason)
        }
    }

    func fail(_ what: String, _ cause: String, notice: String? = nil) {
        guard !self.loop.isStopping else { return }
        self.loop.failed(FleetFailure(what, cause), notice: notice)
    }

    func note(_ kind: FleetEvent.Kind, _ line: FleetLine?, detail: String? = nil, code: Code? = nil) {
        guard let history = self.loop.history else { return }
        var event = FleetEvent(kind, di: self.di, connection: line?.number ?? self.connections, detail: detail)
        event.code = code
        history.note(event)
    }
}

extension ConnectionLoss {
    /// From a closed set.
    fileprivate var cause: String {
        switch self {
        case .closedByUs: "closed"
        case .closedByPeer: "closed by the cloud"
        case .released: "released"
        case .aborted: "aborted by the cloud"
        case .timedOut: "no Pong"
        case .failed: "broken"
        }
    }
}

extension ConnectFailure.Code {
    fileprivate var cause: String {
        switch self {
        case .unresolvable: "no such name"
        case .refused: "refused"
        case .timedOut: "no answer"
        case .untrusted: "certificate not believed"
        case .notTLS: "no TLS there"
        case .exhausted: "no more open files or ports"
        case .unusableCertificates: "own certificates unusable"
        case .other: "failed"
        }
    }
}
