import Cloud
import CoAP
import CoAPTransport
import NIOCore

// What a device asks of the cloud, and what becomes of the answers.

extension FleetPeer {
    func send(_ step: FleetStep, _ timeout: Duration) {
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
}
