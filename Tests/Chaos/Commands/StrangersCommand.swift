import ArgumentParser
import Foundation
import MockDevice

/// `chaos strangers`: who comes and says what no device says.
struct StrangersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "strangers",
        abstract: "Connect at a steady rate, say what should not be said, and disappear.",
        discussion: """
            Half of them come to the port for devices, half to the one for HTTP: with garbage, halves of messages, \
            single bytes, sizes nobody takes, another protocol, wrong tokens, or nothing; some read no answer, some \
            ask and do not wait. Ends at SIGTERM or Ctrl-C, and then says who came.

            HABITS
            \(StrangerHabit.allCases.map { "  \($0.rawValue)" }.joined(separator: "\n"))
            """)

    @Option(help: .init("Where devices are served: HOST:PORT.", valueName: "address"))
    var coap: String

    @Option(help: .init("Where HTTP is served: HOST:PORT.", valueName: "address"))
    var http: String

    @Option(help: .init("Devices and tokens, as for chaos traffic.", valueName: "file"))
    var tokenFile: String

    @Option(help: .init("Strangers a second.", valueName: "rate"))
    var rate: RateArgument

    @Option(
        help: .init(
            "How they go, with commas: \(StrangerLeaving.allCases.map(\.rawValue).joined(separator: ", ")) (default: "
                + "all but the last).", valueName: "names"))
    var leaving: String?

    @Option(help: .init("Write who came to this file, as JSON.", valueName: "file"))
    var report: String?

    @Option(help: .init("Repeat the chances of an earlier run.", valueName: "number"))
    var seed: UInt64?

    func validate() throws {
        for (text, flag) in [(self.coap, "--coap"), (self.http, "--http")] where Self.door(text) == nil {
            throw ValidationError("\(flag) is \"\(sanitized(text, limit: 100))\"; write HOST:PORT")
        }
        _ = try self.leavings()
    }

    private static func door(_ text: String) -> (host: String, port: Int)? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]), (1...65_535).contains(port) else { return nil }
        return (String(parts[0]), port)
    }

    private func leavings() throws -> [StrangerLeaving] {
        guard let leaving = self.leaving else { return StrangerLeaving.allCases.filter { $0 != .vanish } }
        return try leaving.split(separator: ",").map { word in
            guard let name = StrangerLeaving(rawValue: String(word)) else {
                throw ValidationError("Nobody leaves by \"\(sanitized(String(word), limit: 100))\"; --help lists how")
            }
            return name
        }
    }

    func run() async throws {
        // Both were validated.
        guard let coap = Self.door(self.coap), let http = Self.door(self.http) else { return }
        let leavings = try self.leavings()
        if leavings.contains(.vanish) { try await StrangersRun.checkVanishing() }
        let plan = StrangersRun.Plan(
            coap: coap, http: http, rate: self.rate.perSecond,
            most: min(4000, OpenFiles.raised().limit - OpenFiles.reserve), leavings: leavings,
            seed: self.seed ?? .random(in: 1...999_999))
        let strangers = StrangersRun(plan, try TrafficTargets(path: self.tokenFile))
        writeToStandardOutput("\(decimal(plan.rate)) strangers/s, seed \(plan.seed)\n")
        try await untilSignal { await strangers.run() }
        let count = strangers.count
        writeToStandardOutput("\(grouped(count.begun)) came, \(grouped(count.closed)) were shown out\n")
        guard let report = self.report else { return }
        guard FileManager.default.createFile(atPath: report, contents: try JSONEncoder().encode(count)) else {
            writeToStandardOutput("\(report) cannot be written.\n")
            throw ExitCode(1)
        }
    }
}
