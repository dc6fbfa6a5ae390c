import Cloud
import NIOCore
import Testing

@testable import CoAPInterface

/// A drain with a clock of its own.
private struct DrainRun {
    static let start = NIODeadline.uptimeNanoseconds(1)

    var machine: DrainMachine
    /// Since the start.
    private(set) var time = TimeAmount.zero
    /// When each session was told to move, and whether firmly.
    private(set) var moves: [(at: TimeAmount, session: MovableSession, isFirm: Bool)] = []
    private(set) var others: [DrainMachine.Action] = []
    /// Sessions in the table.
    var present: Int
    /// Requests in flight on them.
    var inFlight: [MovableSession: Int] = [:]
    /// Whether devices close as soon as they are released.
    var devicesClose = true

    init(
        sessions: Int, propagation: TimeAmount = .seconds(10), window: TimeAmount = .seconds(30),
        ending: TimeAmount = .seconds(26), fleetReconnects: Int = 1000
    ) {
        self.machine = DrainMachine(
            settings: .init(
                propagation: propagation, window: window, ending: ending, fleetReconnects: fleetReconnects),
            sessions: Self.sessions(0..<sessions), now: Self.start)
        self.present = sessions
    }

    static func session(_ number: Int) -> MovableSession {
        MovableSession(di: DeviceID(stored: "d\(number)"), epoch: UInt64(number + 1))
    }

    static func sessions(_ numbers: Range<Int>) -> [MovableSession] { numbers.map { Self.session($0) } }

    mutating func arrive(_ session: MovableSession) {
        self.present += 1
        self.machine.arrived(session)
    }

    mutating func run(until end: TimeAmount) {
        while self.time < end, self.machine.phase != .over {
            self.time = self.time + .milliseconds(100)
            for action in self.machine.tick(now: Self.start + self.time, present: self.present) {
                guard case .move(let session, let isFirm) = action else {
                    self.others.append(action)
                    continue
                }
                if let inFlight = self.inFlight[session], !isFirm {
                    self.machine.busy(session, inFlight: inFlight)
                    continue
                }
                self.moves.append((self.time, session, isFirm))
                guard self.devicesClose else { continue }
                self.machine.left(session, wasReleased: true)
                self.present -= 1
            }
        }
    }

    func moved(from start: TimeAmount, to end: TimeAmount) -> Int {
        self.moves.count { $0.at > start && $0.at <= end }
    }
}

@Suite("When a pod that stops moves which session")
struct DrainMachineTests {
    @Test("It serves on for the propagation, and releases nobody")
    func propagation() {
        var run = DrainRun(sessions: 3000)
        run.run(until: .milliseconds(9900))
        #expect(run.moves.isEmpty && run.others.isEmpty)
        #expect(run.machine.phase == .serving)
        run.run(until: .seconds(10))
        #expect(run.others == [.releasing(sessions: 3000)])
    }

    @Test(
        "Sessions go at an even pace over the window, each once, and then it is over", arguments: [1, 7, 3000, 20_000])
    func pace(sessions: Int) {
        var run = DrainRun(sessions: sessions)
        run.run(until: .seconds(100))
        #expect(run.moves.count == sessions)
        #expect(Set(run.moves.map(\.session)).count == sessions)
        #expect(run.time <= .milliseconds(40_200))
        #expect(run.others.last == .finished)
        guard sessions >= 3000 else { return }
        for second in Int64(10)..<40 {
            let count = run.moved(from: .seconds(second), to: .seconds(second + 1))
            #expect(abs(count - sessions / 30) <= sessions / 300 + 1, "second \(second): \(count)")
        }
    }

    @Test("Never faster than the fleet's reconnects divided by the pods that drain; who is over goes after the window")
    func share() {
        var run = DrainRun(sessions: 9000)
        run.machine.podsChanged(4)
        run.run(until: .seconds(200))
        for tenth in Int64(0)..<600 {
            let begin = TimeAmount.milliseconds(10_000 + tenth * 100)
            #expect(run.moved(from: begin, to: begin + .seconds(1)) <= 251)
        }
        #expect(run.moved(from: .seconds(10), to: .seconds(40)) >= 7450)
        #expect(run.moves.count == 9000)
        #expect(run.others.last == .finished)
    }

    @Test("Sessions with work in flight come after all others, the least busy first; none is skipped")
    func busy() {
        var run = DrainRun(sessions: 300)
        run.inFlight = [DrainRun.session(0): 5, DrainRun.session(10): 1, DrainRun.session(20): 3]
        run.run(until: .seconds(60))
        #expect(run.moves.count == 300)
        #expect(run.moves.suffix(3).map(\.session) == [10, 20, 0].map(DrainRun.session))
        #expect(run.moves.suffix(3).allSatisfy { $0.isFirm })
        #expect(run.moves.dropLast(3).allSatisfy { !$0.isFirm })
    }

    @Test("With work in flight on all of them the pace is even all the same")
    func allBusy() {
        var run = DrainRun(sessions: 600)
        for number in 0..<600 { run.inFlight[DrainRun.session(number)] = 1 }
        run.run(until: .seconds(60))
        #expect(run.moves.count == 600)
        #expect(run.moved(from: .seconds(10), to: .seconds(25)) >= 250)
        #expect(run.time <= .seconds(41))
    }

    @Test("Who still arrives is released again, last")
    func arrivals() {
        var run = DrainRun(sessions: 30)
        run.arrive(DrainRun.session(100))
        run.run(until: .seconds(20))
        run.arrive(DrainRun.session(101))
        run.run(until: .seconds(60))
        #expect(run.moves.count == 32)
        #expect(run.moves.suffix(2).map(\.session) == [100, 101].map(DrainRun.session))
        #expect(run.others.last == .finished)
    }

    @Test("Nobody is released while registry or Redis is away; then the rest goes in what is left of the window")
    func unhealthy() {
        var run = DrainRun(sessions: 3000)
        run.run(until: .seconds(20))
        let before = run.moves.count
        run.machine.healthChanged(false)
        run.run(until: .seconds(30))
        #expect(run.moves.count == before)
        run.machine.healthChanged(true)
        run.run(until: .seconds(31))
        // 2,000 of them in 10 s.
        #expect(abs(run.moves.count - before - 200) <= 25, "\(run.moves.count - before)")
        run.run(until: .seconds(60))
        #expect(run.moves.count == 3000)
        #expect(run.time <= .milliseconds(40_200))
    }

    @Test("A store that is back after the window still lets them go until the deadline")
    func backLate() {
        var run = DrainRun(sessions: 3000)
        run.machine.healthChanged(false)
        run.run(until: .seconds(50))
        #expect(run.moves.isEmpty)
        run.machine.healthChanged(true)
        run.run(until: .seconds(100))
        #expect(run.moves.count == 3000)
        #expect(run.moves.allSatisfy { $0.isFirm })
        #expect(run.others.last == .finished)
    }

    @Test("At the deadline the rest is closed: those that could not go, and those that did not")
    func deadline() {
        var away = DrainRun(sessions: 10)
        away.machine.healthChanged(false)
        away.run(until: .seconds(100))
        #expect(away.others.last == .closeRest)
        #expect(away.time == .seconds(66))

        var deaf = DrainRun(sessions: 10)
        deaf.devicesClose = false
        deaf.run(until: .seconds(100))
        #expect(deaf.moves.count == 10)
        #expect(deaf.others.last == .closeRest)
        #expect(deaf.machine.tick(now: DrainRun.start + .seconds(200), present: 10).isEmpty)
    }

    @Test("Without sessions it is over with the propagation; sessions that left by themselves take nobody's turn")
    func left() {
        var none = DrainRun(sessions: 0)
        none.run(until: .seconds(60))
        #expect(none.time == .seconds(10))
        #expect(none.others == [.releasing(sessions: 0), .finished])

        var run = DrainRun(sessions: 100)
        run.run(until: .seconds(11))
        run.present = 0
        run.run(until: .seconds(60))
        #expect(run.time <= .milliseconds(11_100))
    }

    @Test("Without a window nobody is moved, and it is over with the propagation")
    func noWindow() {
        var run = DrainRun(sessions: 500, propagation: .seconds(2), window: .zero)
        run.run(until: .seconds(60))
        #expect(run.moves.isEmpty)
        #expect(run.others == [.releasing(sessions: 500), .finished])
        #expect(run.time == .seconds(2))
    }
}
