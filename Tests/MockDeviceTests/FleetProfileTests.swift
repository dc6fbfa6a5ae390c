import CoAP
import Testing

@testable import MockDevice

/// The figures of each profile, and the device that goes by them.
@Suite("Fleet profiles")
struct FleetProfileTests {
    private let now = ContinuousClock.now
    private let credentials = ReconnectPlan.Credentials(isPermanent: false, canRefresh: true)

    private func device(
        _ profile: FleetProfile.Name = .reference, _ quirks: Set<FleetQuirk> = [], isRegistered: Bool = true,
        publishes: Bool = false, seed: UInt64 = 1
    ) -> FleetDevice {
        FleetDevice(
            FleetProfile(profile), quirks: quirks, isRegistered: isRegistered, publishes: publishes,
            random: FleetRandom(seed: seed))
    }

    /// What is due next, and when.
    private func next(_ device: inout FleetDevice) throws -> (action: FleetDevice.Action, at: ContinuousClock.Instant) {
        let at = try #require(device.nextDeadline)
        return (device.deadlineReached(now: at), at)
    }

    /// A device of the reference profile with a session, and when that began.
    private func signedIn(
        _ profile: FleetProfile.Name = .reference, _ quirks: Set<FleetQuirk> = [], publishes: Bool = false
    ) throws -> (FleetDevice, ContinuousClock.Instant) {
        var device = self.device(profile, quirks, publishes: publishes)
        var at = self.now
        var action = device.begin(now: at)
        for _ in 0..<4 {
            switch action {
            case .nothing:
                (action, at) = try self.next(&device)
            case .connect:
                action = device.connected(hasCSM: true, credentials: self.credentials, now: at)
            case .send(let step, _):
                action = device.answered(step, .success(expiresIn: 3600), canRefresh: true, now: at)
            case .provision, .ping, .close, .giveUp:
                Issue.record("not on the way to a session: \(action)")
            }
            if device.isSignedIn { break }
        }
        while !device.isSignedIn {
            switch action {
            case .send(let step, _):
                action = device.answered(step, .success(expiresIn: 3600), canRefresh: true, now: at)
            default:
                (action, at) = try self.next(&device)
            }
        }
        return (device, at)
    }

    @Test("Reference: time-outs of 2, 4, 8, 16, 32 and 64 s, no CSM, a Ping every 20 s, the end after 6 misses")
    func figures() {
        let profile = FleetProfile(.reference)
        #expect(profile.timeouts == [2, 4, 8, 16, 32, 64].map { Duration.seconds($0) })
        #expect(profile.plan.delays == profile.timeouts)
        #expect(profile.plan.pausesBeforeSteps && profile.plan.refreshesFirst && profile.plan.hasLastAttempt)
        #expect(profile.omissions == .csm)
        #expect(profile.csmPatience == nil)
        #expect(profile.keepalive == .init(every: .seconds(20), patience: .seconds(4), misses: 6))
        #expect(profile.onRelease == .closesAtOnce)
        #expect(!profile.heedsHoldOff)
    }

    @Test(
        "Reference: 1 to 2 s before it connects and refreshes, and 1 to 2 s again before it signs in", arguments: 0..<20
    )
    func pauses(seed: UInt64) throws {
        var device = self.device(seed: seed)
        #expect(device.begin(now: self.now) == .nothing)
        let first = try self.next(&device)
        #expect((self.now + .seconds(1)...self.now + .seconds(2)).contains(first.at))
        #expect(first.action == .connect(timeout: .seconds(2)))
        #expect(
            device.connected(hasCSM: false, credentials: self.credentials, now: first.at)
                == .send(.refresh, timeout: .seconds(2)))
        #expect(
            device.answered(.refresh, .success(expiresIn: 3600), canRefresh: true, now: first.at) == .nothing)
        let second = try self.next(&device)
        #expect((first.at + .seconds(1)...first.at + .seconds(2)).contains(second.at))
        #expect(second.action == .send(.signIn, timeout: .seconds(2)))
        #expect(
            device.answered(.signIn, .success(expiresIn: 3600), canRefresh: true, now: second.at) == .nothing)
        #expect(device.isSignedIn)
    }

    @Test(
        "Reference: each attempt waits 2, 4, 8 … 64 s, and half to whole of the next lies before it; then sign-up is over"
    )
    func attempts() throws {
        var device = self.device(isRegistered: false)
        #expect(device.begin(now: self.now) == .provision)
        #expect(device.provisioned(now: self.now) == .nothing)
        var at = self.now
        for (number, seconds) in [2, 4, 8, 16, 32, 64].enumerated() {
            let next = try self.next(&device)
            #expect((at + .seconds(seconds) / 2...at + .seconds(seconds)).contains(next.at))
            if number == 0 {
                #expect(next.action == .connect(timeout: .seconds(2)))
                #expect(
                    device.connected(hasCSM: false, credentials: self.credentials, now: next.at)
                        == .send(.signUp, timeout: .seconds(2)))
            } else {
                #expect(next.action == .send(.signUp, timeout: .seconds(seconds)))
            }
            at = next.at + .seconds(seconds)
            let action = device.answered(.signUp, .none, canRefresh: false, now: at)
            #expect(action == (seconds == 64 ? .giveUp(.signUp) : .nothing))
        }
        #expect(device.hasGivenUp)
        #expect(device.nextDeadline == nil)
    }

    @Test("Reference: when all attempts to sign in got no answer, it connects anew and begins with 1 to 2 s")
    func beginsAnew() throws {
        var device = self.device()
        _ = device.begin(now: self.now)
        let first = try self.next(&device)
        _ = device.connected(hasCSM: false, credentials: self.credentials, now: first.at)
        var at = first.at
        var action = FleetDevice.Action.nothing
        for _ in 0..<6 {
            action = device.answered(.refresh, .none, canRefresh: true, now: at)
            guard action == .nothing else { break }
            let next = try self.next(&device)
            guard case .send(.refresh, _) = next.action else { break }
            at = next.at
        }
        #expect(action == .close(.refused))
        let again = try self.next(&device)
        #expect((at + .seconds(1)...at + .seconds(2)).contains(again.at))
        #expect(again.action == .connect(timeout: .seconds(2)))
    }

    @Test("A sign-up that is refused is final; 5.03 is not")
    func refusedSignUp() throws {
        for (code, isFinal) in [(Code.unauthorized, true), (.badRequest, true), (.serviceUnavailable, false)] {
            var device = self.device(isRegistered: false)
            _ = device.begin(now: self.now)
            _ = device.provisioned(now: self.now)
            let at = try self.next(&device).at
            _ = device.connected(hasCSM: false, credentials: self.credentials, now: at)
            let action = device.answered(
                .signUp, .refused(code: code.rawValue, maxAge: nil), canRefresh: false, now: at)
            #expect(action == (isFinal ? .giveUp(.signUp) : .nothing))
            #expect(device.hasGivenUp == isFinal)
        }
    }

    @Test("Reference: a Ping 20 s after sign-in and after each Pong, every 4 s without one, the end after the 6th miss")
    func pings() throws {
        var (device, began) = try self.signedIn()
        for number in 1...3 {
            let ping = try self.next(&device)
            #expect(ping.action == .ping)
            #expect(ping.at == began + .seconds(20) * number)
            device.receivedPong()
        }
        began = began + .seconds(60)
        for number in 0..<6 {
            let ping = try self.next(&device)
            #expect(ping.action == .ping)
            #expect(ping.at == began + .seconds(20) + .seconds(4) * number)
        }
        let end = try self.next(&device)
        #expect(end.action == .close(.noPong))
        #expect(end.at == began + .seconds(44))
        let back = try self.next(&device)
        #expect((end.at + .seconds(1)...end.at + .seconds(2)).contains(back.at))
    }

    @Test(
        "RFC 8323 §5.5: on a Release the reference device closes at once and is back in 2 to 4 s, whatever the Hold-Off"
    )
    func release() throws {
        var (device, at) = try self.signedIn()
        #expect(device.released(now: at) == .close)
        #expect(!device.isSignedIn)
        let connect = try self.next(&device)
        #expect((at + .seconds(1)...at + .seconds(2)).contains(connect.at))
        at = connect.at
        #expect(
            device.connected(hasCSM: false, credentials: self.credentials, now: at)
                == .send(.refresh, timeout: .seconds(2)))
        _ = device.answered(.refresh, .success(expiresIn: 3600), canRefresh: true, now: at)
        let signIn = try self.next(&device)
        #expect((at + .seconds(1)...at + .seconds(2)).contains(signIn.at))
        #expect(signIn.action == .send(.signIn, timeout: .seconds(2)))
    }

    @Test("RFC 8323 §5.5: on a Release the polite device answers first, and stays away as long as it is asked to")
    func politeRelease() throws {
        var (device, at) = try self.signedIn(.polite)
        #expect(device.released(now: at) == .answerFirst)
        #expect(device.isSignedIn)
        #expect(device.connectionEnded(holdOffSeconds: 30, wasAborted: false, now: at) == .nothing)
        let connect = try self.next(&device)
        #expect((at + .seconds(31)...at + .seconds(32)).contains(connect.at))
        at = connect.at
        // Its token is still good.
        #expect(
            device.connected(hasCSM: false, credentials: self.credentials, now: at)
                == .send(.signIn, timeout: .seconds(20)))
    }

    @Test("libcoap says nothing before the cloud's CSM is there, gives up waiting after 30 s, and pings every 30 s")
    func libcoap() throws {
        var device = self.device(.libcoap)
        #expect(device.begin(now: self.now) == .connect(timeout: .seconds(90)))
        #expect(device.connected(hasCSM: false, credentials: self.credentials, now: self.now) == .nothing)
        var hasty = device
        #expect(hasty.receivedCSM(credentials: self.credentials) == .send(.signIn, timeout: .seconds(90)))
        #expect(
            hasty.answered(.signIn, .success(expiresIn: -1), canRefresh: true, now: self.now) == .nothing)
        let ping = try self.next(&hasty)
        #expect(ping.at == self.now + .seconds(30))
        #expect(ping.action == .ping)
        let end = try self.next(&hasty)
        #expect(end.at == self.now + .seconds(60))
        #expect(end.action == .close(.noPong))
        let late = try self.next(&device)
        #expect(late.at == self.now + .seconds(30))
        #expect(late.action == .close(.noCSM))
        #expect(try self.next(&device).action == .connect(timeout: .seconds(90)))
    }

    @Test(
        "Links are published after the first sign-in, again only where the cloud did not answer, and not after a 4.xx")
    func publishing() throws {
        var (device, at) = try self.signedIn(publishes: true)
        for seconds in [2, 4] {
            let publish = try self.next(&device)
            #expect((at + .seconds(seconds) / 2...at + .seconds(seconds)).contains(publish.at))
            #expect(publish.action == .send(.publish, timeout: .seconds(seconds)))
            at = publish.at
            _ = device.answered(.publish, .none, canRefresh: true, now: at)
        }
        #expect(!device.hasPublished)
        var refused = device
        _ = refused.answered(
            .publish, .refused(code: Code.badRequest.rawValue, maxAge: nil), canRefresh: true, now: at)
        #expect(refused.hasPublished)
        _ = device.answered(.publish, .success(expiresIn: 0), canRefresh: true, now: at)
        #expect(device.hasPublished)
    }

    @Test("Without jitter every delay is half of its figure; flapping devices leave 3 to 6 s after sign-in")
    func quirks() throws {
        for seed: UInt64 in 1...5 {
            var device = self.device(.reference, [.noJitter], seed: seed)
            _ = device.begin(now: self.now)
            #expect(device.nextDeadline == self.now + .seconds(1))
        }
        var (device, began) = try self.signedIn(.reference, [.flapping])
        let end = try self.next(&device)
        #expect(end.action == .close(.flapping))
        #expect((began + .seconds(3)...began + .seconds(6)).contains(end.at))
        #expect(try self.next(&device).action == .connect(timeout: .seconds(2)))
        let plain = FleetProfile(.polite)
        #expect(plain.omissions(with: [.noPong, .ignoreRelease]) == [.pongs, .release])
    }

    @Test("The same seed makes the same device, another one another")
    func seeds() {
        var first = FleetRandom(seed: 7, device: 3)
        var same = FleetRandom(seed: 7, device: 3)
        var other = FleetRandom(seed: 7, device: 4)
        #expect(first.next() == same.next())
        #expect(first.next() != other.next())
    }

    @Test("Provisioning that failed is tried again after half to whole of 2, 4, 8 … s, unless it was refused")
    func provisioning() throws {
        var device = self.device(isRegistered: false)
        #expect(device.begin(now: self.now) == .provision)
        var refused = device
        #expect(refused.provisioningFailed(isFinal: true, now: self.now) == .giveUp(.provision))
        var at = self.now
        for seconds in [2, 4, 8] {
            #expect(device.provisioningFailed(isFinal: false, now: at) == .nothing)
            let next = try self.next(&device)
            #expect((at + .seconds(seconds) / 2...at + .seconds(seconds)).contains(next.at))
            #expect(next.action == .provision)
            at = next.at
        }
    }
}
