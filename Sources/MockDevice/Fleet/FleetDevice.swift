/// What one device of a fleet does next: when it connects, signs up, refreshes, signs in, publishes, asks for a sign of
/// life, and leaves. Decides only; time is passed in, and chance comes from its seed.
///
/// When it comes back and with what is `ReconnectPlan`'s; here is what a fleet adds: provisioning, publishing, Pings,
/// the wait for the cloud's CSM, and bad habits.
package struct FleetDevice: Sendable, Equatable {
    package typealias Instant = ContinuousClock.Instant

    /// What is to be done now. Exactly one for every event; whatever has to wait, waits for `deadlineReached`.
    package enum Action: Sendable, Hashable {
        case nothing
        /// Get a one-time code.
        case provision
        case connect(timeout: Duration)
        case send(FleetStep, timeout: Duration)
        case ping
        /// End the connection: nothing of it matters any more.
        case close(Leaving)
        /// Nothing more will be tried.
        case giveUp(FleetStep)
    }

    /// Why a device ends a connection.
    package enum Leaving: String, Sendable, Hashable {
        case released = "released"
        case noPong = "no Pong"
        case noCSM = "no CSM"
        case refused = "refused"
        case flapping = "flapping"
    }

    /// What a device does on a Release.
    package enum OnRelease: Sendable, Hashable {
        /// The connection ends by itself once what was asked is answered.
        case answerFirst
        case close
    }

    private let profile: FleetProfile
    private let quirks: Set<FleetQuirk>
    private var plan: ReconnectPlan
    private var random: FleetRandom

    private var hasCode: Bool
    private var publishes: Bool
    private var provisionAttempt = 0
    private var publishAttempt = 0
    private var missedPings = 0

    /// What is waited for, each its own.
    private var provisionAt: Instant?
    private var planAt: Instant?
    private var publishAt: Instant?
    private var pingAt: Instant?
    private var pongBy: Instant?
    private var csmBy: Instant?
    private var leaveAt: Instant?

    /// - Parameters:
    ///   - isRegistered: whether it has tokens from an earlier run.
    ///   - publishes: whether it has links to publish.
    package init(
        _ profile: FleetProfile, quirks: Set<FleetQuirk> = [], isRegistered: Bool, publishes: Bool, random: FleetRandom
    ) {
        self.profile = profile
        self.quirks = quirks
        self.plan = ReconnectPlan(profile.plan)
        self.hasCode = isRegistered
        self.isRegistered = isRegistered
        self.publishes = publishes
        self.random = random
    }

    package private(set) var isRegistered: Bool
    package private(set) var hasGivenUp = false
    package var isSignedIn: Bool { self.plan.isSignedIn }
    package var hasPublished: Bool { !self.publishes }

    /// When `deadlineReached` wants to be called.
    package var nextDeadline: Instant? {
        var next = self.provisionAt
        for time in [self.planAt, self.publishAt, self.pingAt, self.pongBy, self.csmBy, self.leaveAt] {
            guard let time else { continue }
            next = next.map { min($0, time) } ?? time
        }
        return next
    }

    // MARK: - Beginning

    package mutating func begin(now: Instant) -> Action {
        guard self.hasCode else { return .provision }
        return self.follow(self.plan.begin(signsUp: !self.isRegistered, now: now, random: self.chance()))
    }

    package mutating func provisioned(now: Instant) -> Action {
        self.hasCode = true
        self.provisionAttempt = 0
        return self.begin(now: now)
    }

    /// - Parameter isFinal: trying again will not help.
    package mutating func provisioningFailed(isFinal: Bool, now: Instant) -> Action {
        guard !isFinal else {
            self.hasGivenUp = true
            return .giveUp(.provision)
        }
        self.provisionAt = now + self.delay(self.provisionAttempt)
        self.provisionAttempt += 1
        return .nothing
    }

    // MARK: - Connection

    /// - Parameter hasCSM: whether the cloud's CSM has come already.
    package mutating func connected(hasCSM: Bool, credentials: ReconnectPlan.Credentials, now: Instant) -> Action {
        if let patience = self.profile.csmPatience, !hasCSM {
            self.csmBy = now + patience
            return .nothing
        }
        return self.follow(self.plan.connected(credentials))
    }

    package mutating func receivedCSM(credentials: ReconnectPlan.Credentials) -> Action {
        guard self.csmBy != nil else { return .nothing }
        self.csmBy = nil
        return self.follow(self.plan.connected(credentials))
    }

    package mutating func connectFailed(now: Instant) -> Action {
        self.follow(self.plan.connectFailed(now: now, random: self.chance()))
    }

    /// The connection is gone.
    package mutating func connectionEnded(holdOffSeconds: UInt32?, wasAborted: Bool, now: Instant) -> Action {
        let wasOpening = self.csmBy != nil
        self.forgetConnection()
        if wasOpening { return self.connectFailed(now: now) }
        return self.follow(
            self.plan.connectionEnded(
                now: now, holdOff: self.profile.heedsHoldOff ? holdOffSeconds : nil, wasAborted: wasAborted,
                random: self.chance()))
    }

    /// The cloud sent a Release (RFC 8323 §5.5).
    package mutating func released(now: Instant) -> OnRelease {
        switch self.profile.onRelease {
        case .answersFirst:
            return .answerFirst
        case .closesAtOnce:
            _ = self.connectionEnded(holdOffSeconds: nil, wasAborted: false, now: now)
            return .close
        }
    }

    package mutating func receivedPong() {
        guard let pongBy = self.pongBy else { return }
        let keepalive = self.profile.keepalive
        self.pongBy = nil
        self.missedPings = 0
        self.pingAt = pongBy - keepalive.patience + keepalive.every
    }

    // MARK: - Answers

    package mutating func answered(
        _ step: FleetStep, _ answer: ReconnectPlan.Answer, canRefresh: Bool, now: Instant
    ) -> Action {
        let planned: ReconnectPlan.Step
        switch step {
        case .provision, .connect: return .nothing
        case .publish: return self.published(answer, now: now)
        case .signUp: planned = .signUp
        case .refresh: planned = .refresh
        case .signIn: planned = .session
        }
        if step == .signUp, case .success = answer { self.isRegistered = true }
        let action = self.plan.answered(
            planned, answer, canRefresh: canRefresh, now: now, random: self.chance())
        let wasSignedIn = self.pingAt != nil || self.pongBy != nil || self.leaveAt != nil
        if case .signedIn = action, !wasSignedIn { self.sessionBegan(now: now) }
        return self.follow(action)
    }

    private mutating func sessionBegan(now: Instant) {
        self.pingAt = now + self.profile.keepalive.every
        if self.quirks.contains(.flapping) {
            self.leaveAt = now + .seconds(3) + .seconds(3) * self.chance()
        }
        if self.publishes {
            self.publishAttempt = 0
            self.publishAt = self.profile.plan.pausesBeforeSteps ? now + self.delay(0) : now
        }
    }

    /// Only what asks for another attempt gets one: after a 4.xx devices leave their links unpublished.
    private mutating func published(_ answer: ReconnectPlan.Answer, now: Instant) -> Action {
        switch answer {
        case .success:
            self.publishes = false
        case .refused(let code, _) where code >> 5 != 5:
            self.publishes = false
        case .refused, .none:
            self.publishAttempt += 1
            self.publishAt = self.isSignedIn ? now + self.delay(self.publishAttempt) : nil
        case .connectionLost, .impossible:
            // The next session publishes.
            break
        }
        return .nothing
    }

    // MARK: - Time

    /// What is due. Call again until it says `nothing`.
    package mutating func deadlineReached(now: Instant) -> Action {
        func isDue(_ time: Instant?) -> Bool { time.map { $0 <= now } ?? false }
        if isDue(self.provisionAt) {
            self.provisionAt = nil
            return .provision
        }
        if isDue(self.csmBy) {
            self.forgetConnection()
            _ = self.connectFailed(now: now)
            return .close(.noCSM)
        }
        if isDue(self.leaveAt) { return self.leave(.flapping, now: now) }
        if isDue(self.pongBy) {
            self.missedPings += 1
            guard self.missedPings < self.profile.keepalive.misses else { return self.leave(.noPong, now: now) }
            self.pongBy = now + self.profile.keepalive.patience
            return .ping
        }
        if isDue(self.pingAt) {
            self.pingAt = nil
            self.pongBy = now + self.profile.keepalive.patience
            return .ping
        }
        if isDue(self.publishAt) {
            self.publishAt = nil
            return .send(.publish, timeout: self.profile.timeout(attempt: self.publishAttempt + 1))
        }
        if isDue(self.planAt) {
            self.planAt = nil
            return self.follow(self.plan.timerFired())
        }
        return .nothing
    }

    private mutating func leave(_ why: Leaving, now: Instant) -> Action {
        _ = self.connectionEnded(holdOffSeconds: nil, wasAborted: false, now: now)
        return .close(why)
    }

    // MARK: - Serving

    /// How long the device takes for a request, if it takes its time.
    /// - Parameter share: of the requests, 0…1.
    package mutating func answerDelay(share: Double, delay: Duration) -> Duration? {
        guard share > 0, Double.random(in: 0..<1, using: &self.random) < share else { return nil }
        return delay
    }

    // MARK: - Inside

    private mutating func forgetConnection() {
        self.publishAt = nil
        self.pingAt = nil
        self.pongBy = nil
        self.csmBy = nil
        self.leaveAt = nil
        self.missedPings = 0
    }

    private mutating func follow(_ action: ReconnectPlan.Action) -> Action {
        switch action {
        case .nothing:
            return .nothing
        case .wait(let until):
            self.planAt = until
            return .nothing
        case .connect:
            self.planAt = nil
            return .connect(timeout: self.profile.timeout(attempt: self.plan.attempt))
        case .send(let step):
            self.planAt = nil
            return .send(FleetStep(step), timeout: self.profile.timeout(attempt: self.plan.attempt))
        case .reconnect(let until):
            self.forgetConnection()
            self.planAt = until
            return .close(.refused)
        case .signedIn(let refreshAt):
            self.planAt = refreshAt
            return .nothing
        case .giveUp(let step, _):
            self.forgetConnection()
            self.planAt = nil
            self.hasGivenUp = true
            return .giveUp(FleetStep(step))
        }
    }

    /// Half to whole of a delay.
    private mutating func delay(_ attempt: Int) -> Duration {
        let delays = self.profile.plan.delays
        let full = delays[min(attempt, delays.count - 1)]
        return full / 2 + full / 2 * self.chance()
    }

    /// 0…1.
    private mutating func chance() -> Double {
        self.quirks.contains(.noJitter) ? 0 : Double.random(in: 0...1, using: &self.random)
    }
}

/// What a device does towards the cloud.
package enum FleetStep: String, Sendable, Hashable, CaseIterable {
    case provision
    case connect
    case signUp = "sign-up"
    case refresh
    case signIn = "sign-in"
    case publish

    init(_ step: ReconnectPlan.Step) {
        switch step {
        case .signUp: self = .signUp
        case .refresh: self = .refresh
        case .session: self = .signIn
        }
    }
}
