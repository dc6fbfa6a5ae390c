import Cloud
import CoAP
import NIOCore
import OCF
import Testing

@testable import CoAPInterface

@Suite("The rules of a connection's identity")
struct SessionMachineTests {
    typealias Machine = SessionMachine

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    private static let signIn = Request(.post, path: OCFPath.session, queries: ["in"])
    private static let signOut = Request(.post, path: OCFPath.session, queries: ["out"])
    private static let refresh = Request(.post, path: OCFPath.tokenRefresh)
    private static let publish = Request(.post, path: OCFPath.directory)

    private static func id(_ value: UInt64) -> IncomingID { IncomingID(rawValue: value) }

    /// What the registry says to a sign-in.
    private static func granted(_ di: String = "lamp", milliseconds: UInt64? = nil) -> Response {
        var response = Response(.changed)
        response.options.sessionDevice = di
        response.options.sessionUser = "alice"
        response.options.sessionKind = "device"
        response.options.sessionExpiryMilliseconds = milliseconds
        return response
    }

    /// A machine whose connection has signed in.
    private static func signedIn(milliseconds: UInt64? = nil) throws -> Machine {
        var machine = Machine(now: self.start)
        _ = machine.received(self.signIn, id: self.id(1), now: self.start)
        _ = machine.identityAnswered(self.granted(milliseconds: milliseconds), now: self.start)
        _ = machine.claimed(epoch: 7)
        _ = machine.entered()
        guard machine.session != nil else { throw ExpectedSession() }
        return machine
    }

    private struct ExpectedSession: Error {}

    @Test("Before sign-in only account, session and tokenrefresh are asked")
    func beforeSignIn() {
        var machine = Machine(now: Self.start)
        for path in [OCFPath.directory, OCFPath.discovery, ["lamp", "light"], ["oic", "d"], []] {
            guard
                case .answer(_, let response) = machine.received(
                    Request(.get, path: path), id: Self.id(1), now: Self.start)
            else { Issue.record("\(path) was asked"); continue }
            #expect(response.code == .unauthorized)
        }
        for (index, path) in OCFPath.beforeSignIn.sorted(by: { $0.count < $1.count }).enumerated() {
            let request = Request(.post, path: path)
            let id = Self.id(UInt64(index))
            #expect(machine.received(request, id: id, now: Self.start) == .identify(id, request))
            _ = machine.identityAnswered(Response(.badRequest), now: Self.start)
        }
    }

    @Test("A sign-in claims the route, and the session begins with its epoch")
    func signIn() throws {
        var machine = Machine(now: Self.start)
        #expect(machine.received(Self.signIn, id: Self.id(1), now: Self.start) == .identify(Self.id(1), Self.signIn))
        let (di, uid) = (try DeviceID("lamp"), try UserID("alice"))
        #expect(
            machine.identityAnswered(Self.granted(milliseconds: 5000), now: Self.start)
                == .claim(di: di, uid: uid, ended: nil))
        #expect(machine.session == nil)
        let claimed = machine.claimed(epoch: 7)
        #expect(claimed == machine.session)
        #expect(machine.session?.epoch == 7)
        #expect(machine.session?.expiresAt == Self.start + .seconds(5))
        // An epoch nobody asked for changes nothing.
        #expect(machine.claimed(epoch: 8) == nil)
        #expect(machine.session?.epoch == 7)
        // It is answered once others can find the session, and once only.
        #expect(machine.entered()?.ids == [Self.id(1)])
        #expect(machine.entered() == nil)
    }

    @Test("Requests behind an identity request wait for its end and go on in the order of arrival")
    func barrier() throws {
        var machine = Machine(now: Self.start)
        _ = machine.received(Self.signIn, id: Self.id(1), now: Self.start)
        #expect(machine.received(Self.publish, id: Self.id(2), now: Self.start) == .wait)
        #expect(machine.received(Self.refresh, id: Self.id(3), now: Self.start) == .wait)
        #expect(machine.received(Request(.get, path: ["fan", "speed"]), id: Self.id(4), now: Self.start) == .wait)
        #expect(machine.next() == nil)
        _ = machine.identityAnswered(Self.granted(), now: Self.start)
        #expect(machine.next() == nil)
        _ = machine.claimed(epoch: 7)
        #expect(machine.next() == nil)
        _ = machine.entered()
        #expect(machine.next() == .direct(Self.id(2), Self.publish))
        #expect(machine.next() == .identify(Self.id(3), Self.refresh))
        // The refresh is a barrier itself.
        #expect(machine.next() == nil)
        _ = machine.identityAnswered(Response(.changed), now: Self.start)
        let current = machine.session
        let session = try #require(current)
        #expect(machine.next() == .relay(Self.id(4), Request(.get, path: ["fan", "speed"]), session))
        #expect(machine.next() == nil)
    }

    @Test("A repeat of the identity request under way is not asked again: both get the one answer")
    func joinPending() {
        var machine = Machine(now: Self.start)
        _ = machine.received(Self.refresh, id: Self.id(1), now: Self.start)
        #expect(machine.received(Self.refresh, id: Self.id(2), now: Self.start) == .wait)
        let answer = Response(.changed)
        #expect(
            machine.identityAnswered(answer, now: Self.start)
                == .answer([Self.id(1), Self.id(2)], answer, ended: nil))
        #expect(machine.next() == nil)
        // After its end it is a request of its own again.
        #expect(machine.received(Self.refresh, id: Self.id(3), now: Self.start) == .identify(Self.id(3), Self.refresh))
    }

    @Test("Sign-in, sign-out and the same sign-in in one go are three requests: the last one counts")
    func noJoinAcross() {
        var machine = Machine(now: Self.start)
        _ = machine.received(Self.signIn, id: Self.id(1), now: Self.start)
        _ = machine.received(Self.signOut, id: Self.id(2), now: Self.start)
        _ = machine.received(Self.signIn, id: Self.id(3), now: Self.start)
        // This one repeats the last.
        _ = machine.received(Self.signIn, id: Self.id(4), now: Self.start)
        _ = machine.identityAnswered(Self.granted(), now: Self.start)
        #expect(machine.claimed(epoch: 1) != nil)
        #expect(machine.entered()?.ids == [Self.id(1)])
        #expect(machine.next() == .identify(Self.id(2), Self.signOut))
        _ = machine.identityAnswered(Response(.changed), now: Self.start)
        #expect(machine.session == nil)
        #expect(machine.next() == .identify(Self.id(3), Self.signIn))
        _ = machine.identityAnswered(Self.granted(), now: Self.start)
        #expect(machine.claimed(epoch: 2) != nil)
        #expect(machine.entered()?.ids == [Self.id(3), Self.id(4)])
        #expect(machine.session?.epoch == 2)
    }

    @Test("At most so many requests wait; more get 5.03 at once")
    func waitingBound() {
        var limits = Machine.Limits()
        limits.waiting = 3
        var machine = Machine(limits: limits, now: Self.start)
        _ = machine.received(Self.signIn, id: Self.id(1), now: Self.start)
        for value in 2...4 {
            #expect(machine.received(Self.publish, id: Self.id(UInt64(value)), now: Self.start) == .wait)
        }
        guard case .answer(let id, let response) = machine.received(Self.publish, id: Self.id(5), now: Self.start)
        else {
            Issue.record("a fourth waits")
            return
        }
        #expect(id == Self.id(5))
        #expect(response.code == .serviceUnavailable)
        #expect(response.options.maxAge != nil)
    }

    @Test("A second sign-in of the same device renews the expiry only; another device's takes the session's place")
    func secondSignIn() throws {
        var machine = try Self.signedIn(milliseconds: 1000)
        let later = Self.start + .milliseconds(500)
        _ = machine.received(Self.signIn, id: Self.id(2), now: later)
        let answer = Self.granted(milliseconds: 9000)
        #expect(machine.identityAnswered(answer, now: later) == .answer([Self.id(2)], answer, ended: nil))
        #expect(machine.session?.epoch == 7)
        #expect(machine.session?.expiresAt == later + .seconds(9))

        let current = machine.session
        let old = try #require(current)
        _ = machine.received(Self.signIn, id: Self.id(3), now: later)
        #expect(
            machine.identityAnswered(Self.granted("fan"), now: later)
                == .claim(di: try DeviceID("fan"), uid: try UserID("alice"), ended: old))
    }

    @Test("A refresh lengthens the session of its own device and of no other")
    func refreshLengthens() throws {
        var machine = try Self.signedIn(milliseconds: 1000)
        for (di, expected) in [("fan", 1000), ("lamp", 60_000)] as [(String, Int64)] {
            var answer = Response(.changed)
            answer.options.sessionDevice = di
            answer.options.sessionExpiryMilliseconds = 60_000
            _ = machine.received(Self.refresh, id: Self.id(2), now: Self.start)
            _ = machine.identityAnswered(answer, now: Self.start)
            #expect(machine.session?.expiresAt == Self.start + .milliseconds(expected))
        }
    }

    @Test("A session ends with its token, not before, and the connection stays")
    func expiry() throws {
        var machine = try Self.signedIn(milliseconds: 1000)
        let end = Self.start + .seconds(1)
        #expect(machine.deadlineReached(now: end - .nanoseconds(1)) == .wait(until: end))
        let current = machine.session
        let session = try #require(current)
        #expect(machine.deadlineReached(now: end) == .expired(session))
        #expect(machine.session == nil)
        // From here on it counts as an unsigned connection.
        #expect(machine.deadlineReached(now: end) == .wait(until: end + .seconds(30)))
    }

    @Test("While the registry cannot be reached a session outlives its token by 15 min at most")
    func registryGrace() throws {
        var machine = try Self.signedIn(milliseconds: 60_000)
        let over = Self.start + .seconds(60)
        let isOver = [machine.isOver(now: over - .nanoseconds(1)), machine.isOver(now: over)]
        #expect(isOver == [false, true])
        #expect(
            machine.deadlineReached(now: over, isRegistryUnreachable: true) == .wait(until: over + .seconds(5)))
        // Renewed by the registry that is back, it goes on as ever.
        let last = over + .minutes(15)
        #expect(
            machine.deadlineReached(now: last - .seconds(1), isRegistryUnreachable: true) == .wait(until: last))
        guard case .expired = machine.deadlineReached(now: last, isRegistryUnreachable: true) else {
            Issue.record("the session is still there")
            return
        }
        #expect(machine.session == nil)
    }

    @Test("Once the registry answers again a session whose token is over ends, unless it was renewed")
    func registryBack() throws {
        let over = Self.start + .seconds(60)
        var ended = try Self.signedIn(milliseconds: 60_000)
        _ = ended.deadlineReached(now: over, isRegistryUnreachable: true)
        guard case .expired = ended.deadlineReached(now: over + .seconds(5)) else {
            Issue.record("the session is still there")
            return
        }
        var renewed = try Self.signedIn(milliseconds: 60_000)
        _ = renewed.deadlineReached(now: over, isRegistryUnreachable: true)
        _ = renewed.received(Self.refresh, id: Self.id(9), now: over)
        _ = renewed.identityAnswered(Self.granted(milliseconds: 60_000), now: over)
        #expect(renewed.deadlineReached(now: over + .seconds(5)) == .wait(until: over + .seconds(60)))
    }

    @Test("A session keeps the login it was granted for, and follows a second sign-in to another")
    func family() throws {
        var machine = try Self.signedIn()
        #expect(machine.session?.family == nil)
        var granted = Self.granted()
        granted.options.sessionFamily = "f2"
        granted.options.sequence = 12
        _ = machine.received(Self.signIn, id: Self.id(2), now: Self.start)
        _ = machine.identityAnswered(granted, now: Self.start)
        #expect(machine.session?.family == FamilyID(stored: "f2"))
        #expect(machine.session?.sequence == 12)
        #expect(machine.session?.epoch == 7)
    }

    @Test("A session with a permanent token waits for nothing")
    func permanent() throws {
        var machine = try Self.signedIn()
        #expect(machine.deadlineReached(now: Self.start + .hours(1000)) == .wait(until: nil))
    }

    @Test("Without a session a connection is closed after 30 s without a request")
    func idle() {
        var machine = Machine(now: Self.start)
        #expect(machine.deadlineReached(now: Self.start) == .wait(until: Self.start + .seconds(30)))
        let request = Self.start + .seconds(29)
        _ = machine.received(Self.publish, id: Self.id(1), now: request)
        _ = machine.answered(.unauthorized)
        #expect(machine.deadlineReached(now: request) == .wait(until: request + .seconds(30)))
        guard case .close(let reason) = machine.deadlineReached(now: request + .seconds(30)) else {
            Issue.record("it stays")
            return
        }
        #expect(reason.contains("30 s"))
    }

    @Test("After a 5.03 of ours it has 120 s, until it was answered something else")
    func idleAfterUnavailable() {
        var machine = Machine(now: Self.start)
        _ = machine.received(Self.signIn, id: Self.id(1), now: Self.start)
        _ = machine.identityAnswered(Response(.serviceUnavailable), now: Self.start)
        _ = machine.answered(.serviceUnavailable)
        #expect(machine.deadlineReached(now: Self.start + .seconds(30)) == .wait(until: Self.start + .seconds(120)))
        let later = Self.start + .seconds(100)
        _ = machine.received(Self.signIn, id: Self.id(2), now: later)
        _ = machine.identityAnswered(Response(.unauthorized), now: later)
        _ = machine.answered(.unauthorized)
        #expect(machine.deadlineReached(now: later) == .wait(until: later + .seconds(30)))
    }

    @Test("Without a session it is closed after 5 min, however often it asks")
    func unsignedAtMost() {
        var machine = Machine(now: Self.start)
        for seconds in stride(from: 0, to: 300, by: 20) {
            let now = Self.start + .seconds(Int64(seconds))
            _ = machine.received(Self.signIn, id: Self.id(1), now: now)
            _ = machine.identityAnswered(Response(.badRequest), now: now)
            guard case .wait = machine.deadlineReached(now: now) else {
                Issue.record("closed after \(seconds) s")
                return
            }
        }
        guard case .close = machine.deadlineReached(now: Self.start + .minutes(5)) else {
            Issue.record("it stays")
            return
        }
    }

    @Test("While the registry is asked the peer is not idle")
    func notIdleWhileAsked() {
        var machine = Machine(now: Self.start)
        _ = machine.received(Self.signIn, id: Self.id(1), now: Self.start)
        #expect(machine.deadlineReached(now: Self.start + .seconds(60)) == .wait(until: Self.start + .minutes(5)))
    }

    @Test("Ten 4.01 of ours in a row are enough; a sign-in begins a new count, answers of devices do not count")
    func refusals() throws {
        var machine = Machine(now: Self.start)
        func refuse() -> Bool {
            _ = machine.received(Self.signIn, id: Self.id(1), now: Self.start)
            _ = machine.identityAnswered(Response(.unauthorized), now: Self.start)
            return machine.answered(.unauthorized)
        }
        for _ in 0..<9 { #expect(!refuse()) }
        _ = machine.received(Self.signIn, id: Self.id(2), now: Self.start)
        _ = machine.identityAnswered(Self.granted(), now: Self.start)
        _ = machine.claimed(epoch: 1)
        _ = machine.entered()
        for _ in 0..<50 {
            let isEnough = machine.answered(.unauthorized)
            #expect(!isEnough)
        }
        for _ in 0..<9 { #expect(!refuse()) }
        #expect(refuse())
    }

    @Test("Sign-off ends the session it names, and only that")
    func signOff() throws {
        let request = Request(.delete, path: OCFPath.account)
        for (di, ends) in [("fan", false), ("lamp", true)] {
            var machine = try Self.signedIn()
            let current = machine.session
            let session = try #require(current)
            var answer = Response(.deleted)
            answer.options.append(.sessionDevice, string: di)
            _ = machine.received(request, id: Self.id(2), now: Self.start)
            #expect(
                machine.identityAnswered(answer, now: Self.start)
                    == .answer([Self.id(2)], answer, ended: ends ? session : nil))
            #expect((machine.session == nil) == ends)
        }
    }

    @Test("A signed-in connection reaches the cloud's resources and devices, and nothing else")
    func routes() throws {
        var machine = try Self.signedIn()
        let current = machine.session
        let session = try #require(current)
        let cloud = Request(.get, path: ["oic", "d"])
        #expect(machine.received(cloud, id: Self.id(2), now: Self.start) == .direct(Self.id(2), cloud))
        let device = Request(.get, path: ["fan", "speed"])
        #expect(machine.received(device, id: Self.id(3), now: Self.start) == .relay(Self.id(3), device, session))
        for path in [[], ["fan"], ["", "fan"]] {
            guard
                case .answer(_, let response) = machine.received(
                    Request(.get, path: path), id: Self.id(4), now: Self.start)
            else { Issue.record("\(path) was asked"); continue }
            #expect(response.code == .notFound)
        }
    }
}
