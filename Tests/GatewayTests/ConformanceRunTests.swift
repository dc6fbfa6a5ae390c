import Certificates
import Foundation
import Gateway
import MockDevice
import TestServers
import TestSupport
import Testing

/// Each idea as `mock-device test` tries it, on a gateway, and on one that is wrong.
@Suite("The conformance run")
struct ConformanceRunTests {
    /// Runs a gateway that takes certificates of devices from an authority of the test, on every kind of port.
    /// - Parameter body: gets whom to believe at the gateway, with the certificate of a device.
    private static func withGateway(
        _ settings: [String: String], _ body: @Sendable (RunningGateway, TLSTrust) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/conformance-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = try AuthorityFolder(creating: "\(folder)/devices", name: "Authority for tests")
        let device = try authority.issue(.device("0685b960-736f-46f7-bec0-9e6cbd61adc1"), days: 1)
        let ways = [
            "COAP_WS_PORT": "0", "COAPS_WS_PORT": "0", "TLS_CA_POOL": authority.certificateFile,
            "TLS_CLIENT_CERTIFICATES": "optional",
        ]
        try await RunningGateway.with(ways.merging(settings) { $1 }, dataDirectory: "\(folder)/data") { gateway in
            let trust = TLSTrust(
                authorities: "\(gateway.dataDirectory)/tls/ca.pem", certificate: device.certificate, key: device.key)
            try await body(gateway, trust)
        }
    }

    /// The ways into a gateway: ports by scheme. `coap+tcp` is the one that most cases take.
    private static func ways(into gateway: RunningGateway) throws -> [String: Int] {
        [
            "coap+tcp": gateway.coapPort, "coaps+tcp": try #require(gateway.ports.more["coaps"]),
            "coap+ws": try #require(gateway.ports.more["ws"]), "coaps+ws": try #require(gateway.ports.more["wss"]),
        ]
    }

    /// What a gateway has to be told so that nobody has to wait long for its own time.
    enum Pace: CaseIterable {
        case usual
        case quickTimeouts
        case shortTokens

        var settings: [String: String] {
            switch self {
            case .usual: [:]
            case .quickTimeouts:
                [
                    "REQUEST_TIMEOUT": "2", "KEEPALIVE_TIME": "1", "KEEPALIVE_INTERVAL": "3", "KEEPALIVE_RETRY": "2",
                ]
            case .shortTokens: ["DEVICE_TOKEN_LIFETIME": "5"]
            }
        }

        /// The pace at which a case is tried.
        static func of(_ one: ConformanceCase) -> Pace {
            switch one.number {
            case 27, 71: .quickTimeouts
            case 43, 49: .shortTokens
            default: .usual
            }
        }
    }

    @Test("The ideas are 1 to 93, each once, and each has a clause and a title")
    func complete() {
        #expect(ConformanceRun.cases.map(\.number) == Array(1...93))
        for one in ConformanceRun.cases {
            #expect(!one.clause.isEmpty)
            #expect(one.title.contains("when"))
            #expect(one.title.contains("then"))
        }
    }

    @Test("A gateway passes every case that can be tried from outside", arguments: Pace.allCases)
    func passes(pace: Pace) async throws {
        try await Self.withGateway(pace.settings) { gateway, trust in
            let plan = try await Self.plan(try Self.ways(into: gateway), http: gateway.httpPort, trust: trust)
            let cases = ConformanceRun.cases.filter { Pace.of($0) == pace }
            let results = await ConformanceRun(plan, includesSlow: true, parallel: 4).run(cases)
            #expect(results.count == cases.count)
            for result in results {
                let isExpected =
                    switch result.verdict {
                    case .passed: true
                    case .failed, .skipped: false
                    case .inside: result.conformanceCase.isInside
                    }
                #expect(
                    isExpected,
                    "\(ConformanceReport.line(result))\n\(ConformanceReport.details(result).joined(separator: "\n"))")
            }
        }
    }

    @Test("The program ends with 0 when all is well, writes JUnit, and with 1 when a case fails")
    func program() async throws {
        try await GatewayProcess.with { gateway in
            let junit = "\(gateway.directory)/junit.xml"
            let run = { (more: [String]) in
                try await Subprocess(
                    [
                        "mock-device", "test", "coap+tcp://127.0.0.1:\(gateway.coap)", "--http",
                        "http://127.0.0.1:\(gateway.http)", "--timeout", "20",
                    ] + more, environment: [:]
                ).ended()
            }
            let good = try await run(["--only", "1-5", "28", "--junit", junit])
            #expect(good.status == 0, "\(good.output)\(good.errors)")
            #expect(good.output.contains("6 cases: 6 passed, 0 failed, 0 skipped, 0 cannot be seen from outside."))
            let written = try String(contentsOfFile: junit, encoding: .utf8)
            #expect(written.contains(#"tests="6" failures="0" skipped="0""#))
            #expect(written.contains(#"<testcase classname="sign-up" name="28: "#))
            let silent = try await Subprocess(
                ["mock-device", "test", "coap+tcp://127.0.0.1:\(gateway.coap)", "--only", "28"], environment: [:]
            ).ended()
            #expect(silent.status == 64)
            #expect(silent.errors.contains("--http URL, --provision COMMAND or --code CODE"))
            let wrong = try await Subprocess(
                [
                    "mock-device", "test", "coap+tcp://127.0.0.1:\(gateway.coap)", "--code", "wrong", "--only", "28",
                ], environment: [:]
            ).ended()
            #expect(wrong.status == 1)
            #expect(wrong.output.contains("expected  2.04 to a sign-up"))
            let list = try await run(["--list", "--only", "sign-up"])
            #expect(list.status == 0)
            #expect(list.output.split(separator: "\n").count == 13)
        }
    }

    @Test(
        "Each case that can be tried fails under at least one fault, for what it is about, and under none without one")
    func eachCaseCanFail() async throws {
        let tried = ConformanceRun.cases.filter { !$0.isInside }
        let noticing = Set(Fault.allCases.flatMap(\.noticedBy))
        #expect(tried.map(\.number).filter { !noticing.contains($0) } == [], "cases that no fault can fail")
        for pace in Pace.allCases {
            let coap = try await WrongCloud.open()
            let settings = pace.settings.merging(["PUBLIC_ENDPOINT": "coap+tcp://127.0.0.1:\(coap.port)"]) { $1 }
            try await Self.withGateway(settings) { gateway, trust in
                try await Self.tryFaults(on: gateway, coap, tried.filter { Pace.of($0) == pace }, trust)
            }
            await coap.close()
        }
    }

    /// Puts wrong doors in front of a gateway, one fault after the other.
    private static func tryFaults(
        on gateway: RunningGateway, _ coap: WrongCloud, _ cases: [ConformanceCase], _ trust: TLSTrust
    ) async throws {
        let http = try await WrongCloud.open()
        http.lead(to: gateway.httpPort)
        var doors: [String: WrongCloud] = [:]
        for (scheme, port) in try Self.ways(into: gateway) {
            let door = scheme == "coap+tcp" ? coap : try await WrongCloud.open()
            door.lead(to: port)
            doors[scheme] = door
        }
        let plan = try await Self.plan(
            doors.mapValues(\.port), http: http.port, provisioning: gateway.httpPort, patience: .seconds(20),
            trust: trust)
        for result in await ConformanceRun(plan, includesSlow: true, parallel: 4).run(cases) {
            #expect(result.verdict == .passed, "through an honest door: \(ConformanceReport.line(result))")
        }
        let hasty = plan.with(patience: .seconds(1), slowPatience: .seconds(8))
        for fault in Fault.allCases {
            for (scheme, door) in doors {
                door.spoil { () -> any Spoiler in
                    if scheme == "coap+tcp" { FaultySpoiler(fault) } else { FaultyDoorSpoiler(fault) }
                }
            }
            let count = Counter()
            http.spoil { FaultyHTTPSpoiler(fault, connections: count.next()) }
            let noticing = cases.filter { fault.noticedBy.contains($0.number) }
            var missed = await Self.missed(noticing, hasty)
            // A busy machine may not even get to what a case is about within a second.
            if !missed.isEmpty {
                missed = await Self.missed(
                    missed.map(\.conformanceCase), plan.with(patience: .seconds(10), slowPatience: .seconds(20)))
            }
            for result in missed {
                Issue.record("does not notice \(fault): \(ConformanceReport.line(result))\n\(result.verdict)")
            }
        }
        for door in doors.values { await door.close() }
        await http.close()
    }

    /// Those that do not fail, or not for what they are about.
    private static func missed(_ cases: [ConformanceCase], _ plan: ConformancePlan) async -> [CaseResult] {
        await ConformanceRun(plan, includesSlow: true, parallel: 6).run(cases).filter { result in
            if case .failed(let failure) = result.verdict { failure.stage != .then } else { true }
        }
    }

    private static func plan(
        _ ways: [String: Int], http: Int, provisioning: Int? = nil, patience: Duration = .seconds(20), trust: TLSTrust
    ) async throws -> ConformancePlan {
        // In this order coap+tcp is the first.
        let addresses = try ways.sorted { $0.key == "coap+tcp" || $0.key < $1.key && $1.key != "coap+tcp" }
            .map { try ServerAddress(parsing: "\($0.key)://127.0.0.1:\($0.value)") }
        return try await ConformancePlan(
            addresses: addresses, http: HTTPDoor(host: "127.0.0.1", port: http),
            codes: .http(HTTPDoor(host: "127.0.0.1", port: provisioning ?? http)), patience: patience,
            slowPatience: .seconds(60), trust: trust)
    }
}
