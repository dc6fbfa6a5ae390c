import Chaos
import Testing

@Suite("The judge of chaos runs")
struct CheckRuleTests {
    @Test("In a run in which all is well no rule is broken, and each has something to look at")
    func good() {
        let report = CheckReport(SampleRun().history)
        #expect(report.obstacles.isEmpty, "\(report.obstacles)")
        #expect(report.verdict == .kept)
        for rule in report.rules {
            #expect(rule.violations.isEmpty, "\(rule.name)")
            #expect(rule.looked > 0, "\(rule.name)")
        }
    }

    @Test("A planted fault is found, and by nobody but the rule it breaks", arguments: PlantedFault.all)
    func planted(_ fault: PlantedFault) {
        var run = SampleRun()
        fault.plant(&run)
        let report = CheckReport(run.history)
        #expect(report.obstacles.isEmpty, "\(report.obstacles)")
        #expect(report.verdict == .broken)
        let broken = report.rules.filter { $0.broken > 0 }
        #expect(broken.map(\.name) == fault.rules.map(\.name), "\(broken.flatMap(\.violations))")
    }

    @Test("What looks much like a fault, but is none, is not found", arguments: PlantedFault.all)
    func neighbours(_ fault: PlantedFault) {
        var run = SampleRun()
        fault.neighbour(&run)
        let report = CheckReport(run.history)
        #expect(report.obstacles.isEmpty, "\(report.obstacles)")
        #expect(report.rules.flatMap(\.violations) == [])
        #expect(report.verdict == .kept)
    }

    @Test("Each rule is broken by some planted fault")
    func allArePlanted() {
        let planted = Set(PlantedFault.all.flatMap(\.rules).map(\.name))
        #expect(planted == Set(CheckRule.all.map(\.name)))
    }

    @Test("A violation says when, which device, which request, and what is wrong; ten are told, and all are counted")
    func violations() throws {
        var run = SampleRun()
        for index in 0..<12 {
            run.asks.append(.refused("GET", "lamp-1", at: 75.25 + Double(index) / 100, 503, "/errors#offline"))
        }
        let rule = try #require(CheckReport(run.history).rules.first { $0.name == "planned" })
        #expect(rule.broken == 12)
        #expect(rule.violations.count == 10)
        #expect(rule.violations[0] == "75.27 s  lamp-1 n=163 id-163: GET failed in calm: 503 /errors#offline")
        #expect(CheckReport(run.history).table.contains("  … and 2 more"))
    }

    @Test("A rule that had nothing to look at proves nothing")
    func idle() {
        var run = SampleRun()
        run.logs = run.logs.mapValues { _ in [] }
        let report = CheckReport(run.history)
        #expect(report.verdict == .unknown)
        #expect(report.obstacles.contains { $0.hasPrefix("The rule epochs had nothing to look at") })
    }

    @Test(
        "Without what a rule needs to know nothing is concluded",
        arguments: [
            (RunRecord.Event.renewed, "no line `renewed` for pod-1"), (.placed, "no line `placed`"),
        ])
    func gaps(_ event: RunRecord.Event, _ sentence: String) {
        var run = SampleRun()
        run.run.removeAll { $0.event == event }
        run.say(.ended, at: 31, "pod-1") { $0.status = 0 }
        let report = CheckReport(run.history)
        #expect(report.verdict == .unknown)
        #expect(report.obstacles.contains { $0.contains(sentence) }, "\(report.obstacles)")
    }

    @Test("Requests that were begun and not written down are missed", arguments: [161, 163])
    func requestsMissing(_ begun: Int) {
        var run = SampleRun()
        run.ended.begun = begun
        let report = CheckReport(run.history)
        #expect(report.verdict == .unknown)
        #expect(report.obstacles.contains { $0.contains("162 requests, and \(begun) were begun") })
    }

    @Test("What each program took of the machine is told, the most first, and what is next to nothing is not")
    func processors() {
        let report = CheckReport(SampleRun().history)
        #expect(report.table.contains("  of 2 cores: coap-interface 50 %, mock-device 10 %"))
        #expect(report.processorSeconds["sh"] == 0.1)
    }

    @Test("Each phase has its figures, with latencies from when requests were due")
    func phases() throws {
        var run = SampleRun()
        // Half a second passes until it is even written.
        for index in run.asks.indices where run.asks[index].at > 70 && run.asks[index].at < 75 {
            run.asks[index].took = 0.52
            run.asks[index].reaches[0].after = 0.51
            run.asks[index].edit = { $0.begin += 500_000_000 }
        }
        let report = CheckReport(run.history)
        #expect(report.phases.map(\.name) == ["steady", "roll", "kill", "freeze", "calm"])
        let roll = report.phases[1]
        #expect(roll.requests == 40)
        #expect(roll.moved == 2)
        #expect(roll.reconnects == 2)
        #expect(roll.evenAfterSeconds == "14")
        #expect(roll.failed == 0)
        let kill = report.phases[2]
        #expect(kill.failures == ["503 /errors#offline": 4, "502 /errors#outcome-unknown": 1])
        #expect(kill.reconnects == 2)
        let calm = try #require(report.phases[4].latencyMilliseconds)
        #expect(abs(calm.p50 - 20) < 1)
        #expect(abs(calm.p99 - 520) < 2)
        let cloud = try #require(report.phases[4].cloudLatencyMilliseconds)
        #expect(abs(cloud.p50 - 18) < 1, "2 ms are the device's")
    }
}
