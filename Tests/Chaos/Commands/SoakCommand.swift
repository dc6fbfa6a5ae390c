package import ArgumentParser
import Foundation
import MockDevice
import TestServers

/// `chaos soak`: what `make soak` does, in the namespaces that scripts/soak made.
package struct SoakCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Put a cluster under the same load for a while, and see whether anything grows or is left.",
        discussion: """
            To be called by scripts/soak, which makes the network it needs. Ends with status 0 if memory, open files, \
            sockets, sessions and routes stay flat and nothing is left at the end, 1 if not, 2 if the run could not be \
            finished or does not tell.
            """
    )

    @Option(
        help: .init(
            "How many minutes to judge, after one to five of warm-up: 1 to 1440 (default: 10).", valueName: "count"))
    var minutes: Double = 10

    @Option(help: .init("How many devices, 16 to 8000 (default: 320).", valueName: "count"))
    var devices: Int = 320

    @Option(help: .init("HTTP requests a second, 1 to 2000 (default: 50).", valueName: "count"))
    var rate: Int = 50

    @Option(help: .init("Strangers a second, 2 to 500 (default: 40).", valueName: "count"))
    var strangers: Int = 40

    @Option(help: .init("Repeat the chances of an earlier run; each tells its own.", valueName: "number"))
    var seed: UInt64?

    @Option(
        help: .init("A new folder for figures, logs and the drawing (default: one in data/soak).", valueName: "folder"))
    var place: String?

    package init() {}

    package func validate() throws {
        guard (1...1440).contains(self.minutes) else {
            throw ValidationError("--minutes is \(self.minutes); it is 1 to 1440")
        }
        for (value, range, flag) in [
            (self.devices, 16...8000, "--devices"), (self.rate, 1...2000, "--rate"),
            (self.strangers, 2...500, "--strangers"),
        ] where !range.contains(value) {
            throw ValidationError("\(flag) is \(value); it is \(range.lowerBound) to \(range.upperBound)")
        }
    }

    package func run() async throws {
        let place =
            self.place ?? "data/soak/\(Date.now.ISO8601Format(.iso8601(timeZone: .gmt, timeSeparator: .omitted)))"
        guard !FileManager.default.fileExists(atPath: place) else {
            writeToStandardOutput("\(place) is there already. Choose another --place.\n")
            throw ExitCode(2)
        }
        let here = FileManager.default.currentDirectoryPath
        let plan = SoakPlan(
            seconds: self.minutes * 60, devices: self.devices, rate: self.rate, strangers: self.strangers,
            seed: self.seed ?? .random(in: 1...999_999), place: place.hasPrefix("/") ? place : "\(here)/\(place)",
            products: Subprocess.products)
        let record: SoakRecord
        do {
            let run = try SoakRun(plan) { writeToStandardOutput("\($0)\n") }
            writeToStandardOutput(
                "\(plan.devices) devices, \(plan.rate) requests and \(plan.strangers) strangers a second for "
                    + "\(spoken(seconds: plan.seconds)), seed \(plan.seed), in \(place)\n")
            record = try await untilSignal { try await run.run() }
        } catch {
            writeToStandardOutput("The run was not finished: \(error)\n")
            throw ExitCode(2)
        }
        let report = SoakReport(record)
        let files = [
            ("soak.json", try? record.json()), ("report.txt", Data(report.table.joined(separator: "\n").utf8)),
            ("soak.tsv", Data(SoakDrawing(record).tsv.utf8)),
        ]
        for line in report.table { writeToStandardOutput("\(line)\n") }
        for (name, data) in files {
            guard FileManager.default.createFile(atPath: "\(plan.place)/\(name)", contents: data) else {
                writeToStandardOutput("\(place)/\(name) cannot be written: make room.\n")
                throw ExitCode(2)
            }
        }
        let script = SoakDrawing(record).script(tsv: "soak.tsv", svg: "soak.svg")
        let drawn = await CheckCommand.draw(script, name: "soak", in: plan.place)
        writeToStandardOutput("Figures: \(place)/soak.tsv and report.txt\n\(drawn)\n")
        guard report.verdict == .kept else { throw ExitCode(report.verdict.status) }
    }
}
