import Chaos
import Foundation
import TestServers
import Testing

@Suite("The timeline of a chaos run")
struct TimelineTests {
    @Test("Each second has its requests, failures, latencies and sessions")
    func seconds() {
        let timeline = Timeline(SampleRun().history)
        #expect(timeline.pods == ["pod-1", "pod-2", "pod-3"])
        #expect(timeline.seconds.count == 91)
        #expect(timeline.seconds[9].requests == 0)
        #expect(timeline.seconds[9].p50 == nil)
        #expect(timeline.seconds[10].requests == 2)
        #expect(timeline.seconds[10].p50.map { abs($0 - 18) < 0.1 } == true)
        #expect(timeline.seconds[22].p99.map { $0 > 2500 } == true)
        #expect(timeline.seconds.map(\.failures).reduce(0, +) == 5)
        #expect(timeline.seconds[40].sessions == [nil, 2, 2])
        #expect(timeline.seconds[42].sessions == [nil, nil, 2])
        #expect(timeline.phases.map(\.name) == ["before", "steady", "roll", "kill", "freeze", "calm"])
    }

    @Test("The table has one line a second, and says where there is nothing")
    func tsv() {
        let lines = Timeline(SampleRun().history).tsv.split(separator: "\n")
        #expect(lines.count == 92)
        #expect(lines[0] == "second\trequests\tfailures\tp50_ms\tp99_ms\tpod-1\tpod-2\tpod-3")
        #expect(lines[10] == "9\t0\t0\t-\t-\t2\t2\t-")
    }

    @Test("The script shades the phases, names them, and draws each pod; a quote in a name ends no text")
    func script() {
        var run = SampleRun()
        run.say(.phase, at: 89.5) { $0.phase = "Ed's; set output 'x'" }
        let script = TimelineDrawing(Timeline(run.history), title: "4 lamps").script(tsv: "t.tsv", svg: "t.svg")
        #expect(script.contains("'Ed''s; set output ''x'''"))
        for pod in ["pod-1", "pod-2", "pod-3"] { #expect(script.contains("title '\(pod)'")) }
        for name in ["steady", "roll", "kill", "freeze", "calm"] { #expect(script.contains(" '\(name)' at first")) }
        let orange = script.split(separator: "\n").filter { $0.contains("'#FADDCB'") || $0.contains("'#FDEDE2'") }
        #expect(orange.count == 3, "kill, freeze and the last")
    }

    @Test("Figures, report and script are written beside the history, and the verdict is the status")
    func files() async throws {
        let folder = try ServerProcess.temporaryFolder("chaos-timeline")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try SampleRun().write(to: folder)
        let history = HistoryReader.read(folder)
        let report = CheckReport(history)
        let said = await CheckCommand.write(report, Timeline(history), to: folder)
        #expect(said.count == 2)
        #expect(said[1].contains("timeline.svg") || said[1].contains("no gnuplot"), "\(said)")
        let json = try Data(contentsOf: URL(filePath: "\(folder)/report.json"))
        let read = try JSONDecoder().decode(CheckReport.self, from: json)
        #expect(read.verdict == .kept)
        #expect(read.phases.count == 5)
        #expect(FileManager.default.fileExists(atPath: "\(folder)/timeline.tsv"))
        #expect([CheckReport.Verdict.kept, .broken, .unknown].map(\.status) == [0, 1, 2])
    }
}
