import Cloud
import CoAP
import CoAPTransport
import NIOCore

/// A device of a fleet: carries out what its `FleetDevice` decides. Lives on one event loop.
final class FleetPeer {
    let index: Int
    let di: String
    private let loop: FleetLoop
    private var machine: FleetDevice
    private var light = FleetLight()
    private(set) var tokens: Tokens?
    private var code: Secret?

    /// The connection there is.
    private var line: FleetLine?
    /// When the one that is being opened was begun.
    private var dialledAt: ContinuousClock.Instant?
    private var connections = 0
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

    /// What observers are told, for each of them.
    func notify() {
        guard let line = self.line, let connection = line.connection else { return }
        for id in line.observers {
            var response = self.light.change(di: self.di)
            response.options.observe = 0
            connection.respond(to: id, with: response)
            self.loop.counts.notifications += 1
        }
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

    func received(_ request: Request, id: IncomingID, on line: FleetLine) {
        guard line === self.line else { return }
        self.loop.counts.requests += 1
        let answer = self.light.respond(to: request, di: self.di)
        let path = (request.options.path ?? []).joined(separator: "/")
        func note(_ kind: FleetEvent.Kind, _ code: Code? = nil) {
            guard self.loop.history != nil else { return }
            var event = FleetEvent(kind, di: self.di, connection: line.number)
            event.request = "\(request.method) /\(path)"
            event.queryMark = answer.queryMark
            event.bodyMark = answer.bodyMark
            event.code = code
            self.loop.history?.note(event)
        }
        note(.delivered)
        var response = answer.response
        if request.registers, answer.isLight, response.code.isSuccess {
            response.options.observe = 0
            line.observed(by: id)
        }
        let setup = self.loop.setup
        guard let delay = self.machine.answerDelay(share: setup.delayShare, delay: setup.delay) else {
            line.connection?.respond(to: id, with: response)
            self.loop.counts.answers += 1
            return note(.answered, response.code)
        }
        self.loop.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) {
            guard line === self.line, let connection = line.connection else { return note(.unanswered) }
            connection.respond(to: id, with: response)
            self.loop.counts.answers += 1
            note(.answered, response.code)
        }
    }

    // MARK: - Carrying out

    private func happened(_ event: (FleetPeer) -> FleetDevice.Action) {
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
        let target = self.loop.setup.targets[(self.index + self.connections) % self.loop.setup.targets.count]
        self.connections += 1
        let number = self.connections
        self.dialledAt = .now
        let bound = NIOLoopBound(self, eventLoop: self.loop.eventLoop)
        let dialled = self.loop.dialer.connect(
            host: target.address.host, port: target.address.port, transport: target.transport,
            timeout: TimeAmount(timeout), on: self.loop.eventLoop
        ) {
            FleetLine(bound.value, number: number)
        }
        // That it succeeds shows where the line opens.
        dialled.assumeIsolated().whenFailure { error in
            if number == self.connections { self.notConnected(error, target.address) }
        }
    }

    private func notConnected(_ error: any Error, _ address: ServerAddress) {
        guard self.dialledAt != nil, !self.loop.isStopping else { return }
        self.dialledAt = nil
        let failure =
            (error as? TransportError).map { ConnectFailure($0, address) }
            ?? ConnectFailure(.other, message: "\(error)")
        self.fail(
            FleetStep.connect.rawValue, failure.code.cause,
            notice:
                "\(address): \(failure.message). \(Advice.connecting(to: address, failure, again: "The devices try again"))"
        )
        self.happened { $0.machine.connectFailed(now: .now) }
    }

    // MARK: - Asking the cloud

    private func send(_ step: FleetStep, _ timeout: Duration) {
        guard let line = self.line, let connection = line.connection else {
            return self.happened {
                $0.machine.answered(step, .connectionLost, canRefresh: $0.tokens != nil, now: .now)
            }
        }
        guard let request = self.request(for: step) else {
            return self.happened { $0.machine.answered(step, .impossible, canRefresh: false, now: .now) }
        }
        let start = ContinuousClock.now
        let bound = NIOLoopBound((self, line), eventLoop: self.loop.eventLoop)
        connection.send(request, deadline: .now() + TimeAmount(timeout)) { result in
            let (peer, line) = bound.value
            peer.answered(step, result, on: line, since: start)
        }
        if self.loop.setup.quirks.contains(.duplicateRequests) {
            connection.send(request, deadline: .now() + TimeAmount(timeout)) { _ in }
        }
    }

    private func request(for step: FleetStep) -> Request? {
        switch step {
        case .provision, .connect:
            nil
        case .signUp:
            self.code.map { CloudRequest.signUp(di: self.di, uid: "", code: $0) }
        case .refresh:
            self.tokens.map { CloudRequest.refresh(di: self.di, uid: $0.uid, refreshToken: $0.refreshToken) }
        case .signIn:
            self.tokens.map {
                CloudRequest.session(di: self.di, uid: $0.uid, accessToken: $0.accessToken, login: true)
            }
        case .publish:
            CloudRequest.publish(di: self.di, links: self.loop.links)
        }
    }

    private func answered(
        _ step: FleetStep, _ result: Result<Response, ExchangeError>, on line: FleetLine,
        since start: ContinuousClock.Instant
    ) {
        // What a connection the device has left still says is nothing to it.
        guard line === self.line, !self.loop.isStopping else { return }
        let answer: ReconnectPlan.Answer
        switch result {
        case .success(let response) where response.code.isSuccess:
            do throws(UnusableAnswer) {
                answer = .success(expiresIn: try self.take(response, of: step))
                self.loop.succeeded(step, after: .now - start)
            } catch {
                self.fail(step.rawValue, "unusable answer", notice: error.description)
                answer = .none
            }
        case .success(let response):
            self.fail(step.rawValue, "refused with \(response.code)", notice: self.advice(step, response))
            self.note(.refused, line, detail: step.rawValue, code: response.code)
            answer = .refused(code: response.code.rawValue, maxAge: response.options.maxAge)
        case .failure(let error):
            answer = self.failed(step, error)
        }
        if step == .signIn, case .success = answer { self.sessionBegan(line) }
        self.happened { $0.machine.answered(step, answer, canRefresh: $0.tokens != nil, now: .now) }
    }

    private func failed(_ step: FleetStep, _ error: ExchangeError) -> ReconnectPlan.Answer {
        switch error.failure {
        case .connectionLost, .closing:
            // Counted once, where the connection ends.
            return .connectionLost
        case .timedOut: self.fail(step.rawValue, "no answer")
        case .queueFull: self.fail(step.rawValue, "too many waiting")
        case .tooLarge: self.fail(step.rawValue, "too large for the cloud")
        case .unusableResponse: self.fail(step.rawValue, "unusable answer")
        }
        return .none
    }

    /// - Returns: seconds the access token lives, negative for ever; 0 where the answer does not say.
    private func take(_ response: Response, of step: FleetStep) throws(UnusableAnswer) -> Int64 {
        switch step {
        case .provision, .connect:
            return 0
        case .signUp, .refresh:
            let login = try CloudAnswer.login(
                response, uid: step == .refresh ? self.tokens?.uid : nil, now: SystemWallClock().now())
            self.tokens = login.tokens
            self.code = nil
            return login.expiresIn
        case .signIn:
            return try CloudAnswer.session(response)
        case .publish:
            _ = try CloudAnswer.published(response, hrefs: FleetLight.hrefs(self.loop.setup.links))
            return 0
        }
    }

    private func advice(_ step: FleetStep, _ response: Response) -> String {
        let text = response.payload.flatMap { String(validating: $0.readableBytesView, as: UTF8.self) } ?? ""
        let advice =
            switch (step, response.code) {
            case (.signUp, .unauthorized), (.signUp, .forbidden):
                "Another user may have a device of this id: --prefix gives the fleet other ids."
            case (.refresh, .unauthorized), (.signIn, .unauthorized):
                "The tokens may be out of date: without the file of --state the devices sign up again."
            default: ""
            }
        return "\(self.di): \(sanitized(text, limit: 200)) \(advice)"
    }

    private var credentials: ReconnectPlan.Credentials {
        ReconnectPlan.Credentials(
            isPermanent: self.tokens?.isPermanent ?? false, canRefresh: self.tokens != nil)
    }

    // MARK: - Sessions

    private func sessionBegan(_ line: FleetLine) {
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

    private func fail(_ what: String, _ cause: String, notice: String? = nil) {
        guard !self.loop.isStopping else { return }
        self.loop.failed(FleetFailure(what, cause), notice: notice)
    }

    private func note(_ kind: FleetEvent.Kind, _ line: FleetLine?, detail: String? = nil, code: Code? = nil) {
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
        case .exhausted: "no more open files or ports"
        case .unusableCertificates: "own certificates unusable"
        case .other: "failed"
        }
    }
}
