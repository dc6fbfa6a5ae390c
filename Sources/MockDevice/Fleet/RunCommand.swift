package import ArgumentParser
import Glibc
import NIOCore
import NIOPosix
import NIOSSL

/// `mock-device run`.
package struct RunCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a fleet of devices in one process.",
        discussion: """
            Each device gets a one-time code, signs up, signs in, publishes its links, serves a light at /light, and \
            comes back whenever its connection is lost, until --duration is over or Ctrl-C. Then a table tells how \
            often and how long what took, and what failed why. Ends with status 0 if every device signed in at least \
            once and no more failed than --max-failures allows, 1 if not, 2 if the run could not begin.

              mock-device run --address 127.0.0.1:5683 --northbound http://127.0.0.1:8080 --user alice --devices 1000

            PROFILES
              reference: the reference stack of OCF, pauses and all
              polite: does what RFC 8323 asks for
              libcoap: says nothing before the cloud's CSM is there

            QUIRKS
            \(FleetQuirk.allCases.map { "  \($0.rawValue): \($0.explanation)" }.joined(separator: "\n"))
            """
    )

    @Option(
        help: .init(
            "Where the cloud listens, as for interactive; may be given more than once, and name several ports: "
                + "HOST:5683,5685. Each connection of a device takes the next (default: 127.0.0.1:5683).",
            valueName: "address"))
    var address: [FleetAddresses] = []

    @Option(help: .init("How many devices, 1 to 1000000 (default: 100).", valueName: "count"))
    var devices: Int?

    @Option(help: .init("Spread their beginnings over this time: 30s, 5m.", valueName: "time"))
    var ramp: DurationArgument?

    @Option(
        help: .init("Let at most so many begin a second (default: 100/s, without --ramp).", valueName: "rate"))
    var rate: RateArgument?

    @Option(help: .init("End after this time (default: at Ctrl-C).", valueName: "time"))
    var duration: DurationArgument?

    @Option(
        help: .init("How many links each device publishes, 0 to 1000 (default: 1).", valueName: "count"))
    var publish: Int?

    @Option(
        help: .init("Notify whoever observes a resource so often: 1/s, 0.1/s (default: never).", valueName: "rate"))
    var notify: RateArgument?

    @Option(help: .init("Answer this share of the requests late: 5%.", valueName: "share"))
    var delayShare: ShareArgument?

    @Option(help: .init("So late (default: 2s).", valueName: "time"))
    var delay: DurationArgument?

    @Option(help: .init("Make each answer so many bytes longer, 0 to 1000000 (default: 0).", valueName: "bytes"))
    var padding: Int?

    @Option(help: .init("The cloud's HTTP side, where one-time codes come from.", valueName: "url"))
    var northbound: String?

    @Option(help: .init("What a mediator shows there.", valueName: "token"))
    var mediatorToken: String?

    @Option(
        help: .init(
            "Register this user there first, and a mediator of theirs; without --mediator-token.", valueName: "id"))
    var user: String?

    @Option(
        help: .init("How the devices behave: reference, polite or libcoap (default: reference).", valueName: "name"))
    var profile: FleetProfile.Name?

    @Option(help: .init("A bad habit of all devices; may be given more than once.", valueName: "name"))
    var quirk: [FleetQuirks] = []

    @Option(help: .init("The devices are called PREFIX1, PREFIX2 and so on (default: fleet-).", valueName: "prefix"))
    var prefix: String?

    @Option(help: .init("Repeat the chances of an earlier run; each tells its own.", valueName: "number"))
    var seed: UInt64?

    @Option(
        help: .init("Keep all tokens in this file (mode 0600) and sign in with them the next time.", valueName: "file"))
    var state: String?

    @Option(help: .init("Write each event to this file, as JSON lines.", valueName: "file"))
    var history: String?

    @Option(help: .init("Write the table to this file too, as JSON.", valueName: "file"))
    var report: String?

    @Option(
        help: .init(
            "End with status 1 if more failed, whatever the cause (default: any number may).", valueName: "count"))
    var maxFailures: Int?

    @OptionGroup var tls: TLSOptions

    package init() {}

    package func validate() throws {
        for (value, range, flag) in [
            (self.devices, 1...1_000_000, "--devices"), (self.publish, 0...1000, "--publish"),
            (self.padding, 0...1_000_000, "--padding"), (self.maxFailures, 0...Int.max, "--max-failures"),
        ] {
            guard let value, !range.contains(value) else { continue }
            throw ValidationError("\(flag) is \(value); it is \(range.lowerBound) to \(range.upperBound)")
        }
        if let northbound = self.northbound, HTTPDoor(parsing: northbound) == nil {
            throw ValidationError("--northbound is \"\(sanitized(northbound, limit: 100))\"; write http://HOST:PORT")
        }
        guard self.mediatorToken == nil || self.user == nil else {
            throw ValidationError("--mediator-token and --user are two ways to the same; give one of them")
        }
        let hasMediator = self.mediatorToken != nil || self.user != nil
        guard (self.northbound != nil) == hasMediator else {
            throw ValidationError("--northbound needs --mediator-token or --user, and they need --northbound")
        }
        guard self.northbound != nil || self.state != nil else {
            throw ValidationError(
                "say where one-time codes come from: --northbound URL --mediator-token TOKEN; or give the --state of an "
                    + "earlier run")
        }
        // Ids of devices have at most 128 bytes and no slash, and a number comes behind.
        if let prefix = self.prefix, prefix.utf8.count > 100 || prefix.contains("/") || prefix.isEmpty {
            throw ValidationError("--prefix has 1 to 100 bytes and no slash")
        }
    }

    package func run() async throws {
        let console = Console(isTerminal: isatty(STDOUT_FILENO) == 1)
        let status = await withTaskGroup(of: Void.self, returning: CInt.self) { output in
            output.addTask { await console.run(writeToStandardOutput) }
            let status: CInt
            do {
                status = try await self.run(console)
            } catch {
                console.inputEnded()
                console.finish()
                await output.waitForAll()
                Self.say("The run cannot begin: \(error)")
                return 2
            }
            console.finish()
            return status
        }
        if status != 0 { throw ExitCode(status) }
    }

    private func run(_ console: Console) async throws -> CInt {
        let setup = try self.setup()
        if let problem = OpenFiles.raised().problem(devices: setup.ramp.devices) { throw FleetError(problem) }
        let stateFile = self.state.map(FleetStateFile.init(path:))
        let saved = try stateFile?.load() ?? [:]
        let provisioning = try await self.provisioning(setup, saved)
        let history = try self.history.map { path throws(FleetError) in try FleetHistory(path: path) }
        let fleet = try await FleetRun(
            setup, on: Array(MultiThreadedEventLoopGroup.singleton.makeIterator()), saved: saved,
            provisioning: provisioning, history: history,
            notices: FleetNotices { console.print($0) })
        console.print(
            "\(grouped(setup.ramp.devices)) devices, profile \(setup.profile.name.rawValue), seed \(setup.seed); "
                + "Ctrl-C ends the run.")
        let outcome = try await untilSignal {
            let screen = FleetScreen(console, isTerminal: isatty(STDOUT_FILENO) == 1)
            return try await fleet.run(for: self.duration?.duration) { screen.show($0) }
        }
        console.inputEnded()
        for line in outcome.report.table { console.print(line) }
        if let problem = await history?.finish() { console.print(problem) }
        // What went wrong with a file is said; the run itself is as good as it was.
        var isWhole = true
        if let stateFile {
            // Devices of the earlier run that were not in this one keep what they have.
            var devices = saved
            for device in outcome.saved { devices[device.di] = device }
            do throws(FleetError) {
                try stateFile.save(devices.values.sorted { $0.di < $1.di })
            } catch {
                isWhole = false
                console.print(error.description)
            }
        }
        if let report = self.report, !Self.write(outcome.report.json, to: report) {
            isWhole = false
            console.print("The report cannot be written to \(sanitized(report, limit: 300)): \(systemMessage(errno)).")
        }
        return isWhole && self.isGood(outcome.report) ? 0 : 1
    }

    private func isGood(_ report: FleetReport) -> Bool {
        report.counts.everSignedIn == report.counts.devices
            && (self.maxFailures.map { report.counts.failed <= $0 } ?? true)
    }

    // MARK: - What was given

    private func setup() throws -> FleetSetup {
        var addresses = self.address.flatMap(\.addresses)
        if addresses.isEmpty { addresses = [ServerAddress(host: "127.0.0.1", port: ServerAddress.defaultPort)] }
        let targets: [FleetSetup.Target]
        do {
            targets = try addresses.map {
                FleetSetup.Target(address: $0, transport: try self.tls.trust.transport($0.scheme))
            }
        } catch {
            throw FleetError("The certificates cannot be used: \(error). Look at --ca, --certificate and --key.")
        }
        let rate = self.rate?.perSecond ?? (self.ramp == nil ? 100 : nil)
        var setup = FleetSetup(
            profile: FleetProfile(self.profile ?? .reference), targets: targets,
            ramp: RampPlan(devices: self.devices ?? 100, ramp: self.ramp?.duration ?? .zero, perSecond: rate))
        setup.quirks = Set(self.quirk.flatMap(\.quirks))
        setup.seed = self.seed ?? UInt64.random(in: 0...999_999)
        setup.links = self.publish ?? 1
        setup.notificationsPerSecond = self.notify?.perSecond
        setup.delayShare = self.delayShare?.share ?? 0
        setup.delay = self.delay?.duration ?? .seconds(2)
        setup.padding = self.padding ?? 0
        setup.prefix = self.prefix ?? setup.prefix
        return setup
    }

    private func provisioning(
        _ setup: FleetSetup, _ saved: [String: FleetSavedDevice]
    ) async throws -> FleetProvisioning? {
        let fresh = (0..<setup.ramp.devices).lazy.map(setup.di).first { saved[$0] == nil }
        guard let door = self.northbound.flatMap(HTTPDoor.init(parsing:)) else {
            if let fresh {
                throw FleetError(
                    "--state has no tokens of \(fresh): give --northbound and --mediator-token too, so that it can sign up."
                )
            }
            return nil
        }
        let tls = door.isSecure ? try self.tls.trust.context { $0.applicationProtocols = ["http/1.1"] } : nil
        let token: String
        if let given = self.mediatorToken {
            token = given
        } else {
            token = try await FleetProvisioning.mediator(for: self.user ?? "", at: door, tls: tls)
        }
        let provisioning = FleetProvisioning(door: door, mediatorToken: token, tls: tls)
        if let fresh { try await provisioning.prepare(fresh) }
        return provisioning
    }

    // MARK: - End

    private static func say(_ sentence: String) {
        _ = (sanitized(sentence, limit: 2000) + "\n").withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
    }

    private static func write(_ text: String, to path: String) -> Bool {
        guard let file = fopen(path, "w") else { return false }
        let isWritten = fputs(text, file) >= 0
        return fclose(file) == 0 && isWritten
    }
}
