import CoAPTransport
import Foundation
import MockDevice
import NIOPosix
import TestServers
import TestSupport
import Testing

/// Fleets against a gateway.
@Suite("A fleet on a gateway", .timeLimit(.minutes(5)))
struct FleetRunTests {
    private static func fleet(
        _ gateway: RunningGateway, devices: Int, mediator: String, history: FleetHistory
    ) async throws -> FleetRun {
        let address = ServerAddress(host: "127.0.0.1", port: gateway.coapPort)
        let setup = FleetSetup(
            profile: FleetProfile(.reference), targets: [.init(address: address, transport: .tcp)],
            ramp: RampPlan(devices: devices, perSecond: 100))
        return try await FleetRun(
            setup, on: Array(MultiThreadedEventLoopGroup.singleton.makeIterator()),
            provisioning: FleetProvisioning(
                door: HTTPDoor(host: "127.0.0.1", port: gateway.httpPort), mediatorToken: mediator, tls: nil),
            history: history,
            notices: FleetNotices { Issue.record("\($0)") })
    }

    @Test("200 devices sign up, sign in and publish, and each answers for itself over HTTP")
    func serves() async throws {
        try await RunningGateway.with { gateway in
            let alice = try await gateway.owner("alice")
            let client = try await alice.client("phone")
            let path = "\(gateway.dataDirectory)/history"
            let history = try FleetHistory(path: path)
            let fleet = try await Self.fleet(gateway, devices: 200, mediator: alice.mediator, history: history)
            try await withThrowingTaskGroup(of: FleetRun.Outcome?.self) { tasks in
                tasks.addTask { try await fleet.run(for: nil) { _ in } }
                try await gateway.eventually("200 publications", within: .seconds(150)) {
                    try await fleet.counts.steps[.publish] == 200
                }
                for number in 1...200 {
                    let answer = try await gateway.http.post(
                        "/fleet-\(number)/light?n=q\(number)", token: client.login.accessToken,
                        "{\"brightness\": \(number % 100), \"n\": \(number)}")
                    #expect(answer.status == 200)
                    #expect(answer.member("di") == "fleet-\(number)")
                    #expect(answer.member("n") == "\(number)")
                    #expect(answer.member("served") == "1")
                }
                tasks.cancelAll()
                while let next = try await tasks.next() {
                    guard let report = next?.report else { continue }
                    #expect(report.counts.everSignedIn == 200)
                    #expect(report.counts.requests == 200)
                    #expect(report.counts.answers == 200)
                    #expect(report.counts.failures.isEmpty)
                    #expect(report.allSignedIn != nil)
                    #expect(report.latencies.summary(of: .signIn)?.count == 200)
                }
            }
            #expect(await history.finish() == nil)
            let events = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
            }
            for kind in ["delivered", "answered"] {
                let marked = events.filter { $0["event"] as? String == kind }
                #expect(marked.count == 200)
                for event in marked {
                    let number = try #require(event["body_n"] as? Int)
                    #expect(event["di"] as? String == "fleet-\(number)")
                    #expect(event["query_n"] as? String == "q\(number)")
                    #expect(event["request"] as? String == "POST /light")
                    #expect(event["mono_ns"] as? Int ?? 0 > 0)
                    #expect(event["wall_ns"] as? Int ?? 0 > 1_500_000_000_000_000_000)
                }
            }
        }
    }

    @Test(
        "The program survives a gateway that is started again, tells all of it, and signs in again from its state file")
    func program() async throws {
        let directory = "\(NSTemporaryDirectory())fleet-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = try await GatewayProcess.start(directory: directory)
        let files = ["--state", "\(directory)/state", "--history", "\(directory)/history"]
        let run = { (more: [String]) in
            try Subprocess(
                ["mock-device", "run", "--address", "127.0.0.1:\(first.coap)", "--devices", "20"] + files + more,
                environment: [:])
        }
        let events = { (name: String) in
            (try? String(contentsOfFile: "\(directory)/history", encoding: .utf8))?
                .split(separator: "\n").count { $0.contains("\"event\":\"\(name)\"") } ?? 0
        }
        let fleet = try run(
            [
                "--northbound", "http://127.0.0.1:\(first.http)", "--user", "alice", "--report",
                "\(directory)/report",
            ])
        try await Self.waitForSessions(atLeast: 20, of: first)
        #expect(await first.stop().status == 0)
        let second = try await GatewayProcess.start(
            ["HTTP_PORT": "\(first.http)", "COAP_PORT": "\(first.coap)"], directory: directory)
        try await Self.waitForSessions(atLeast: 20, of: second)
        fleet.signal(SIGTERM)
        let ended = await fleet.ended()
        #expect(ended.status == 0, "\(ended.output)\(ended.errors)")
        #expect(ended.output.contains("signed in at least once  20"))
        #expect(events("released") >= 20)
        #expect(events("signed-in") >= 39)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: "\(directory)/report")))
                as? [String: Any])
        #expect(report["signed_in_once"] as? Int == 20)
        #expect((report["counts"] as? [String: Int])?["sign-up"] == 20)
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/state")
        #expect(attributes[.posixPermissions] as? Int == 0o600)

        let again = try run([])
        try await again.waitFor(" 20 signed in, ")
        again.signal(SIGTERM)
        let endedAgain = await again.ended()
        #expect(endedAgain.status == 0, "\(endedAgain.output)\(endedAgain.errors)")
        #expect(endedAgain.output.contains("sign-up                        0"))
        #expect(await second.stop().status == 0)
    }

    @Test("What keeps a run from beginning is said in a sentence, with status 2; flags that make no sense, with 64")
    func cannotBegin() async throws {
        try await GatewayProcess.with { gateway in
            let http = "http://127.0.0.1:\(gateway.http)"
            let run = { (more: [String]) in
                try await Subprocess(
                    ["mock-device", "run", "--address", "127.0.0.1:\(gateway.coap)"] + more, environment: [:]
                ).ended()
            }
            let wrongToken = try await run(["--northbound", http, "--mediator-token", "wrong"])
            #expect(wrongToken.status == 2)
            #expect(wrongToken.errors.contains("No one-time code can be had from \(http): 401"))
            #expect(wrongToken.errors.contains("Is --mediator-token right?"))
            let wrongDoor = try await run(
                ["--northbound", "http://127.0.0.1:\(gateway.coap)", "--mediator-token", "wrong"])
            #expect(wrongDoor.status == 2)
            #expect(wrongDoor.errors.contains("See --northbound."))
            let noTokens = try await run(["--state", "\(gateway.directory)/none"])
            #expect(noTokens.status == 2)
            #expect(
                noTokens.errors.contains("--state has no tokens of fleet-1: give --northbound and --mediator-token"))
            let nothing = try await run([])
            #expect(nothing.status == 64)
            #expect(nothing.errors.contains("say where one-time codes come from"))
            let quirk = try await run(["--quirk", "nice"])
            #expect(quirk.status == 64)

            let limited = try await Subprocess(
                [
                    "/bin/bash", "-c",
                    "ulimit -n 100; exec \(Subprocess.products)/mock-device run --devices 1000 --state x",
                ], environment: [:]
            ).ended()
            #expect(limited.status == 2)
            #expect(
                limited.errors.contains(
                    "1000 devices need about 1064 open files, but this process may have 100. Take --devices 36 or less")
            )
        }
    }

    @Test("docs/fleet.md names every flag, profile and quirk that --help names")
    func document() async throws {
        let help = try await Subprocess(["mock-device", "help", "run"], environment: [:]).ended()
        #expect(help.status == 0)
        let document = try String(contentsOfFile: "\(Subprocess.root)/docs/fleet.md", encoding: .utf8)
        let flags = Set(help.output.split { !($0.isLetter || $0 == "-") }.filter { $0.hasPrefix("--") })
        #expect(flags.count > 20)
        for flag in flags where !["--version", "--help"].contains(flag) {
            #expect(document.contains(flag), "\(flag) is missing")
        }
        let names = FleetProfile.Name.allCases.map(\.rawValue) + FleetQuirk.allCases.map(\.rawValue)
        for name in names {
            #expect(help.output.contains(name))
            #expect(document.contains("`\(name)`"), "\(name) is missing")
        }
    }

    @Test("A cloud that is not there ends a run with status 1, and the table says why")
    func wrongAddress() async throws {
        try await GatewayProcess.with { gateway in
            let ended = try await Subprocess(
                [
                    "mock-device", "run", "--address", "127.0.0.1:1", "--northbound",
                    "http://127.0.0.1:\(gateway.http)", "--user", "alice", "--devices", "3", "--duration", "4s",
                ], environment: [:]
            ).ended()
            #expect(ended.status == 1)
            #expect(ended.output.contains("connect: refused: 127.0.0.1:1: connection refused: nothing listens there."))
            #expect(ended.output.contains("failures, by cause"))
            #expect(ended.output.contains("signed in at least once  0"))
        }
    }

    @Test("When no more files may be opened, the run says so, with what to do, and goes on with those it has")
    func openFiles() async throws {
        try await GatewayProcess.with { gateway in
            let process = try Subprocess(
                [
                    "mock-device", "run", "--address", "127.0.0.1:\(gateway.coap)", "--northbound",
                    "http://127.0.0.1:\(gateway.http)", "--user", "alice", "--devices", "2000", "--rate", "20/s",
                ], environment: [:])
            try await Self.waitForSessions(atLeast: 5, of: gateway)
            // Room for a few more, however many there are by now.
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/fd").count
            let limited = try await Subprocess.run(
                ["/usr/bin/prlimit", "--pid", "\(process.pid)", "--nofile=\(open + 50):\(open + 50)"])
            #expect(limited.status == 0, "\(limited.errors)")
            try await process.waitFor("connect: no more open files or ports: ")
            try await process.waitFor("Let fewer devices run, or allow more open files")
            process.signal(SIGTERM)
            let ended = await process.ended()
            #expect(ended.status == 1)
            #expect(ended.output.contains("connect: no more open files or ports"))
        }
    }

    private static func waitForSessions(atLeast count: Int, of gateway: GatewayProcess) async throws {
        let admin = HTTPTestClient(port: gateway.admin)
        try await gateway.cloud.eventually("\(count) sessions", within: .seconds(120)) {
            try await admin.get("/status").member("sessions").flatMap { Int($0) } ?? 0 >= count
        }
    }
}
