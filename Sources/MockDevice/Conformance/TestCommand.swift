package import ArgumentParser
import CoAPTransport
import Glibc

/// `mock-device test`.
package struct TestCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Try a cloud out: does it behave as OCF devices and clients expect?",
        discussion: """
            Each case is tried with identities of its own, so codes are needed for several devices and for a second \
            user: --http gets them from the endpoints of this project's README, --provision from a command of yours, \
            --code takes them one by one. Several URLs name ways into the same cloud; most cases take the first, those \
            about TLS or WebSocket the one that fits. Ends with status 0 only if no case failed, 1 if one did, 2 if \
            the run could not begin.

              mock-device test coap+tcp://127.0.0.1:5683 --http http://127.0.0.1:8080
            """
    )

    @Argument(
        help: .init(
            "Where the cloud listens: coap+tcp://, coaps+tcp://, coap+ws:// or coaps+ws://HOST[:PORT].",
            valueName: "url"),
        transform: TestCommand.address)
    var urls: [ServerAddress] = []

    @Option(
        help: .init("The cloud's HTTP side, for provisioning and for the cases about HTTP.", valueName: "url"))
    var http: String?

    @Option(
        help: .init(
            "A shell command that prints a one-time code; it is called with device or client, the id, and 1 or 2 for "
                + "the user.", valueName: "command"))
    var provision: String?

    @Option(
        parsing: .upToNextOption,
        help: .init("One-time codes of one user that fit any device.", valueName: "code"))
    var code: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: .init("Only these: 28, 41-50, routing, or words of a title.", valueName: "pattern"))
    var only: [String] = []

    @Flag(help: "Show the cases and end.")
    var list = false

    @Flag(help: "Try also the cases that wait for the cloud's own time: keepalive, the end of a token.")
    var slow = false

    @Option(help: .init("Wait so long for each answer, 1 to 600 s (default: 5).", valueName: "seconds"))
    var timeout: Int?

    @Option(
        help: .init(
            "With --slow, wait so long for the cloud's own time, 1 to 3600 s (default: 130).", valueName: "seconds"))
    var slowTimeout: Int?

    @Option(help: .init("So many cases at a time, 1 to 32 (default: 4).", valueName: "count"))
    var parallel: Int?

    @Option(help: .init("Write the results to this file as JUnit XML.", valueName: "file"))
    var junit: String?

    @OptionGroup var tls: TLSOptions

    package init() {}

    package func validate() throws {
        if self.list { return }
        guard !self.urls.isEmpty else { throw ValidationError("give the cloud's URL, as in coap+tcp://127.0.0.1:5683") }
        if let http = self.http, HTTPDoor(parsing: http) == nil {
            throw ValidationError("--http is \"\(sanitized(http, limit: 100))\"; write http://HOST:PORT")
        }
        let ways = [self.http != nil, self.provision != nil, !self.code.isEmpty].count { $0 }
        guard ways > 0 else {
            throw ValidationError("say where one-time codes come from: --http URL, --provision COMMAND or --code CODE")
        }
        guard self.provision == nil || self.code.isEmpty else {
            throw ValidationError("--provision and --code both give codes; give one of them")
        }
        for (value, range, flag) in [
            (self.timeout, 1...600, "--timeout"), (self.slowTimeout, 1...3600, "--slow-timeout"),
            (self.parallel, 1...32, "--parallel"),
        ] {
            guard let value, !range.contains(value) else { continue }
            throw ValidationError("\(flag) is \(value); it is \(range.lowerBound) to \(range.upperBound)")
        }
    }

    package func run() async throws {
        let selection = CaseSelection(self.only)
        let cases = ConformanceRun.cases.filter(selection.contains)
        if self.list {
            for one in cases { print(ConformanceReport.listing(one)) }
            return
        }
        guard !cases.isEmpty else { throw Self.stop("No case is called that; --list shows them.") }
        let plan = try await self.plan()
        let results = await ConformanceRun(plan, includesSlow: self.slow, parallel: self.parallel ?? 4)
            .run(cases) { result in
                print(([ConformanceReport.line(result)] + ConformanceReport.details(result)).joined(separator: "\n"))
            }
        await plan.provisioner.cleanUp(patience: plan.patience)
        print(ConformanceReport.summary(results))
        if let junit = self.junit {
            let text = ConformanceReport.junit(results, name: self.urls.map(\.url).joined(separator: " "))
            guard Self.write(text, to: junit) else {
                throw Self.stop("\(junit): cannot be written: \(String(cString: strerror(errno)))")
            }
        }
        let hasFailed = results.contains { if case .failed = $0.verdict { true } else { false } }
        if hasFailed { throw ExitCode(1) }
    }

    private func plan() async throws -> ConformancePlan {
        let trust = self.tls.trust
        let patience = Duration.seconds(self.timeout ?? 5)
        let http = self.http.flatMap(HTTPDoor.init(parsing:))
        do {
            let source: Provisioner.Source =
                if let provision = self.provision {
                    .command(provision)
                } else if !self.code.isEmpty {
                    .codes(self.code)
                } else if let http {
                    .http(http)
                } else {
                    .codes([])
                }
            return try await ConformancePlan(
                addresses: self.urls, http: http, codes: source, patience: patience,
                slowPatience: .seconds(self.slowTimeout ?? 130), trust: trust)
        } catch let failure as CaseFailure {
            throw Self.stop("The run cannot begin: \(failure)")
        } catch {
            throw Self.stop("The certificates cannot be used: \(error). Look at --ca, --certificate and --key.")
        }
    }

    /// Says why and ends with status 2.
    private static func stop(_ sentence: String) -> ExitCode {
        _ = (sanitized(sentence, limit: 2000) + "\n").withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
        return ExitCode(2)
    }

    private static func write(_ text: String, to path: String) -> Bool {
        guard let file = fopen(path, "w") else { return false }
        let isWritten = fputs(text, file) >= 0
        return fclose(file) == 0 && isWritten
    }

    private static func address(_ text: String) throws -> ServerAddress {
        do throws(AddressError) {
            return try ServerAddress(parsing: text)
        } catch {
            throw ValidationError(error.description)
        }
    }
}
