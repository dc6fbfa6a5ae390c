import CoAP
import MockDevice
import Testing

@Suite("Coming back")
struct ReconnectPlanTests {
    private let now = ContinuousClock.now
    private let renewable = ReconnectPlan.Credentials(isPermanent: false, canRefresh: true)
    private let permanent = ReconnectPlan.Credentials(isPermanent: true, canRefresh: true)

    /// A plan whose device is signed in.
    private func signedIn(expiresIn: Int64 = 3600) -> ReconnectPlan {
        var plan = ReconnectPlan(base: .seconds(2))
        _ = plan.signedIn(expiresIn: expiresIn, canRefresh: true, now: self.now)
        return plan
    }

    /// A plan that has asked for a step.
    private func sending(_ step: ReconnectPlan.Step) -> ReconnectPlan {
        var plan = self.signedIn()
        _ = plan.connectionEnded(now: self.now, holdOff: nil, wasAborted: false, random: 1)
        _ = plan.timerFired()
        let action = plan.connected(step == .refresh ? self.renewable : self.permanent)
        #expect(action == .send(step))
        return plan
    }

    private func refused(_ code: Code, maxAge: UInt32? = nil) -> ReconnectPlan.Answer {
        .refused(code: code.rawValue, maxAge: maxAge)
    }

    @Test("OCF CNC: a lost connection is followed by connect, refresh, session")
    func renewableToken() {
        var plan = self.signedIn()
        #expect(
            plan.connectionEnded(now: self.now, holdOff: nil, wasAborted: false, random: 0)
                == .wait(until: self.now + .seconds(1)))
        #expect(!plan.isSignedIn)
        #expect(plan.timerFired() == .connect)
        #expect(plan.connected(self.renewable) == .send(.refresh))
        #expect(
            plan.answered(.refresh, .success(expiresIn: 7200), canRefresh: true, now: self.now, random: 0)
                == .send(.session))
        #expect(
            plan.answered(.session, .success(expiresIn: 7200), canRefresh: true, now: self.now, random: 0)
                == .signedIn(refreshAt: self.now + .seconds(6600)))
        #expect(plan.isSignedIn)
    }

    @Test("OCF CNC: with a permanent token the refresh is left out, and so is the refresh timer")
    func permanentToken() {
        var plan = self.sending(.session)
        #expect(
            plan.answered(.session, .success(expiresIn: -1), canRefresh: true, now: self.now, random: 0)
                == .signedIn(refreshAt: nil))
    }

    @Test("a device that never signed in, or signed out, stays away")
    func idle() {
        var plan = ReconnectPlan(base: .seconds(2))
        #expect(plan.connectionEnded(now: self.now, holdOff: 5, wasAborted: false, random: 1) == .nothing)
        plan = self.signedIn()
        plan.stop()
        #expect(plan.connectionEnded(now: self.now, holdOff: nil, wasAborted: false, random: 1) == .nothing)
        #expect(plan.timerFired() == .nothing)
        #expect(!plan.isActive)
    }

    @Test("the delays are 2, 4, 8 … 64 s, half of each fixed and half by chance", arguments: [0.0, 0.5, 1.0])
    func delays(random: Double) {
        var plan = self.signedIn()
        var action = plan.connectionEnded(now: self.now, holdOff: nil, wasAborted: false, random: random)
        for full in [2.0, 4, 8, 16, 32, 64, 64, 64] {
            #expect(action == .wait(until: self.now + .seconds(full / 2 + full / 2 * random)))
            #expect(plan.timerFired() == .connect)
            action = plan.connectFailed(now: self.now, random: random)
        }
    }

    @Test("a successful sign-in begins the delays anew")
    func anew() {
        var plan = self.sending(.session)
        _ = plan.answered(.session, .none, canRefresh: true, now: self.now, random: 1)
        _ = plan.timerFired()
        _ = plan.answered(.session, .success(expiresIn: -1), canRefresh: true, now: self.now, random: 1)
        #expect(
            plan.connectionEnded(now: self.now, holdOff: nil, wasAborted: false, random: 1)
                == .wait(until: self.now + .seconds(2)))
    }

    @Test("two devices of one id do not throw each other out at full speed: an Abort soon after sign-in counts")
    func aborted() {
        var plan = self.signedIn()
        for full in [2, 4, 8] {
            #expect(
                plan.connectionEnded(now: self.now + .seconds(59), holdOff: nil, wasAborted: true, random: 1)
                    == .wait(until: self.now + .seconds(59 + full)))
            _ = plan.signedIn(expiresIn: 3600, canRefresh: true, now: self.now)
        }
        #expect(
            plan.connectionEnded(now: self.now + .seconds(60), holdOff: nil, wasAborted: true, random: 1)
                == .wait(until: self.now + .seconds(62)))
    }

    @Test("RFC 8323 §5.5: Hold-Off comes on top of the delay, up to ten minutes")
    func holdOff() {
        var plan = self.signedIn()
        #expect(
            plan.connectionEnded(now: self.now, holdOff: 30, wasAborted: false, random: 1)
                == .wait(until: self.now + .seconds(32)))
        plan = self.signedIn()
        #expect(
            plan.connectionEnded(now: self.now, holdOff: 0xFF_FFFF, wasAborted: false, random: 1)
                == .wait(until: self.now + .seconds(602)))
    }

    @Test("4.01 at session: refresh, then session again; the second time only after a delay")
    func unauthorizedSession() {
        var plan = self.sending(.session)
        #expect(
            plan.answered(.session, self.refused(.unauthorized), canRefresh: true, now: self.now, random: 1)
                == .send(.refresh))
        #expect(
            plan.answered(.refresh, .success(expiresIn: 60), canRefresh: true, now: self.now, random: 1)
                == .send(.session))
        #expect(
            plan.answered(.session, self.refused(.unauthorized), canRefresh: true, now: self.now, random: 1)
                == .wait(until: self.now + .seconds(4)))
        #expect(plan.repeatedStep == .refresh)
        #expect(plan.timerFired() == .send(.refresh))
    }

    @Test("4.01 at session without a refresh token is the end")
    func unauthorizedForGood() {
        var plan = self.sending(.session)
        guard
            case .giveUp(.session, _) = plan.answered(
                .session, self.refused(.unauthorized), canRefresh: false, now: self.now, random: 1)
        else {
            Issue.record("did not give up")
            return
        }
        #expect(!plan.isActive)
    }

    @Test(
        "a 4.xx to the refresh is the end",
        arguments: [Code.unauthorized, .badRequest, .forbidden, .notFound])
    func refusedRefresh(code: Code) {
        var plan = self.sending(.refresh)
        guard
            case .giveUp(.refresh, _) = plan.answered(
                .refresh, self.refused(code), canRefresh: true, now: self.now, random: 1)
        else {
            Issue.record("did not give up")
            return
        }
        #expect(!plan.isActive)
    }

    @Test(
        "what is transient is sent again on the same connection, not before Max-Age",
        arguments: [Code.serviceUnavailable, .gatewayTimeout, .badGateway, .tooManyRequests])
    func transient(code: Code) {
        for step in [ReconnectPlan.Step.refresh, .session] {
            var plan = self.sending(step)
            #expect(
                plan.answered(step, self.refused(code, maxAge: 10), canRefresh: true, now: self.now, random: 1)
                    == .wait(until: self.now + .seconds(14)))
            #expect(plan.repeatedStep == step)
            #expect(plan.timerFired() == .send(step))
        }
    }

    @Test("no answer: the same again on the same connection")
    func noAnswer() {
        var plan = self.sending(.refresh)
        #expect(
            plan.answered(.refresh, .none, canRefresh: true, now: self.now, random: 0)
                == .wait(until: self.now + .seconds(2)))
        #expect(plan.timerFired() == .send(.refresh))
    }

    @Test(
        "another error at session: close, wait, and begin with the refresh",
        arguments: [Code.badRequest, .internalServerError])
    func otherError(code: Code) {
        var plan = self.sending(.session)
        #expect(
            plan.answered(.session, self.refused(code), canRefresh: true, now: self.now, random: 1)
                == .reconnect(at: self.now + .seconds(4)))
        #expect(plan.timerFired() == .connect)
        #expect(plan.connected(self.renewable) == .send(.refresh))
    }

    @Test("a connection lost in the middle of it: connect again")
    func lostInBetween() {
        var plan = self.sending(.refresh)
        #expect(
            plan.connectionEnded(now: self.now, holdOff: nil, wasAborted: false, random: 1)
                == .wait(until: self.now + .seconds(4)))
        #expect(plan.answered(.refresh, .connectionLost, canRefresh: true, now: self.now, random: 1) == .nothing)
        #expect(plan.timerFired() == .connect)
    }

    @Test("with nothing to sign in with it gives up")
    func impossible() {
        var plan = self.sending(.session)
        guard case .giveUp = plan.answered(.session, .impossible, canRefresh: false, now: self.now, random: 1) else {
            Issue.record("did not give up")
            return
        }
    }

    @Test(
        "the token is refreshed 10 min, 2 min, 10 s before its end, or at it; never within a second",
        arguments: [
            (7200, 6600), (3601, 3001), (3600, 3480), (241, 121), (240, 230), (21, 11), (20, 20), (2, 2), (1, 1),
            (0, 1), (Int64.max, 315_360_000 - 600),
        ])
    func refreshTime(expiresIn: Int64, after: Int64) {
        #expect(ReconnectPlan.refreshTime(expiresIn: expiresIn, now: self.now) == self.now + .seconds(after))
    }

    @Test("a permanent token is never refreshed", arguments: [-1, Int64.min])
    func never(expiresIn: Int64) {
        #expect(ReconnectPlan.refreshTime(expiresIn: expiresIn, now: self.now) == nil)
    }

    @Test("when the refresh is due the session goes on with refresh and session")
    func due() {
        var plan = self.signedIn()
        #expect(plan.timerFired() == .send(.refresh))
        #expect(
            plan.answered(.refresh, .success(expiresIn: 3600), canRefresh: true, now: self.now, random: 1)
                == .send(.session))
    }

    @Test("a refresh by hand moves the timer, but only of a session")
    func byHand() {
        #expect(
            self.signedIn().refreshed(expiresIn: 7200, now: self.now)
                == .signedIn(refreshAt: self.now + .seconds(6600)))
        #expect(ReconnectPlan(base: .seconds(2)).refreshed(expiresIn: 7200, now: self.now) == .nothing)
    }
}
