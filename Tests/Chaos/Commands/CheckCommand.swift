package import ArgumentParser
import FoundationEssentials
import MockDevice
import TestServers

/// `chaos check`: what the files of a run prove.
package struct CheckCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Judge a run by what it wrote down.",
        discussion: """
            Reads run.jsonl, traffic.jsonl, fleet-*.jsonl and logs/ in the folder, and nothing else; prints a table \
            and a verdict; writes report.json, timeline.tsv and timeline.svg beside them. The status is 0 if no rule \
            is broken, 1 if one is, and 2 if the histories do not tell.
            """
    )

    @Argument(help: "The folder of a run.")
    package var folder: String

    package init() {}

    package func run() async throws {
        let history = HistoryReader.read(self.folder)
        let report = CheckReport(history)
        guard history.begun != nil else {
            // Nothing to make a table of.
            for line in report.obstacles { print(line) }
            throw ExitCode(report.verdict.status)
        }
        for line in report.table { print(line) }
        for line in await Self.write(report, Timeline(history), to: self.folder) { print(line) }
        guard report.verdict == .kept else { throw ExitCode(report.verdict.status) }
    }

    /// - Returns: what people have to know of the files.
    package static func write(_ report: CheckReport, _ timeline: Timeline, to folder: String) async -> [String] {
        let files = [("report.json", try? report.json()), ("timeline.tsv", Data(timeline.tsv.utf8))]
        for (name, data) in files where !FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: data) {
            return ["\(folder)/\(name) cannot be written: make the folder writable, or make room."]
        }
        return [
            "Figures: \(folder)/report.json and timeline.tsv", await Self.draw(timeline, report, in: folder),
        ]
    }

    private static func draw(_ timeline: Timeline, _ report: CheckReport, in folder: String) async -> String {
        let title = "\(grouped(report.devices)) devices, \(report.rate) requests a second"
        let script = TimelineDrawing(timeline, title: title).script(tsv: "timeline.tsv", svg: "timeline.svg")
        return await Self.draw(script, name: "timeline", in: folder)
    }

    /// - Returns: where the drawing is, or why there is none.
    static func draw(_ script: String, name: String, in folder: String) async -> String {
        guard let gnuplot = Self.gnuplot else {
            return "No drawing, for there is no gnuplot: apt-get install gnuplot-nox, then check again."
        }
        guard FileManager.default.createFile(atPath: "\(folder)/\(name).gp", contents: Data(script.utf8)) else {
            return "No drawing: \(folder)/\(name).gp cannot be written. Make room."
        }
        do {
            let ended = try await Subprocess([gnuplot, "\(name).gp"], directory: folder).ended()
            guard ended.status == 0 else {
                return "No drawing: gnuplot ended with status \(ended.status): \(ended.errors)"
            }
            return "Drawing: \(folder)/\(name).svg"
        } catch {
            return "No drawing: \(error)"
        }
    }

    private static var gnuplot: String? {
        ["/usr/bin/gnuplot", "/usr/local/bin/gnuplot"].first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}
