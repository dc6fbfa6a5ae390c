/// How a device comes back: when it connects again and what it then sends. Decides only; time and chance are passed in.
///
/// The order is that of the reference device stack: connect, refresh the token unless it is permanent, sign in; no
/// publishing, since the cloud keeps links (OCF CNC). After the first sign-in it also says when to refresh. How devices
/// of other kinds differ from it, is in its figures.
package struct ReconnectPlan: Sendable, Equatable {
    package typealias Instant = ContinuousClock.Instant

    /// What devices differ in.
    package struct Figures: Sendable, Hashable {
        /// The longest each delay may be, one for each attempt in a row; the last is that of all further ones.
        package var delays: [Duration]
        /// Whether each request waits as long as a first attempt, before it is sent at all.
        package var pausesBeforeSteps = false
        /// Whether a device that comes back has its tokens renewed before anything else.
        package var refreshesFirst = true
        /// Whether the last delay is the end: then a device that signs up gives up, another one begins anew.
        package var hasLastAttempt = false

        /// 2, 4, 8 … 64 s, where `base` is 2 s.
        package init(base: Duration) {
            self.delays = (0...5).map { base * (1 << $0) }
        }
    }

    /// A request the plan asks for.
    package enum Step: String, Sendable, Hashable {
        case signUp
        case refresh
        case session
    }

    /// What is to be done now. Exactly one for every event.
    package enum Action: Sendable, Hashable {
        case nothing
        /// Call `timerFired` at this moment; earlier timers are void.
        case wait(until: Instant)
        case connect
        case send(Step)
        /// Close the connection, then wait as above.
        case reconnect(at: Instant)
        /// Signed in; call `timerFired` at `refreshAt`, if there is one.
        case signedIn(refreshAt: Instant?)
        /// Only a person can help.
        case giveUp(Step, because: String)
    }

    /// What became of a step.
    package enum Answer: Sendable, Hashable {
        /// `expiresIn` in seconds, negative for a permanent token.
        case success(expiresIn: Int64)
        case refused(code: UInt8, maxAge: UInt32?)
        /// Nothing came in time, or nothing usable.
        case none
        case connectionLost
        /// Something to send is missing.
        case impossible
    }

    /// What the device holds to sign in with.
    package struct Credentials: Sendable, Hashable {
        package var isPermanent: Bool
        package var canRefresh: Bool

        package init(isPermanent: Bool, canRefresh: Bool) {
            self.isPermanent = isPermanent
            self.canRefresh = canRefresh
        }
    }

    private enum Phase: Sendable, Hashable {
        case idle
        case waiting(then: Next)
        case connecting
        case sending(Step)
        case signedIn(since: Instant)
    }

    private enum Next: Sendable, Hashable {
        case connect
        case send(Step)
    }

    private let figures: Figures
    private var phase: Phase = .idle
    /// Delays since the last success.
    package private(set) var attempt = 0
    /// Whether it has to sign up first.
    private var signsUp = false
    /// `attempt` as it was when the present session began.
    private var attemptBefore = 0
    /// A session that was refused although the token had just been refreshed.
    private var wasRefreshedInVain = false

    /// Unspecified: how long a cloud's Hold-Off or Max-Age is obeyed at most. 24 bits of seconds are half a year.
    package static let longestHoldOff = Duration.seconds(600)
    /// Unspecified: a session that was aborted sooner than this counts as a failed attempt, so that two devices of one
    /// id do not throw each other out for ever at full speed.
    private static let stable = Duration.seconds(60)

    package init(_ figures: Figures) {
        self.figures = figures
    }

    package init(base: Duration) {
        self.init(Figures(base: base))
    }

    /// True while the plan has something under way, so that a lost connection is its business.
    package var isActive: Bool { self.phase != .idle }

    /// True between sign-in and the loss of the connection, sign-out or refusal.
    package var isSignedIn: Bool {
        if case .signedIn = self.phase { true } else { false }
    }

    /// The step that waits to be sent once more, if one does.
    package var repeatedStep: Step? {
        if case .waiting(then: .send(let step)) = self.phase { step } else { nil }
    }

    // MARK: - Events

    /// The device begins by itself: to sign up, or to sign in with what it has.
    package mutating func begin(signsUp: Bool, now: Instant, random: Double) -> Action {
        guard self.phase == .idle else { return .nothing }
        self.signsUp = signsUp
        self.attempt = 0
        if self.figures.pausesBeforeSteps {
            return self.wait(now: now, random: random, then: .connect)
        }
        self.phase = .connecting
        return .connect
    }

    /// Somebody signed in by hand: from now on the plan keeps the device there.
    package mutating func signedIn(expiresIn: Int64, canRefresh: Bool, now: Instant) -> Action {
        self.attemptBefore = self.attempt
        self.attempt = 0
        self.wasRefreshedInVain = false
        self.phase = .signedIn(since: now)
        return .signedIn(refreshAt: canRefresh ? Self.refreshTime(expiresIn: expiresIn, now: now) : nil)
    }

    /// Tokens came in by hand during a session: the refresh timer starts anew.
    package func refreshed(expiresIn: Int64, now: Instant) -> Action {
        guard self.isSignedIn else { return .nothing }
        return .signedIn(refreshAt: Self.refreshTime(expiresIn: expiresIn, now: now))
    }

    /// Signed out, or nothing to come back with: a lost connection stays lost.
    package mutating func stop() {
        self.phase = .idle
        self.attempt = 0
    }

    /// The connection is gone. `holdOff` is what a Release asked for (RFC 8323 §5.5), in seconds.
    ///
    /// - Parameter random: 0…1, spreads a fleet: half the delay is fixed, half depends on it.
    package mutating func connectionEnded(
        now: Instant, holdOff: UInt32?, wasAborted: Bool, random: Double,
    ) -> Action {
        switch self.phase {
        case .idle, .connecting, .waiting(then: .connect):
            return .nothing
        case .signedIn(let since):
            self.attempt = wasAborted && now - since < Self.stable ? self.attemptBefore : 0
        case .sending, .waiting(then: .send):
            break
        }
        let holdOff = min(Duration.seconds(Int64(holdOff ?? 0)), Self.longestHoldOff)
        return self.wait(now: now, atLeast: holdOff, random: random, then: .connect)
    }

    /// A moment asked for has come.
    package mutating func timerFired() -> Action {
        switch self.phase {
        case .idle, .connecting, .sending:
            return .nothing
        case .waiting(then: .connect):
            self.phase = .connecting
            return .connect
        case .waiting(then: .send(let step)):
            self.phase = .sending(step)
            return .send(step)
        case .signedIn:
            self.phase = .sending(.refresh)
            return .send(.refresh)
        }
    }

    package mutating func connected(_ credentials: Credentials) -> Action {
        guard self.phase == .connecting else { return .nothing }
        let refreshes = self.figures.refreshesFirst && !credentials.isPermanent && credentials.canRefresh
        let step: Step = self.signsUp ? .signUp : refreshes ? .refresh : .session
        self.phase = .sending(step)
        return .send(step)
    }

    package mutating func connectFailed(now: Instant, random: Double) -> Action {
        guard self.phase == .connecting else { return .nothing }
        return self.retry(self.signsUp ? .signUp : .session, now: now, random: random, then: .connect)
    }

    /// What the cloud said to a step the plan had asked for.
    package mutating func answered(
        _ step: Step, _ answer: Answer, canRefresh: Bool, now: Instant, random: Double,
    ) -> Action {
        guard self.phase == .sending(step) else { return .nothing }
        switch answer {
        case .success(let expiresIn):
            switch step {
            case .signUp, .refresh:
                self.signsUp = false
                return self.start(.session, now: now, random: random)
            case .session:
                return self.signedIn(expiresIn: expiresIn, canRefresh: canRefresh, now: now)
            }
        case .connectionLost:
            return self.retry(step, now: now, random: random, then: .connect)
        case .none:
            return self.retry(step, now: now, random: random, then: .send(step))
        case .impossible:
            self.stop()
            return .giveUp(step, because: "there is nothing to sign in with")
        case .refused(let code, let maxAge):
            return self.refused(step, code: code, maxAge: maxAge, canRefresh: canRefresh, now: now, random: random)
        }
    }

    // MARK: - Decisions

    private mutating func refused(
        _ step: Step, code: UInt8, maxAge: UInt32?, canRefresh: Bool, now: Instant, random: Double,
    ) -> Action {
        if Self.transient.contains(code) {
            let pause = min(Duration.seconds(Int64(maxAge ?? 0)), Self.longestHoldOff)
            return self.retry(step, now: now, atLeast: pause, random: random, then: .send(step))
        }
        switch step {
        case .signUp:
            self.stop()
            return .giveUp(.signUp, because: "the cloud refuses the sign-up")
        case .refresh:
            // As the reference stack does: a 4.xx to a refresh is final, the device must be registered again.
            self.stop()
            return .giveUp(.refresh, because: "the cloud does not take the refresh token")
        case .session where code == Self.unauthorized && canRefresh && !self.wasRefreshedInVain:
            self.wasRefreshedInVain = true
            return self.start(.refresh, now: now, random: random)
        case .session where code == Self.unauthorized && canRefresh && self.figures.pausesBeforeSteps:
            return self.start(.refresh, now: now, random: random)
        case .session where code == Self.unauthorized && canRefresh:
            return self.retry(.session, now: now, random: random, then: .send(.refresh))
        case .session where code == Self.unauthorized:
            self.stop()
            return .giveUp(.session, because: "the cloud does not take the access token and there is no refresh token")
        case .session:
            if self.figures.pausesBeforeSteps { self.attempt = 0 }
            return self.reconnect(now: now, random: random)
        }
    }

    /// A step's first attempt.
    private mutating func start(_ step: Step, now: Instant, random: Double) -> Action {
        guard self.figures.pausesBeforeSteps else {
            self.phase = .sending(step)
            return .send(step)
        }
        self.attempt = 0
        return self.wait(now: now, random: random, then: .send(step))
    }

    /// A step's next attempt, if there is one.
    private mutating func retry(
        _ step: Step, now: Instant, atLeast: Duration = .zero, random: Double, then next: Next,
    ) -> Action {
        guard self.figures.hasLastAttempt, self.attempt >= self.figures.delays.count else {
            return self.wait(now: now, atLeast: atLeast, random: random, then: next)
        }
        if step == .signUp {
            self.stop()
            return .giveUp(step, because: "the cloud has not answered \(self.figures.delays.count) attempts")
        }
        self.attempt = 0
        return self.reconnect(now: now, random: random)
    }

    private mutating func reconnect(now: Instant, random: Double) -> Action {
        guard case .wait(let until) = self.wait(now: now, random: random, then: .connect) else { return .nothing }
        return .reconnect(at: until)
    }

    private mutating func wait(
        now: Instant, atLeast: Duration = .zero, random: Double, then next: Next,
    ) -> Action {
        self.phase = .waiting(then: next)
        // What is asked for comes on top of the spread delay, lest a whole fleet returns at one moment.
        let until = now + atLeast + self.delay(random: random)
        self.attempt = min(self.attempt + 1, 1_000_000)
        return .wait(until: until)
    }

    /// Half of 2, 4, 8 … 64 s and a random part of the other half.
    private func delay(random: Double) -> Duration {
        let full = self.figures.delays[min(self.attempt, self.figures.delays.count - 1)]
        return full / 2 + full / 2 * min(max(random, 0), 1)
    }

    private static let unauthorized: UInt8 = 0x81
    /// 5.02, 5.03, 5.04, 4.29: nothing is wrong with the request.
    private static let transient: Set<UInt8> = [0x9D, 0xA2, 0xA3, 0xA4]

    /// When a token that lives `expiresIn` seconds is to be refreshed: 10 min before its end if it lives over an hour,
    /// 2 min over 4 min, 10 s over 20 s, else at its end. Nil if it never ends.
    package static func refreshTime(expiresIn: Int64, now: Instant) -> Instant? {
        guard expiresIn >= 0 else { return nil }
        // Ten years of any lifetime are as good as all of it, and cannot overflow.
        let seconds = min(expiresIn, 315_360_000)
        let margin: Int64 =
            switch seconds {
            case 3601...: 600
            case 241...: 120
            case 21...: 10
            default: 0
            }
        // Unspecified: never sooner than a second, so that a lifetime of 0 is no busy loop.
        return now + .seconds(max(seconds - margin, 1))
    }
}
