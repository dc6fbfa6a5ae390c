/// How a device comes back: when it connects again and what it then sends. Decides only; time and chance are passed in.
///
/// The order is that of the reference device stack: connect, refresh the token unless it is permanent, sign in; no
/// publishing, since the cloud keeps links (OCF CNC). After the first sign-in it also says when to refresh.
package struct ReconnectPlan: Sendable, Equatable {
    package typealias Instant = ContinuousClock.Instant

    /// A request the plan asks for.
    package enum Step: Sendable, Hashable {
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

    /// The first delay's upper bound; 2 s as a rule.
    private let base: Duration
    private var phase: Phase = .idle
    /// Delays since the last success.
    private var attempt = 0
    /// `attempt` as it was when the present session began.
    private var attemptBefore = 0
    /// A session that was refused although the token had just been refreshed.
    private var wasRefreshedInVain = false

    /// Unspecified: how long a cloud's Hold-Off or Max-Age is obeyed at most. 24 bits of seconds are half a year.
    package static let longestHoldOff = Duration.seconds(600)
    /// The delays double up to this many times the base: 2, 4, 8 … 64 s.
    private static let doublings = 5
    /// Unspecified: a session that was aborted sooner than this counts as a failed attempt, so that two devices of one
    /// id do not throw each other out for ever at full speed.
    private static let stable = Duration.seconds(60)

    package init(base: Duration) {
        self.base = base
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
        let step: Step = !credentials.isPermanent && credentials.canRefresh ? .refresh : .session
        self.phase = .sending(step)
        return .send(step)
    }

    package mutating func connectFailed(now: Instant, random: Double) -> Action {
        guard self.phase == .connecting else { return .nothing }
        return self.wait(now: now, random: random, then: .connect)
    }

    /// What the cloud said to a step the plan had asked for.
    package mutating func answered(
        _ step: Step, _ answer: Answer, canRefresh: Bool, now: Instant, random: Double,
    ) -> Action {
        guard self.phase == .sending(step) else { return .nothing }
        switch answer {
        case .success(let expiresIn):
            switch step {
            case .refresh:
                self.phase = .sending(.session)
                return .send(.session)
            case .session:
                return self.signedIn(expiresIn: expiresIn, canRefresh: canRefresh, now: now)
            }
        case .connectionLost:
            return self.wait(now: now, random: random, then: .connect)
        case .none:
            return self.wait(now: now, random: random, then: .send(step))
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
            return self.wait(now: now, atLeast: pause, random: random, then: .send(step))
        }
        switch step {
        case .refresh:
            // As the reference stack does: a 4.xx to a refresh is final, the device must be registered again.
            self.stop()
            return .giveUp(.refresh, because: "the cloud does not take the refresh token")
        case .session where code == Self.unauthorized && canRefresh && !self.wasRefreshedInVain:
            self.wasRefreshedInVain = true
            self.phase = .sending(.refresh)
            return .send(.refresh)
        case .session where code == Self.unauthorized && canRefresh:
            return self.wait(now: now, random: random, then: .send(.refresh))
        case .session where code == Self.unauthorized:
            self.stop()
            return .giveUp(.session, because: "the cloud does not take the access token and there is no refresh token")
        case .session:
            guard case .wait(let until) = self.wait(now: now, random: random, then: .connect) else { return .nothing }
            return .reconnect(at: until)
        }
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
        let full = self.base * (1 << min(self.attempt, Self.doublings))
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
