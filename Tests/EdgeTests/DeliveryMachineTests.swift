import Cloud
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("Where one request goes next")
struct DeliveryMachineTests {
    typealias Machine = DeliveryMachine

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private static let deadline = Self.start + .seconds(20)
    private static let refusals: [Undelivered] = [.noSession, .superseded, .moving, .unreachable]

    private static func route(_ epoch: UInt64 = 7, pod: String = "pod.1", uid: String = "alice") throws -> Route {
        Route(
            di: try DeviceID("lamp"), uid: try UserID(uid), pod: Pod(name: pod), epoch: epoch, state: .live,
            since: Timestamp(milliseconds: 0))
    }

    private static func found(
        _ state: Route.State = .live, epoch: UInt64 = 7, lease: PodLease = .held, age: Duration = .seconds(600)
    ) throws -> Machine.Found {
        var route = try Self.route(epoch)
        route.state = state
        return .route(FoundRoute(route: route, lease: lease, age: age))
    }

    private static func machine(isRepeatable: Bool = true) throws -> Machine {
        Machine(di: try DeviceID("lamp"), uid: "alice", deadline: Self.deadline, isRepeatable: isRepeatable)
    }

    /// A request that was sent along route 7.
    private static func sent(isRepeatable: Bool = true) throws -> Machine {
        var machine = try Self.machine(isRepeatable: isRepeatable)
        let action = machine.start(remembered: try Self.route(), now: Self.start)
        #expect(action == .send(.init(pod: Pod(name: "pod.1"), epoch: 7, milliseconds: 20_000)))
        return machine
    }

    /// One that was refused for `reason`, and whose route is being looked up.
    private static func refused(_ reason: Undelivered) throws -> Machine {
        var machine = try Self.sent()
        #expect(machine.answered(.undelivered(reason), now: Self.start) == .lookUp)
        return machine
    }

    @Test("A remembered route is used, unless it is somebody else's; without one it is looked up")
    func start() throws {
        _ = try Self.sent()
        for remembered in [nil, try Self.route(uid: "bob")] {
            var machine = try Self.machine()
            #expect(machine.start(remembered: remembered, now: Self.start) == .lookUp)
        }
    }

    @Test("The table of outcomes: what each comes to, by whether it may be repeated and time is left")
    func outcomes() throws {
        for isRepeatable in [true, false] {
            for now in [Self.start, Self.deadline] {
                let hasTime = now < Self.deadline
                func answered(_ response: Response) throws -> Machine.AnswerAction {
                    var machine = try Self.sent(isRepeatable: isRepeatable)
                    return machine.answered(response, now: now)
                }
                // The device's own answer, whatever it says.
                for response in [Response.on, Response(.serviceUnavailable), Response(.gatewayTimeout)] {
                    #expect(try answered(response) == .passOn(response))
                }
                for reason in Undelivered.allCases {
                    let response = Response.undelivered(reason)
                    let isRefusal = Self.refusals.contains(reason)
                    #expect(try answered(response) == (isRefusal && hasTime ? .lookUp : .answer(response)))
                    #expect(Machine.disprovesRoute(response) == (isRefusal || reason == .signedOut))
                }
                for outcome in UnknownOutcome.allCases {
                    let response = Response.unknown(outcome)
                    let isRepeated = outcome == .connectionLost && isRepeatable && hasTime
                    #expect(try answered(response) == (isRepeated ? .lookUp : .answer(response)))
                }
            }
        }
    }

    @Test("Another live route is used at once, with the time that is left")
    func otherRoute() throws {
        for reason in Self.refusals {
            var machine = try Self.refused(reason)
            let next = machine.found(try Self.found(epoch: 8), now: Self.start + .milliseconds(1500))
            #expect(next == .send(.init(pod: Pod(name: "pod.1"), epoch: 8, milliseconds: 18_500)))
        }
    }

    @Test("The same route once more, by the reason for which it was refused")
    func sameRoute() throws {
        var moving = try Self.refused(.moving)
        #expect(moving.found(try Self.found(), now: Self.start) == .wait(.settling(.milliseconds(20))))
        let retry = Machine.Attempt(pod: Pod(name: "pod.1"), epoch: 7, milliseconds: 19_980)
        // Others may have made the edge look sooner.
        let soon = Self.start + .milliseconds(5)
        #expect(moving.found(try Self.found(), now: soon) == .wait(.settling(.milliseconds(15))))
        #expect(moving.found(try Self.found(), now: Self.start + .milliseconds(20)) == .send(retry))
        #expect(moving.answered(.undelivered(.moving), now: Self.start) == .lookUp)
        // The store says now that it ends.
        #expect(moving.found(try Self.found(.moving), now: Self.start) == .wait(.betweenPods))
        var superseded = try Self.refused(.superseded)
        let again = Machine.Attempt(pod: Pod(name: "pod.1"), epoch: 0, milliseconds: 20_000)
        #expect(superseded.found(try Self.found(), now: Self.start) == .send(again))
        #expect(superseded.answered(.undelivered(.superseded), now: Self.start) == .lookUp)
        #expect(superseded.found(try Self.found(), now: Self.start) == .wait(.betweenPods))
        for reason in [Undelivered.noSession] {
            var machine = try Self.refused(reason)
            #expect(machine.found(try Self.found(), now: Self.start) == .wait(.settling(.milliseconds(20))))
            let same = Machine.Attempt(pod: Pod(name: "pod.1"), epoch: 7, milliseconds: 19_980)
            #expect(machine.found(try Self.found(), now: Self.start + .milliseconds(20)) == .send(same))
            #expect(machine.answered(.undelivered(reason), now: Self.start) == .lookUp)
            var old = machine
            #expect(old.found(try Self.found(), now: Self.start) == .explain(.undelivered(reason)))
            // A claim made just now gets more time to become a session.
            let young = machine.found(try Self.found(age: .milliseconds(30)), now: Self.start)
            #expect(young == .wait(.settling(.milliseconds(50))))
        }
    }

    @Test("A pod that cannot be reached is tried again for as long as its lease may outlive it, and no longer")
    func unreachable() throws {
        var machine = try Self.refused(.unreachable)
        var now = Self.start
        var pauses: [Duration] = []
        var last = machine.found(try Self.found(), now: now)
        while case .wait(.settling(let pause)) = last {
            pauses.append(pause)
            now = now + TimeAmount(pause)
            guard case .send = machine.found(try Self.found(), now: now) else {
                Issue.record("not tried again")
                return
            }
            #expect(machine.answered(.undelivered(.unreachable), now: now) == .lookUp)
            last = machine.found(try Self.found(), now: now)
        }
        #expect(last == .explain(.undelivered(.unreachable)))
        let first: [Duration] = [20, 100, 250, 500, 1000, 1000].map { .milliseconds($0) }
        #expect(Array(pauses.prefix(6)) == first)
        #expect(pauses.count < Machine.maximumAttempts)
        #expect(now - Self.start >= TimeAmount(RouteTimes.lease))
        #expect(now - Self.start < TimeAmount(RouteTimes.lease) + .seconds(1))
    }

    @Test("When the time ends while an unreachable pod is tried again, that it is unreachable is the answer")
    func lateWhileUnreachable() throws {
        var machine = try Self.refused(.unreachable)
        _ = machine.found(try Self.found(), now: Self.start)
        _ = machine.found(try Self.found(), now: Self.start + .milliseconds(20))
        #expect(machine.answered(.undelivered(.late), now: Self.deadline) == .answer(.undelivered(.unreachable)))
    }

    @Test("What is waited for and what is not, by the state of the route and its pod's lease")
    func waiting() throws {
        let cases: [(Machine.Found, isWaitedFor: Bool)] = [
            (try Self.found(.moving), true),
            (try Self.found(.left, age: .seconds(14)), true),
            (try Self.found(.left, age: .seconds(15)), false),
            (try Self.found(lease: .lapsed(for: .seconds(14))), true),
            (try Self.found(lease: .lapsed(for: .seconds(15))), false),
            (try Self.found(lease: .gone), false),
            (.route(nil), false),
            (.route(FoundRoute(route: try Self.route(uid: "bob"), lease: .held, age: .zero)), false),
        ]
        for (found, isWaitedFor) in cases {
            var machine = try Self.machine()
            _ = machine.start(remembered: nil, now: Self.start)
            switch machine.found(found, now: Self.start) {
            case .wait(.betweenPods): #expect(isWaitedFor)
            case .explain(let response):
                #expect(!isWaitedFor)
                #expect(response.options.undelivered == .noSession)
            case let other: Issue.record("\(other) for \(found)")
            }
        }
    }

    @Test("The deadline ends it in each state, and nothing is sent after it")
    func deadline() throws {
        var fresh = try Self.machine()
        guard case .answer(let late) = fresh.start(remembered: try Self.route(), now: Self.deadline) else {
            return #expect(Bool(false), "sent after the deadline")
        }
        #expect(late.options.undelivered == .late)

        var looking = try Self.machine()
        _ = looking.start(remembered: nil, now: Self.start)
        #expect(looking.deadlineReached(now: Self.deadline - .milliseconds(1)) == .goOn)
        #expect(looking.found(try Self.found(), now: Self.deadline) == .answer(late))

        var waiting = try Self.machine()
        _ = waiting.start(remembered: nil, now: Self.start)
        _ = waiting.found(try Self.found(.moving), now: Self.start)
        guard case .answer(let moving) = waiting.found(try Self.found(), now: Self.deadline) else {
            return #expect(Bool(false), "sent after the deadline")
        }
        #expect(moving.options.undelivered == .moving)

        var refused = try Self.refused(.noSession)
        #expect(refused.deadlineReached(now: Self.deadline) == .answer(.undelivered(.noSession)))

        var sending = try Self.sent()
        #expect(sending.deadlineReached(now: Self.deadline) == .goOn)
        #expect(sending.answered(.undelivered(.moving), now: Self.deadline) == .answer(.undelivered(.moving)))
    }

    @Test("What may have been acted on is what counts, whatever becomes of the repetition")
    func firstCounts() throws {
        let lost = Response.unknown(.connectionLost)
        func repeated() throws -> Machine {
            var machine = try Self.sent()
            #expect(machine.answered(lost, now: Self.start) == .lookUp)
            return machine
        }
        var offline = try repeated()
        #expect(offline.found(.route(nil), now: Self.start) == .answer(lost))
        var late = try repeated()
        #expect(late.deadlineReached(now: Self.deadline) == .answer(lost))
        var full = try repeated()
        #expect(full.turnedAway() == lost)
        var blind = try repeated()
        guard case .wait = blind.found(.unavailable(lastKnown: nil), now: Self.start) else {
            return #expect(Bool(false), "the store is asked once only")
        }
        let later = Self.start + Machine.storeLimit
        #expect(blind.found(.unavailable(lastKnown: nil), now: later) == .answer(lost))
        var twice = try repeated()
        guard case .send = twice.found(try Self.found(), now: Self.start) else {
            return #expect(Bool(false), "not repeated")
        }
        #expect(twice.answered(lost, now: Self.start) == .answer(lost))
        var busy = try repeated()
        _ = busy.found(try Self.found(), now: Self.start)
        #expect(busy.answered(.undelivered(.queueFull), now: Self.start) == .answer(lost))
    }
}
