package import ArgumentParser
import Foundation
import MockDevice
import TestServers

/// `chaos run`: what `make chaos` does, in the namespaces that scripts/chaos made.
package struct RunCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a cluster, change and break it under load, and judge what was seen.",
        discussion: """
            To be called by scripts/chaos, which makes the network it needs. Ends with status 0 if nobody noticed what \
            nobody may notice, 1 if somebody did, 2 if the run could not be finished or judged.

            PHASES
            \(RunPhase.allCases.map { "  \($0.rawValue)\($0.isPlanned ? "" : " (an accident)")" }
                .joined(separator: "\n"))
            """
    )

    @Option(help: .init("How many devices, 20 to 100000 (default: 10000).", valueName: "count"))
    var devices: Int = 10_000

    @Option(help: .init("HTTP requests a second, 1 to 10000 (default: 1000).", valueName: "count"))
    var rate: Int = 1000

    @Option(help: .init("With how many pods to begin, 1 to 8 (default: 2).", valueName: "count"))
    var pods: Int = 2

    @Option(help: .init("Devices that begin in a second, at first (default: 200).", valueName: "count"))
    var ramp: Int = 200

    @Option(
        help: .init(
            "Devices a second that pods ask to connect anew when they stop, 1 to 10000 (default: 200).",
            valueName: "count"))
    var reconnects: Int = 200

    @Option(
        help: .init(
            "Only these phases, in this order, with commas (default: all but the last two).", valueName: "names"))
    var phases: String?

    @Option(help: .init("Repeat the chances of an earlier run; each tells its own.", valueName: "number"))
    var seed: UInt64?

    @Option(
        help: .init(
            "A new folder for histories, logs and the drawing (default: one in data/chaos).", valueName: "folder"))
    var place: String?

    package init() {}

    package func validate() throws {
        for (value, range, flag) in [
            (self.devices, 20...100_000, "--devices"), (self.rate, 1...10_000, "--rate"), (self.pods, 1...8, "--pods"),
            (self.ramp, 1...10_000, "--ramp"), (self.reconnects, 1...10_000, "--reconnects"),
        ] where !range.contains(value) {
            throw ValidationError("\(flag) is \(value); it is \(range.lowerBound) to \(range.upperBound)")
        }
        _ = try self.chosenPhases()
    }

    private func chosenPhases() throws -> [RunPhase] {
        guard let phases = self.phases else { return RunPhase.usual }
        return try phases.split(separator: ",").map { word in
            guard let name = RunPhase(rawValue: String(word)) else {
                throw ValidationError("There is no phase \"\(word)\"; --help lists them")
            }
            return name
        }
    }

    package func run() async throws {
        let seed = self.seed ?? .random(in: 1...999_999)
        let place =
            self.place ?? "data/chaos/\(Date.now.ISO8601Format(.iso8601(timeZone: .gmt, timeSeparator: .omitted)))"
        guard !FileManager.default.fileExists(atPath: place) else {
            writeToStandardOutput("\(place) is there already. Choose another --place: histories are not mixed.\n")
            throw ExitCode(2)
        }
        let here = FileManager.default.currentDirectoryPath
        let plan = RunPlan(
            devices: self.devices, rate: Double(self.rate), pods: self.pods, ramp: self.ramp,
            reconnects: self.reconnects, phases: try self.chosenPhases(), seed: seed,
            place: place.hasPrefix("/") ? place : "\(here)/\(place)", products: Subprocess.products)
        do {
            let run = try ChaosRun(plan) { writeToStandardOutput("\($0)\n") }
            writeToStandardOutput(
                "\(self.devices) devices, \(self.rate) requests a second, seed \(seed), in \(place)\n")
            try await untilSignal { try await run.run() }
        } catch {
            writeToStandardOutput("The run was not finished: \(error)\n")
            throw ExitCode(2)
        }
        try await CheckCommand.parse([place]).run()
    }
}
