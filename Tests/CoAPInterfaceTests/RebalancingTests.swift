import Cloud
import NIOCore
import Testing

@testable import CoAPInterface

@Suite("Sessions are spread over pods")
struct RebalancingTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static func share(
        _ pod: String, _ sessions: Int, isDraining: Bool = false, age: Int = 3600, countAge: Int = 1
    ) -> LeasedPod {
        LeasedPod(
            pod: Pod(name: pod, address: ""), sessions: sessions, isDraining: isDraining, age: .seconds(age),
            countAge: .seconds(countAge))
    }

    /// The rule of pod `a` after it saw these shares so often.
    private static func rule(
        _ shares: [LeasedPod], times: Int = 2, hindrance: Rebalancing.Hindrance? = nil
    ) -> Rebalancing {
        var rule = Rebalancing(pod: "a")
        let own = shares.first { $0.pod.name == "a" }?.sessions ?? 0
        for turn in 0..<times {
            rule.looked(
                at: shares, sessions: own, hindrance: hindrance, now: Self.start + .seconds(2 * Int64(turn)))
        }
        return rule
    }

    // MARK: The rule

    @Test("It begins when the distance is out of bounds twice running, and not after once")
    func twice() {
        let shares = [Self.share("a", 1000), Self.share("b", 0)]
        #expect(Self.rule(shares, times: 1).view.rate == 0)
        #expect(Self.rule(shares, times: 2).view.rate > 0)
        var rule = Self.rule(shares, times: 1)
        rule.looked(
            at: [Self.share("a", 500), Self.share("b", 500)], sessions: 500, hindrance: nil,
            now: Self.start + .seconds(2))
        rule.looked(at: shares, sessions: 1000, hindrance: nil, now: Self.start + .seconds(4))
        #expect(!rule.isOn)
    }

    @Test(
        "The bounds are 10 % or three times the root to begin, 5 % or twice the root to end",
        arguments: [
            // Mean 10,000: 10 % is more than the root.
            (mean: 10_000, begins: 1001, beginsNot: 1000, goesOn: 501, ends: 500),
            // Mean 100: three times the root is 30, twice is 20.
            (mean: 100, begins: 31, beginsNot: 30, goesOn: 21, ends: 20),
        ])
    func bounds(mean: Int, begins: Int, beginsNot: Int, goesOn: Int, ends: Int) {
        let shares = { (distance: Int) in [Self.share("a", mean + distance), Self.share("b", mean - distance)] }
        #expect(Self.rule(shares(begins)).isOn)
        #expect(!Self.rule(shares(beginsNot)).isOn)
        for (distance, isOn) in [(goesOn, true), (ends, false)] {
            var rule = Self.rule(shares(begins))
            rule.looked(
                at: shares(distance), sessions: mean + distance, hindrance: nil, now: Self.start + .seconds(6))
            #expect(rule.isOn == isOn)
        }
    }

    @Test(
        "The rate is the least of a tenth of the excess, 2 % of the sessions and this pod's part of 500/s",
        arguments: [
            // Excess 100 of 1100 and 900: a tenth is 10, 2 % is 22.
            (sessions: [1100, 900], rate: 10.0),
            // Excess 2500 of 5000: 2 % is 100, a fourth of 500 is 125.
            (sessions: [5000, 5000, 0, 0], rate: 100.0),
            // Excess 10,000 of 20,000: half of 500 is 250.
            (sessions: [20_000, 0], rate: 250.0),
        ])
    func rate(sessions: [Int], rate: Double) {
        let shares = sessions.enumerated().map { Self.share($0 == 0 ? "a" : "p\($0)", $1) }
        // 100 of 1000 is at the bound and not above it; one more of either begins.
        let first = Self.rule([Self.share("a", 30_000), Self.share("b", 0)])
        var rule = first
        rule.looked(at: shares, sessions: sessions[0], hindrance: nil, now: Self.start + .seconds(6))
        #expect(abs(rule.view.rate - rate) < 0.001)
    }

    @Test("Who has less than the mean releases nobody")
    func below() {
        #expect(Self.rule([Self.share("a", 0), Self.share("b", 1000)]).view.rate == 0)
    }

    @Test("A pod that is younger than 10 s is not counted, nor a count that is older than 5 s")
    func counted() {
        let even = [Self.share("a", 500), Self.share("b", 500)]
        #expect(!Self.rule(even + [Self.share("new", 0, age: 9)]).isOn)
        #expect(Self.rule(even + [Self.share("new", 0, age: 10)]).isOn)
        #expect(!Self.rule(even + [Self.share("late", 0, countAge: 6)]).isOn)
        #expect(Self.rule(even + [Self.share("late", 0, countAge: 5)]).isOn)
    }

    @Test("What is due comes at the rate, and after a pause at most a second's worth")
    func due() {
        var rule = Self.rule([Self.share("a", 5000), Self.share("b", 5000), Self.share("c", 0), Self.share("d", 0)])
        var now = Self.start + .seconds(4)
        #expect(rule.due(now: now) == 0)
        var number = 0
        for _ in 0..<40 {
            now = now + .milliseconds(250)
            number += rule.due(now: now)
        }
        #expect(abs(number - 1000) <= 1)
        #expect(rule.due(now: now + .seconds(60)) <= 101)
    }

    @Test("Nothing moves while a pod drains, something is not healthy, sign-ins wait or there is nobody else")
    func hindrances() {
        let shares = [Self.share("a", 1000), Self.share("b", 0)]
        for hindrance in [Rebalancing.Hindrance.unhealthy, .signInsQueue] {
            let rule = Self.rule(shares, hindrance: hindrance)
            #expect(rule.view.rate == 0)
            #expect(rule.view.hindrance == hindrance)
        }
        let draining = Self.rule(shares + [Self.share("c", 10, isDraining: true)])
        #expect(draining.view.hindrance == .draining)
        #expect(draining.view.rate == 0)
        #expect(Self.rule([Self.share("a", 1000)]).view.hindrance == .alone)
        let young = Self.rule([Self.share("a", 1000, age: 5), Self.share("b", 0), Self.share("c", 0)])
        #expect(young.view.hindrance == .alone)
    }

    @Test("When more than 80 of 100 come back it stops, and tries again after 10 min")
    func sticky() throws {
        for (back, stops) in [(80, false), (81, true)] {
            let shares = [Self.share("a", 1000), Self.share("b", 0)]
            var rule = Self.rule(shares)
            var now = Self.start + .seconds(10)
            for number in 0..<100 {
                rule.releases(try DeviceID("device-\(number)"), now: now)
            }
            for number in 0..<back {
                rule.signedIn(try DeviceID("device-\(number)"))
            }
            now = now + .seconds(15)
            rule.looked(at: shares, sessions: 1000, hindrance: nil, now: now)
            #expect((rule.view.hindrance == .stickyBalancer) == stops)
            #expect((rule.view.rate > 0) == !stops)
            rule.looked(at: shares, sessions: 1000, hindrance: nil, now: now + .minutes(10))
            #expect(rule.view.rate > 0)
        }
    }

    // MARK: Simulated

    @Test(
        "New pods get their share in the expected time with the expected moves, and then it is quiet",
        arguments: [
            (pods: [5000, 5000], new: 2, seconds: 120),
            (pods: [3334, 3333, 3333], new: 1, seconds: 240),
            (pods: Array(repeating: 1000, count: 10), new: 1, seconds: 480),
            (pods: Array(repeating: 2500, count: 4), new: 4, seconds: 180),
        ], [UInt64(1), 2, 3])
    func growth(_ growth: (pods: [Int], new: Int, seconds: Int), seed: UInt64) throws {
        let simulation = try BalanceSimulation(pods: growth.pods, seed: seed)
        simulation.run(upTo: 60)
        #expect(simulation.moves == 0)
        simulation.start(pods: growth.new)
        #expect(simulation.run(upTo: growth.seconds) { $0.isEven } != nil)
        #expect(simulation.run(upTo: 1200) { !$0.isAnyReleasing } != nil)
        #expect(simulation.isEven)
        // Where a new pod begins with nothing, as many moves as there are sessions: S · (1 − 0 / m).
        #expect(simulation.moves <= growth.pods.reduce(0, +))
        let moves = simulation.moves
        simulation.run(upTo: 1800)
        #expect(simulation.moves == moves, "it is quiet from then on")
    }

    @Test("A balancer that looks at connections needs only as many moves as the new pods get sessions")
    func leastConnections() throws {
        let simulation = try BalanceSimulation(pods: [5000, 5000], balancer: .leastConnections)
        simulation.start(pods: 2)
        #expect(simulation.run(upTo: 120) { $0.isEven } != nil)
        #expect(simulation.run(upTo: 600) { !$0.isAnyReleasing } != nil)
        #expect(simulation.moves <= 5500)
    }

    @Test("A pod whose counts come late does not make the others swing")
    func lagging() throws {
        let simulation = try BalanceSimulation(pods: [5000, 5000])
        simulation.start(pods: 2)
        simulation.lag(pod: 3, every: .seconds(9))
        #expect(simulation.run(upTo: 240) { $0.isEven } != nil)
        simulation.run(upTo: 600)
        #expect(simulation.isEven)
        #expect(simulation.moves <= 10_500)
    }

    @Test("Behind a sticky balancer some are moved in vain, and not everybody again and again")
    func stickyBalancer() throws {
        let simulation = try BalanceSimulation(pods: [5000, 5000], balancer: .sticky)
        simulation.start(pods: 2)
        simulation.run(upTo: 120)
        #expect(simulation.views[0].hindrance == .stickyBalancer)
        // 100/s from each for the 10 s that a comeback counts, and the two looks around them.
        let first = simulation.moves
        #expect(first <= 2 * 1400)
        simulation.run(upTo: 480)
        #expect(simulation.moves == first)
    }

    @Test("Pods that are even but for chance are left alone", arguments: [UInt64(1), 2, 3, 4])
    func chance(seed: UInt64) throws {
        // What blind placement makes of 10,000 over 4: scattered by the root of the mean.
        let simulation = try BalanceSimulation(pods: [2560, 2440, 2530, 2470], seed: seed)
        simulation.run(upTo: 600)
        #expect(simulation.moves == 0)
    }
}
