import CBOR
import Cloud
import CoAP
import Logging
import OCF
import Synchronization
import TestSupport
import Testing

@testable import RegistryReach

@Suite("Following the change log", .timeLimit(.minutes(1)))
struct FollowerTests {
    private func answer(_ last: Int64, _ changes: [Int64] = [], gap: Bool = false) -> ChangesAnswer {
        ChangesAnswer(
            last: last, gap: gap, changes: changes.map { Known.change($0, .family, "f-\($0)") }, now: Known.time)
    }

    @Test("The first answer says where to begin; then changes are applied once, in order")
    func order() {
        var machine = FollowerMachine()
        #expect(machine.answered(self.answer(7)) == [.begin(at: 7)])
        #expect(machine.answered(self.answer(7)).isEmpty)
        #expect(
            machine.answered(self.answer(9, [8, 9]))
                == [.apply(Known.change(8, .family, "f-8")), .apply(Known.change(9, .family, "f-9"))])
        // An answer of before, once more.
        #expect(machine.answered(self.answer(9, [8, 9])).isEmpty)
        #expect(machine.answered(self.answer(10, [9, 10])) == [.apply(Known.change(10, .family, "f-10"))])
        // More are there than one answer holds.
        #expect(machine.answered(self.answer(4000, [11])) == [.apply(Known.change(11, .family, "f-11"))])
        #expect(machine.position == 11)
    }

    @Test("A gap that is said, a hole, and a log that stands before us all mean that changes were missed")
    func gaps() {
        for (answer, actions) in [
            (self.answer(20, gap: true), [FollowerMachine.Action.gap(at: 20)]),
            (self.answer(3, gap: true), [.gap(at: 3)]), (self.answer(3), [.gap(at: 3)]),
            (self.answer(20, [9, 10]), [.gap(at: 20)]), (self.answer(20), [.gap(at: 20)]),
            (self.answer(20, [8, 10]), [.apply(Known.change(8, .family, "f-8")), .gap(at: 20)]),
        ] {
            var machine = FollowerMachine()
            _ = machine.answered(self.answer(7))
            #expect(machine.answered(answer) == actions)
            #expect(machine.position == answer.last)
        }
    }

    @Test("After a failure: 100 ms, doubled up to 1 s, and from the beginning after a success")
    func backOff() {
        var machine = FollowerMachine()
        #expect(
            (0..<6).map { _ in machine.failed().wait } == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
        _ = machine.answered(self.answer(1))
        #expect(machine.failed().wait == .milliseconds(100))
    }

    @Test("Operators are told once of each outage; while the registry was never there, only of a long one")
    func complaints() {
        var machine = FollowerMachine()
        #expect((0..<7).map { _ in machine.failed().complain } == [false, false, false, false, true, false, false])
        #expect(machine.hasComplained)
        _ = machine.answered(self.answer(1))
        #expect(!machine.hasComplained)
        #expect((0..<3).map { _ in machine.failed().complain } == [true, false, false])
        // One that was there shortly after the start is not worth a word.
        var quick = FollowerMachine()
        _ = quick.failed()
        _ = quick.answered(self.answer(1))
        #expect(!quick.hasComplained)
    }

    @Test("Sequences that a restored store gives out again reach sessions as changes that hit whoever has one")
    func restored() {
        var machine = FollowerMachine()
        _ = machine.answered(self.answer(20))
        let change = Known.change(5, .family, "f-5")
        #expect(machine.told(21) == 21)
        #expect(machine.answered(self.answer(4, gap: true)) == [.gap(at: 4)])
        #expect(machine.answered(self.answer(5, [5])) == [.apply(change)])
        // Sign-ins that were granted by the store of before are over, whatever they were granted knowing of.
        #expect(machine.told(4) == .max)
        #expect(machine.told(20) == .max)
        #expect(machine.told(21) == 21)
        // A gap forwards gives nothing out twice.
        var forwards = FollowerMachine()
        _ = forwards.answered(self.answer(20))
        _ = forwards.answered(self.answer(90, gap: true))
        #expect(forwards.told(15) == 15)
    }

    /// A change log as a registry serves it, with failures as the test wants them.
    private final class Log: Responder {
        struct State {
            var changes: [Change] = []
            var isDown = false
            var saysGap = false
            var held: [@Sendable (Response) -> Void] = []
            var askedAfter: [Int64?] = []
        }

        let state = Mutex(State())
        let asked = Inbox<[Login]>()
        let gone: Set<String>

        init(_ count: Int64, gone: Set<String> = []) {
            self.gone = gone
            self.state.withLock { state in
                state.changes = (0..<count).map { Known.change($0 + 1, .family, "f-\($0 + 1)") }
            }
        }

        func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
            if request.options.path == RegistryProtocol.logins {
                let logins =
                    (try? LoginsRequest(Negotiation.payload(of: request)).logins) ?? []
                self.asked.take(logins)
                let places = logins.indices.filter { self.gone.contains(logins[$0].di.text) }
                return answer(Negotiation.ocf.response(.content, GoneLogins(places).item))
            }
            let after = (try? ChangesRequest(request.options))?.after
            let response: Response? = self.state.withLock { state in
                state.askedAfter.append(after)
                if state.isDown {
                    var response = Response(.badGateway, diagnostic: "lost")
                    response.options.unknownOutcome = .connectionLost
                    return response
                }
                let last = Int64(state.changes.count)
                if after == nil || state.saysGap || after.map({ $0 > last }) == true {
                    let isGap = after != nil
                    state.saysGap = false
                    return Self.response(ChangesAnswer(last: last, gap: isGap, changes: [], now: Known.time))
                }
                let new = Array(state.changes.dropFirst(Int(after ?? 0)))
                guard !new.isEmpty else {
                    state.held.append(answer)
                    return nil
                }
                return Self.response(ChangesAnswer(last: last, gap: false, changes: new, now: Known.time))
            }
            if let response { answer(response) }
        }

        private static func response(_ answer: ChangesAnswer) -> Response {
            Negotiation.ocf.response(.content, answer.item)
        }

        /// Adds changes and answers who waits, or loses that answer.
        func add(_ count: Int, isLost: Bool = false) {
            let (held, response) = self.state.withLock { state in
                let first = state.changes.count
                for number in 0..<count {
                    let sequence = Int64(first + number + 1)
                    state.changes.append(Known.change(sequence, .family, "f-\(sequence)"))
                }
                defer { state.held = [] }
                let answer = ChangesAnswer(
                    last: Int64(state.changes.count), gap: false, changes: Array(state.changes.dropFirst(first)),
                    now: Known.time)
                return (isLost ? [] : state.held, Self.response(answer))
            }
            for answer in held { answer(response) }
        }
    }

    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let times = ChangeFollower.Times(
        wait: .milliseconds(200), grace: .milliseconds(200), verifiedPerSecond: 1_000_000)

    @Test("Lost and late answers, a registry that is down, a restart: each change is told once, in order")
    func losses() async throws {
        let log = Log(3)
        let cache = IdentityCache()
        let told = Inbox<Change>()
        let follower = ChangeFollower(
            log, caller: "test", cache: cache, times: Self.times, logger: Self.logger, changed: told.take)
        #expect(!follower.isCurrent)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await follower.run() }
            // Begun when it has asked twice.
            try await eventually("a question") { log.state.withLock { !$0.held.isEmpty } }
            #expect(follower.isCurrent)
            log.add(1)
            log.add(2, isLost: true)
            #expect(await told.next(3).map(\.sequence) == [4, 5, 6])
            log.state.withLock { $0.isDown = true }
            log.add(2)
            log.state.withLock { $0.isDown = false }
            #expect(await told.next(2).map(\.sequence) == [7, 8])
            group.cancelAll()
        }
        #expect(log.state.withLock { $0.askedAfter.first } == .some(nil))
        #expect(!cache.stands(Known.recognition(sequence: 7, family: FamilyID(stored: "f-8"))))
    }

    @Test("A gap drops the cache and verifies every session; the logins that are over are told of")
    func gap() async throws {
        let log = Log(3, gone: ["d-7", "d-150"])
        let cache = IdentityCache()
        let told = Inbox<Change>()
        let logins = (0..<250).map { number in
            Login(
                uid: Known.uid, di: DeviceID(stored: "d-\(number)"),
                family: number == 150 ? nil : FamilyID(stored: "f-\(number)"))
        }
        let missed = Mutex<[Int64]>([])
        let follower = ChangeFollower(
            log, caller: "test", cache: cache, times: Self.times, logger: Self.logger, changed: told.take,
            sessions: { last in
                missed.withLock { missed in
                    defer { missed.append(last) }; return missed.isEmpty
                } ? [] : logins
            })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await follower.run() }
            try await eventually("a question") { log.state.withLock { !$0.held.isEmpty } }
            let hash = try Known.token().hash
            cache.keep(Known.recognition(sequence: 3), for: hash, asked: ContinuousClock.now)
            #expect(cache.find(hash) != nil)
            log.state.withLock { $0.saysGap = true }
            #expect(await log.asked.next(3).map(\.count) == [100, 100, 50])
            let ended = await told.next(2)
            #expect(ended.map(\.kind) == [.family, .device])
            #expect(ended.map(\.subject) == ["f-7", "d-150"])
            #expect(missed.withLock { $0 } == [3, 3])
            #expect(cache.find(hash) == nil)
            group.cancelAll()
            try await group.waitForAll()
        }
    }
}
