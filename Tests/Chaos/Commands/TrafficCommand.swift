package import ArgumentParser
import Glibc
import MockDevice

/// `chaos traffic`.
package struct TrafficCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "traffic",
        abstract: "Send steady HTTP requests to the devices of a fleet, and write down what became of each.",
        discussion: """
            An open loop: requests fall due by the clock, whether or not those before were answered. Each goes out \
            once. Ends at --duration, SIGTERM or Ctrl-C, when the last answer is there, with status 0; 1 \
            if its history is not whole; 2 if it could not begin.

              chaos traffic --url http://127.0.0.1:8080 --token-file tokens --rate 300 --history traffic.jsonl
            """
    )

    @Option(help: .init("The HTTP side of the gateway: http://HOST:PORT.", valueName: "url"))
    var url: String

    @Option(
        help: .init(
            "Which devices there are, a line for each user: PREFIX COUNT TOKEN, for the devices PREFIX1 to "
                + "PREFIXCOUNT and the access token of a client that may ask them.", valueName: "file"))
    var tokenFile: String

    @Option(help: .init("Requests a second.", valueName: "rate"))
    var rate: RateArgument

    @Option(help: .init("How many connections are open at all times (default: 64).", valueName: "count"))
    var connections: Int?

    @Option(help: .init("How many are open at most (default: 1024).", valueName: "count"))
    var maxConnections: Int?

    @Option(help: .init("This share of the requests is POST (default: 30%).", valueName: "share"))
    var posts: ShareArgument?

    @Option(help: .init("End after this time (default: at SIGTERM or Ctrl-C).", valueName: "time"))
    var duration: DurationArgument?

    @Option(help: .init("How long an answer may take (default: 60s).", valueName: "time"))
    var patience: DurationArgument?

    @Option(help: .init("How often to ask which devices are online (default: 2s).", valueName: "time"))
    var presence: DurationArgument?

    @Option(help: .init("Write each request to this file, as JSON lines.", valueName: "file"))
    var history: String?

    @Option(help: .init("Repeat the chances of an earlier run; each tells its own.", valueName: "number"))
    var seed: UInt64?

    package init() {}

    package func validate() throws {
        guard let door = HTTPDoor(parsing: self.url), !door.isSecure else {
            throw ValidationError("--url is \"\(sanitized(self.url, limit: 100))\"; write http://HOST:PORT")
        }
        let most = self.maxConnections ?? 1024
        guard (1...60_000).contains(most) else {
            throw ValidationError("--max-connections is \(most); it is 1 to 60000")
        }
        let least = self.connections ?? 64
        guard (1...most).contains(least) else {
            throw ValidationError("--connections is \(least); it is 1 to \(most), which is --max-connections")
        }
        for (time, flag) in [(self.patience, "--patience"), (self.presence, "--presence")] {
            guard let time, time.duration < .milliseconds(100) else { continue }
            throw ValidationError("\(flag) is \(time.duration); it is 100ms or longer")
        }
    }

    package func run() async throws {
        let isWhole: Bool
        do {
            isWhole = try await self.begin()
        } catch {
            // What a peer may have sent is part of some errors.
            let sentence = sanitized("The traffic cannot begin: \(error)", limit: 2000) + "\n"
            _ = sentence.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
            throw ExitCode(2)
        }
        guard isWhole else { throw ExitCode(1) }
    }

    /// - Returns: false if lines of the history are missing.
    private func begin() async throws -> Bool {
        let targets = try TrafficTargets(path: self.tokenFile)
        // Was validated.
        guard let door = HTTPDoor(parsing: self.url) else { return true }
        var plan = TrafficPlan(rate: self.rate.perSecond, devices: targets.count)
        plan.posts = self.posts?.share ?? plan.posts
        plan.minimumConnections = self.connections ?? plan.minimumConnections
        plan.maximumConnections = self.maxConnections ?? plan.maximumConnections
        plan.patience = self.patience?.duration ?? plan.patience
        plan.seed = self.seed ?? UInt64.random(in: 0...999_999)
        let most = OpenFiles.raised().limit - OpenFiles.reserve
        guard plan.maximumConnections <= most else {
            throw FleetError(
                "\(plan.maximumConnections) connections need more open files than this process may have. Take "
                    + "--max-connections \(most) or less, or allow more: ulimit -Hn.")
        }
        let history = try self.history.map { path throws(FleetError) in try EventFile(traffic: path) }
        let traffic = TrafficRun(
            plan, targets, to: door, presenceEvery: self.presence?.duration ?? .seconds(2), history: history)
        writeToStandardOutput(
            "\(decimal(plan.rate)) requests/s to \(grouped(targets.count)) devices, seed \(plan.seed); "
                + "Ctrl-C ends the traffic.\n")
        let report = try await untilSignal {
            try await traffic.run(for: self.duration?.duration) { writeToStandardOutput("\($0)\n") }
        }
        let problem = await history?.finish()
        for line in report.table + (problem.map { [$0] } ?? []) { writeToStandardOutput("\(line)\n") }
        return problem == nil
    }
}
