import TestSupport
import Testing

@testable import Chaos

/// A machine under a clock of its own, in milliseconds from 0.
private struct Rig {
    var machine: TrafficMachine
    private(set) var now: Int64 = 0
    private(set) var opened: [Int] = []
    private(set) var sent: [(request: TrafficRequest, connection: Int)] = []
    private(set) var closed: [Int] = []
    private(set) var over: [TrafficExchange] = []

    init(_ plan: TrafficPlan) {
        self.machine = TrafficMachine(plan, now: 0)
    }

    /// Lets the clock go to `milliseconds`, as fast as the machine asks for.
    mutating func tick(at milliseconds: Int64) {
        self.now = milliseconds * 1_000_000
        self.machine.tick(now: self.now)
        self.obey()
    }

    mutating func obey() {
        while let action = self.machine.next() {
            switch action {
            case .open(let number): self.opened.append(number)
            case .send(let request, let number): self.sent.append((request, number))
            case .close(let number): self.closed.append(number)
            case .over(let exchange): self.over.append(exchange)
            }
        }
    }

    mutating func open(_ number: Int) {
        self.machine.opened(number, now: self.now)
        self.obey()
    }

    mutating func openAll() {
        for number in self.opened { self.open(number) }
    }

    mutating func fail(_ number: Int) {
        self.machine.failed(number, now: self.now)
        self.obey()
    }

    mutating func answer(_ number: Int, staysOpen: Bool = true) {
        self.machine.answered(number, TrafficAnswer(status: 200), staysOpen: staysOpen, now: self.now)
        self.obey()
    }

    mutating func answerAll() {
        for (_, number) in self.sent { self.answer(number) }
    }

    mutating func lose(_ number: Int, hasBegun: Bool = false) {
        self.machine.closed(number, hasBegun: hasBegun, now: self.now)
        self.obey()
    }

    mutating func stop() {
        self.machine.stop(now: self.now)
        self.obey()
    }

    var marks: [Int] { self.sent.map(\.request.n) }
}

@Suite("The machine of the traffic")
struct TrafficMachineTests {
    /// A request every 100 ms, the first at 0.
    private static func plan(connections: Int = 2, most: Int = 4) -> TrafficPlan {
        var plan = TrafficPlan(rate: 10, devices: 5)
        plan.minimumConnections = connections
        plan.maximumConnections = most
        return plan
    }

    /// With its connections open, and the first request answered.
    private static func rig(connections: Int = 2, most: Int = 4) -> Rig {
        var rig = Rig(Self.plan(connections: connections, most: most))
        rig.tick(at: 0)
        rig.openAll()
        rig.answerAll()
        return rig
    }

    // MARK: When

    @Test("Each request is due at its place in the rate, to the nanosecond, however late it is begun")
    func dueTimes() {
        var plan = TrafficPlan(rate: 300, devices: 7)
        plan.maximumConnections = 2000
        var schedule = TrafficSchedule(plan, start: 50)
        #expect(schedule.take(now: 49) == nil)
        var requests: [TrafficRequest] = []
        while let request = schedule.take(now: 3_000_000_050) { requests.append(request) }
        #expect(requests.count == 901)
        #expect(requests.map(\.n) == Array(1...901))
        #expect(requests[1].due == 50 + 3_333_333)
        #expect(requests[900].due == 50 + 3_000_000_000)
        #expect(Set(requests.map(\.device)) == Set(0..<7))
        let posts = requests.count { $0.method == .post }
        #expect((220...320).contains(posts))
    }

    @Test("The same seed makes the same requests")
    func seeds() {
        func requests(_ seed: UInt64) -> [TrafficRequest] {
            var plan = TrafficPlan(rate: 10, devices: 1000)
            plan.seed = seed
            var schedule = TrafficSchedule(plan, start: 0)
            return (0..<20).compactMap { _ in schedule.take(now: .max) }
        }
        #expect(requests(1) == requests(1))
        #expect(requests(1) != requests(2))
    }

    @Test("Requests go out by the clock though none is answered, and nothing that is late moves what comes after")
    func openLoop() {
        var rig = Self.rig(connections: 4)
        rig.tick(at: 350)
        #expect(rig.marks == [1, 2, 3, 4])
        #expect(rig.sent.map(\.request.due) == [0, 100_000_000, 200_000_000, 300_000_000])
        #expect(rig.machine.nextTick == 400_000_000 || rig.machine.nextTick < 500_000_000)
        rig.tick(at: 400)
        #expect(rig.marks == [1, 2, 3, 4, 5])
        #expect(rig.machine.figures.inFlight == 4)
    }

    // MARK: On which connection

    @Test("The minimum of connections is opened at once, and each takes its turn, the longest idle first")
    func rotation() {
        var rig = Self.rig(connections: 3)
        #expect(rig.opened == [1, 2, 3])
        for time in 1...6 {
            rig.tick(at: Int64(time) * 100)
            rig.answerAll()
        }
        #expect(rig.sent.map(\.connection) == [1, 2, 3, 1, 2, 3, 1])
        #expect(rig.over.count == 7)
    }

    @Test("A request that finds no idle connection opens one, up to the maximum; the next waits, and begins late")
    func waits() throws {
        var rig = Self.rig(connections: 1, most: 2)
        rig.tick(at: 100)
        rig.tick(at: 200)
        #expect(rig.opened == [1, 2])
        rig.tick(at: 300)
        #expect(rig.machine.figures.waiting == 1)
        rig.open(2)
        #expect(rig.marks == [1, 2, 3])
        rig.tick(at: 350)
        rig.answer(1)
        #expect(rig.marks == [1, 2, 3, 4])
        rig.tick(at: 360)
        rig.answer(1)
        let last = try #require(rig.over.last)
        #expect(last.request.n == 4)
        #expect(last.request.due == 300_000_000)
        #expect(last.begin == 350_000_000)
        #expect(last.end == 360_000_000)
        #expect(rig.machine.figures.mostWaiting == 1)
    }

    @Test("No more wait than may: who comes then is due, and never begun")
    func boundOfWaiting() {
        var plan = Self.plan(connections: 1, most: 1)
        plan.maximumWaiting = 3
        var rig = Rig(plan)
        rig.tick(at: 0)
        rig.openAll()
        rig.tick(at: 900)
        #expect(rig.machine.figures.due == 10)
        #expect(rig.machine.figures.waiting == 3)
        for _ in 0..<9 { rig.answer(1) }
        #expect(rig.marks == [1, 2, 3, 4])
    }

    @Test("An answer with Connection: close is the last of its connection, and another takes its place (RFC 9112 §9.6)")
    func closeHeader() {
        var rig = Self.rig()
        rig.tick(at: 100)
        rig.answer(2, staysOpen: false)
        #expect(rig.closed == [2])
        #expect(rig.opened == [1, 2, 3])
        rig.open(3)
        rig.tick(at: 200)
        rig.answerAll()
        rig.tick(at: 300)
        #expect(rig.sent.map(\.connection) == [1, 2, 1, 3])
    }

    @Test("A connection that is closed while idle is replaced, and nothing has failed")
    func closedIdle() {
        var rig = Self.rig()
        rig.lose(1)
        #expect(rig.opened == [1, 2, 3])
        #expect(rig.over.count == 1)
        rig.tick(at: 100)
        rig.answerAll()
        rig.open(3)
        rig.tick(at: 200)
        rig.tick(at: 300)
        #expect(rig.sent.map(\.connection) == [1, 2, 2, 3])
    }

    @Test("A peer that takes connections and drops them unused is not stormed: the next come after a pause")
    func pauses() {
        var plan = Self.plan()
        plan.rate = 0.1
        var rig = Rig(plan)
        rig.tick(at: 0)
        rig.openAll()
        rig.answerAll()
        rig.lose(2)
        for time in 1...9 { rig.tick(at: Int64(time) * 100) }
        #expect(rig.opened == [1, 2])
        rig.tick(at: 1000)
        #expect(rig.opened == [1, 2, 3])
    }

    @Test("Connections beyond the minimum that were not needed for ten seconds are closed; the minimum never is")
    func surplus() {
        var rig = Self.rig(connections: 2, most: 8)
        rig.tick(at: 700)
        rig.openAll()
        #expect(rig.machine.figures.connections == 7)
        rig.answerAll()
        for time in 8...250 {
            rig.tick(at: Int64(time) * 100)
            rig.openAll()
            rig.answerAll()
            #expect(rig.machine.figures.connections >= 2)
        }
        #expect(rig.closed.count == 5)
        #expect(rig.machine.figures.connections == 2)
        #expect(rig.over.count == 251)
    }

    // MARK: How it ends

    @Test("Closed before the first byte is closed, after it cut; neither is sent again")
    func broken() {
        var rig = Self.rig()
        rig.tick(at: 100)
        rig.lose(2)
        rig.tick(at: 200)
        rig.lose(1, hasBegun: true)
        rig.tick(at: 250)
        #expect(rig.over.map(\.outcome).dropFirst() == [.broken(.closed), .broken(.cut)])
        #expect(rig.over.map(\.connection) == [1, 2, 1])
        #expect(rig.marks == [1, 2, 3])
    }

    @Test("A request whose connection could not be opened is refused, and only that one")
    func refused() {
        var rig = Self.rig(connections: 1, most: 4)
        rig.tick(at: 100)
        rig.tick(at: 200)
        #expect(rig.opened == [1, 2])
        rig.tick(at: 250)
        rig.fail(2)
        #expect(
            rig.over.dropFirst() == [
                TrafficExchange(
                    request: rig.over[1].request, begin: 200_000_000, end: 250_000_000, connection: 2,
                    outcome: .broken(.refused))
            ])
        #expect(rig.over[1].request.n == 3)
        #expect(rig.machine.figures.failed == 1)
        #expect(rig.machine.figures.begun == 3)
        rig.answer(1)
        rig.tick(at: 300)
        #expect(rig.sent.map(\.connection) == [1, 1, 1])
    }

    @Test("A minimum that cannot be opened fails no request, and is tried again after a pause")
    func refusedMinimum() {
        var rig = Rig(Self.plan(connections: 3))
        rig.tick(at: 0)
        rig.open(1)
        rig.fail(2)
        rig.fail(3)
        rig.answer(1)
        #expect(rig.over.map(\.outcome) == [.answered(TrafficAnswer(status: 200))])
        for time in 1...9 {
            rig.tick(at: Int64(time) * 100)
            rig.answer(1)
        }
        #expect(rig.opened == [1, 2, 3])
        rig.tick(at: 1000)
        #expect(rig.opened == [1, 2, 3, 4, 5])
    }

    @Test("An answer that does not come within the patience is late, and its connection is closed")
    func late() {
        var plan = Self.plan(connections: 64, most: 1024)
        plan.patience = .seconds(2)
        var rig = Rig(plan)
        rig.tick(at: 0)
        rig.openAll()
        for time in 1...19 { rig.tick(at: Int64(time) * 100) }
        #expect(rig.over.isEmpty)
        rig.tick(at: 2000)
        #expect(rig.over.map(\.request.n) == [1])
        #expect(rig.over.first?.outcome == .broken(.late))
        #expect(rig.closed == [1])
        // What comes of it now is of no interest.
        rig.answer(1)
        rig.lose(1)
        #expect(rig.over.count == 1)
    }

    @Test("At the end nothing more falls due, who waits is dropped, and what was begun goes on to its end")
    func stops() {
        var rig = Self.rig(connections: 1, most: 1)
        rig.tick(at: 200)
        rig.stop()
        #expect(!rig.machine.isOver)
        rig.tick(at: 900)
        #expect(rig.machine.figures.due == 3)
        #expect(rig.marks == [1, 2])
        rig.answer(1)
        #expect(rig.closed == [1])
        #expect(rig.machine.isOver)
        #expect(rig.machine.figures.begun == 2)
        #expect(rig.over.count == 2)
    }

    @Test("Whatever happens in whatever order, each request that was begun ends once, and no bound is passed")
    func everythingEndsOnce() {
        for seed in UInt64(1)...30 {
            var random = SeededGenerator(seed: seed)
            var plan = TrafficPlan(rate: 500, devices: 3)
            plan.minimumConnections = 5
            plan.maximumConnections = 20
            plan.maximumWaiting = 30
            plan.patience = .milliseconds(300)
            plan.idle = .milliseconds(400)
            plan.pause = .milliseconds(50)
            var rig = Rig(plan)
            for time in 0..<2000 {
                rig.tick(at: Int64(time))
                let number = Int.random(in: 1...max(rig.opened.count, 1), using: &random)
                let recent = max(1, rig.opened.count - Int.random(in: 0...25, using: &random))
                switch Int.random(in: 0..<12, using: &random) {
                case 0...3: rig.open(recent)
                case 4: rig.fail(recent)
                case 5...8: rig.answer(recent, staysOpen: number % 5 > 0)
                case 9: rig.lose(recent, hasBegun: number % 2 == 0)
                case 10: rig.answer(number)
                default: rig.openAll()
                }
                let figures = rig.machine.figures
                #expect(figures.connections <= 20 && figures.waiting <= 30)
                #expect(figures.begun == rig.over.count + figures.inFlight)
            }
            rig.stop()
            rig.openAll()
            for number in rig.opened { rig.lose(number) }
            #expect(rig.machine.isOver)
            #expect(rig.machine.figures.inFlight == 0)
            #expect(Set(rig.over.map(\.request.n)).count == rig.over.count)
            #expect(Set(rig.marks).count == rig.marks.count)
            #expect(rig.over.count == rig.machine.figures.begun)
        }
    }
}
