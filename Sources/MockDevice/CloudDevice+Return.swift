import CoAP

/// How the device comes back: carries out what `ReconnectPlan` decides.
extension CloudDevice {
    func connectionEnded(_ loss: ConnectionLoss) async {
        guard self.connection != nil else { return }
        self.connection = nil
        self.isSignedIn = false
        var holdOff: UInt32?
        var wasAborted = false
        var isNoCloud = false
        switch loss {
        case .released(let seconds): holdOff = seconds
        case .aborted: wasAborted = true
        case .closedByPeer, .failed: isNoCloud = self.wasAsked && !self.wasHeard
        case .closedByUs, .timedOut: break
        }
        self.observer(
            .ended(loss, self.address, isNoCloud: isNoCloud, comesBack: self.plan.isActive)
        )
        await self.follow(
            self.plan.connectionEnded(now: .now, holdOff: holdOff, wasAborted: wasAborted, random: Self.chance())
        )
    }

    func follow(_ first: ReconnectPlan.Action) async {
        var action = first
        while !self.isStopping {
            switch action {
            case .nothing:
                return
            case .wait(let until):
                self.wait(until)
                return
            case .reconnect(let until):
                await self.dropConnection()
                self.wait(until)
                return
            case .connect:
                if await self.ensureConnection() == nil {
                    action = self.plan.connectFailed(now: .now, random: Self.chance())
                } else {
                    action = self.plan.connected(self.credentials)
                }
            case .send(let step):
                let answer = await self.answer(to: step)
                action = self.plan.answered(
                    step, answer, canRefresh: self.credentials.canRefresh, now: .now, random: Self.chance()
                )
            case .signedIn(let refreshAt):
                if let refreshAt {
                    self.arm(refreshAt)
                } else {
                    self.disarm()
                }
                return
            case .giveUp(_, let reason):
                self.disarm()
                self.observer(.gaveUp(because: reason))
                return
            }
        }
    }

    private func wait(_ until: ReconnectPlan.Instant) {
        let delay = max(.zero, until - .now)
        switch self.plan.repeatedStep {
        case .refresh: self.observer(.repeating(.refresh, after: delay))
        case .session: self.observer(.repeating(.session, after: delay))
        case .signUp: self.observer(.repeating(.register, after: delay))
        case nil: self.observer(.returning(after: delay))
        }
        self.arm(until)
    }

    private func answer(to step: ReconnectPlan.Step) async -> ReconnectPlan.Answer {
        let result =
            switch step {
            case .refresh: await self.exchange(.refresh)
            case .session: await self.exchange(.session)
            case .signUp: await self.exchange(.register)
            }
        switch result {
        case .success(let expiresIn):
            return .success(expiresIn: expiresIn)
        case .refused(let response):
            return .refused(code: response.code.rawValue, maxAge: response.options.maxAge)
        case .unanswered(let failure) where failure.code == .connectionLost:
            return .connectionLost
        case .unanswered, .unusable:
            return .none
        case .impossible:
            return .impossible
        case .notConnected:
            return .connectionLost
        }
    }

    /// 0…1.
    private static func chance() -> Double { .random(in: 0...1) }
}
