import CBOR
import Cloud
import CoAP
import Foundation
import NIOPosix
import Testing

@testable import MockDevice

/// What a fleet is made of, apart from its devices' behaviour.
@Suite("Parts of a fleet")
struct FleetPartsTests {
    // MARK: Flags

    @Test("Times, rates, shares and several ports are read as people write them, and nothing else is")
    func flags() throws {
        let times: [(String, Duration?)] = [
            ("90", .seconds(90)), ("90s", .seconds(90)), ("500ms", .milliseconds(500)), ("5m", .seconds(300)),
            ("1.5h", .seconds(5400)), ("0", .zero), ("", nil), ("s", nil), ("-1s", nil), ("5 days", nil),
        ]
        for (text, time) in times { #expect(DurationArgument(argument: text)?.duration == time) }
        for (text, rate) in [("10", 10), ("0.5/s", 0.5), ("0", nil), ("-1", nil), ("x/s", nil)] as [(String, Double?)] {
            #expect(RateArgument(argument: text)?.perSecond == rate)
        }
        for (text, share) in [("5%", 0.05), ("0.05", 0.05), ("100%", 1), ("101%", nil), ("%", nil)]
            as [(String, Double?)]
        {
            #expect(ShareArgument(argument: text)?.share == share)
        }
        let addresses = try #require(FleetAddresses(argument: "coaps+tcp://[::1]:5684,5685")).addresses
        #expect(addresses.map(\.description) == ["coaps+tcp://[::1]:5684", "coaps+tcp://[::1]:5685"])
        for text in ["", "host:1,", "host:1,99999", "host:1,other:2", "http://host"] {
            #expect(FleetAddresses(argument: text) == nil)
        }
        #expect(FleetQuirks(argument: "no-jitter,no-pong")?.quirks == [.noJitter, .noPong])
        #expect(FleetQuirks(argument: "nice") == nil)
    }

    // MARK: Ramp

    @Test("Devices begin evenly over the ramp, at the rate, or at whichever is later")
    func ramp() {
        let even = RampPlan(devices: 10, ramp: .seconds(20))
        #expect((0..<10).map(even.begin) == (0..<10).map { .seconds(2 * $0) })
        let rated = RampPlan(devices: 10, perSecond: 4)
        #expect((0..<10).map(rated.begin) == (0..<10).map { .milliseconds(250 * $0) })
        let both = RampPlan(devices: 10, ramp: .seconds(1), perSecond: 4)
        #expect((0..<10).map(both.begin) == (0..<10).map { .milliseconds(250 * $0) })
        let atOnce = RampPlan(devices: 10)
        #expect((0..<10).allSatisfy { atOnce.begin(of: $0) == .zero })
    }

    // MARK: Light

    private func post(_ item: DataItem?, _ queries: [String] = []) -> Request {
        var request = Request(.post, path: ["light"], queries: queries, payload: item?.encoded())
        request.options.contentFormat = item == nil ? nil : .ocfCBOR
        return request
    }

    private func item(_ answer: FleetLight.Answer) throws -> DataItem {
        try DataItem(decoding: #require(answer.response.payload))
    }

    @Test("The light says whose it is, counts what it was asked, and gives back what tells requests apart")
    func light() throws {
        var light = FleetLight()
        let first = light.respond(to: Request(.get, path: ["light"], queries: ["n=a7"]), di: "fleet-1")
        #expect(first.response.code == .content)
        #expect(first.response.options.contentFormat == .ocfCBOR)
        #expect(first.queryMark == "a7")
        #expect(
            try self.item(first)
                == .map(["value": false, "brightness": 50, "di": "fleet-1", "served": 1, "n": "a7"]))
        let second = light.respond(
            to: self.post(["value": true, "brightness": 7, "n": 12], ["n=q"]), di: "fleet-1")
        #expect(second.response.code == .changed)
        #expect(second.bodyMark == 12)
        #expect(second.queryMark == "q")
        #expect(
            try self.item(second)
                == .map(["value": true, "brightness": 7, "di": "fleet-1", "served": 2, "last": 12, "n": 12]))
        let other = light.respond(to: Request(.get, path: ["light", "3"]), di: "fleet-1")
        #expect(try self.item(other)["value"] == true)
        #expect(light.served == 3)
    }

    @Test("The light says which POST it took last: one that was refused, had no mark or was a GET is none")
    func lastMark() throws {
        var light = FleetLight()
        var last: [DataItem?] = []
        for request in [
            Request(.get, path: ["light"], queries: ["n=1"]), self.post(["brightness": 1]),
            self.post(["brightness": 2, "n": 2]), self.post(["brightness": 101, "n": 3]),
            self.post(["brightness": 4]), Request(.get, path: ["light"], queries: ["n=5"]),
            self.post(["brightness": 6, "n": "six"]),
        ] {
            let answer = light.respond(to: request, di: "a")
            last.append(answer.response.code.isSuccess ? try self.item(answer)["last"] : nil)
        }
        #expect(last == [nil, nil, 2, nil, 2, 2, "six"])
        #expect(try DataItem(decoding: #require(light.change(di: "a").payload))["last"] == "six")
    }

    @Test("Answers are as much longer as was asked for")
    func padding() throws {
        var (light, padded) = (FleetLight(), FleetLight(padding: 200_000))
        let request = Request(.get, path: ["light"])
        var pairs = try self.item(light.respond(to: request, di: "a")).pairs ?? []
        pairs.append(.init("padding", .text(String(repeating: "x", count: 200_000))))
        #expect(try self.item(padded.respond(to: request, di: "a")) == .map(pairs))
    }

    @Test("What the light cannot do is refused, and still told apart")
    func refusals() {
        var light = FleetLight()
        #expect(light.respond(to: self.post(["value": 1, "n": 3]), di: "a").response.code == .badRequest)
        #expect(light.respond(to: self.post(["brightness": 101]), di: "a").response.code == .badRequest)
        #expect(light.respond(to: self.post([1]), di: "a").response.code == .badRequest)
        #expect(light.respond(to: Request(.delete, path: ["light"]), di: "a").response.code == .methodNotAllowed)
        let unknown = light.respond(to: Request(.get, path: ["lamp"], queries: ["n=5"]), di: "a")
        #expect(unknown.response.code == .notFound)
        #expect(unknown.queryMark == "5")
        #expect(!unknown.isLight)
        #expect(light.served == 4)
    }

    @Test("As many links are published as were asked for, the light first")
    func links() {
        #expect(FleetLight.hrefs(0) == [])
        #expect(FleetLight.hrefs(3) == ["/light", "/light/1", "/light/2"])
        #expect(FleetLight.link("/light")["p"]?["bm"] == 3)
    }

    // MARK: Open files

    @Test("Devices that do not fit the limit on open files are told of it, with what to do")
    func openFiles() throws {
        #expect(OpenFiles(limit: 1064).problem(devices: 1000) == nil)
        let problem = try #require(OpenFiles(limit: 1024).problem(devices: 1000))
        #expect(problem.contains("1000 devices need about 1064 open files, but this process may have 1024."))
        #expect(problem.contains("--devices 960 or less"))
        #expect(problem.contains("LimitNOFILE=1064"))
        #expect(try #require(OpenFiles(limit: 10).problem(devices: 1)).contains("Allow more: ulimit"))
        #expect(OpenFiles.raised().limit >= 1)
    }

    // MARK: Figures and report

    @Test("Percentiles are those of HdrHistogram, to three digits")
    func percentiles() throws {
        var latencies = FleetLatencies()
        for milliseconds in 1...1000 { latencies.record(.ping, .milliseconds(milliseconds)) }
        var more = FleetLatencies()
        more.record(.ping, .seconds(100_000))
        latencies.add(more)
        let summary = try #require(latencies.summary(of: .ping))
        #expect(summary.count == 1001)
        for (value, expected) in zip(summary.percentiles, [501, 901, 991, 1000]) {
            #expect(abs(value / .milliseconds(expected) - 1) < 0.002)
        }
        #expect(abs(summary.most / .seconds(3600) - 1) < 0.002)
        #expect(latencies.summary(of: .connect) == nil)
    }

    private var report: FleetReport {
        var counts = FleetCounts()
        counts.devices = 3
        counts.everSignedIn = 2
        counts.gaveUp = 1
        counts.connections = 12_345
        counts.steps = [.signUp: 3, .signIn: 20]
        counts.failures = [FleetFailure("sign-in", "refused with 4.01"): 2, FleetFailure("connect", "refused"): 5]
        var latencies = FleetLatencies()
        latencies.record(.signIn, .milliseconds(12))
        return FleetReport(
            profile: .reference, quirks: [.flapping], seed: 42, duration: .seconds(10), counts: counts,
            latencies: latencies, peaks: ["connections": 2000.5], allSignedIn: nil, memoryBytes: 20 << 20, connected: 2)
    }

    @Test("The table has rates, latencies, and failures by cause, the most frequent first")
    func table() {
        let text = self.report.table.joined(separator: "\n")
        #expect(text.contains("3 devices, profile reference with flapping, seed 42, 10 s"))
        #expect(text.contains("signed in at least once  2\n"))
        #expect(text.contains("memory                   20 MiB for 2 connected devices: 10240 KiB each"))
        #expect(text.contains("connections               12,345    1234.5    2000.5"))
        #expect(text.contains("sign-in                    1   12.0 ms   12.0 ms"))
        #expect(
            text.hasSuffix(
                "7 failures, by cause\n           5  connect: refused\n           2  sign-in: refused with 4.01"))
    }

    @Test("The report is one JSON object, with durations in microseconds")
    func json() throws {
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(self.report.json.utf8)) as? [String: Any])
        #expect(object["profile"] as? String == "reference")
        #expect(object["quirks"] as? [String] == ["flapping"])
        #expect(object["devices"] as? Int == 3)
        #expect(object["signed_in_once"] as? Int == 2)
        #expect(object["gave_up"] as? Int == 1)
        #expect(object["duration_us"] as? Int == 10_000_000)
        #expect(object["all_signed_in_us"] is NSNull)
        #expect(object["bytes_per_device"] as? Int == 10 << 20)
        #expect((object["peaks_per_second"] as? [String: Double])?["connections"] == 2000.5)
        #expect((object["counts"] as? [String: Int])?["sign-in"] == 20)
        let signIn = (object["latencies"] as? [String: [String: Int]])?["sign-in"]
        #expect(signIn?.keys.sorted() == ["count", "max_us", "min_us", "p50_us", "p90_us", "p99.9_us", "p99_us"])
        let failures = object["failures"] as? [[String: Any]]
        #expect(failures?.first?["cause"] as? String == "refused")
        #expect(failures?.first?["count"] as? Int == 5)
    }

    // MARK: History

    @Test("A history that no disk takes is said to be not whole, and why")
    func fullDisk() async throws {
        let history = try FleetHistory(path: "/dev/full")
        history.note(FleetEvent(.connected, di: "fleet-1", connection: 1))
        let problem = try #require(await history.finish())
        #expect(problem == "The history is not whole: /dev/full: No space left on device.")
        #expect(throws: FleetError.self) { try FleetHistory(path: "/nowhere/at/all") }
    }

    @Test("Events that come faster than they can be written are counted, in the file and for people")
    func lostEvents() async throws {
        let path = NSTemporaryDirectory() + "fleet-\(UUID().uuidString)"
        #expect(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        // Nobody reads yet, but writing may begin.
        let pipe = open(path, O_RDWR)
        defer { close(pipe) }
        let history = try FleetHistory(path: path, maximumWaiting: 10)
        for number in 0..<5000 {
            history.note(FleetEvent(.connected, di: "fleet-\(number)", connection: 1))
        }
        async let problem = history.finish()
        let text = try await NIOThreadPool.singleton.runIfActive {
            var text = ""
            var bytes = [UInt8](repeating: 0, count: 65_536)
            while !text.contains("\"lost\"") || !text.hasSuffix("\n") {
                let count = read(pipe, &bytes, bytes.count)
                guard count > 0 else { break }
                text += String(decoding: bytes.prefix(count), as: UTF8.self)
            }
            return text
        }
        let written = text.split(separator: "\n").count { $0.contains("\"connected\"") }
        #expect(written < 5000)
        #expect(await problem?.hasPrefix("The history is not whole: ") == true)
    }

    // MARK: State

    private func device(_ number: Int, expiresAt: Timestamp?) throws -> FleetSavedDevice {
        FleetSavedDevice(
            di: "fleet-\(number)",
            tokens: Tokens(
                uid: "alice", accessToken: try #require(Secret("at-\(number)")),
                refreshToken: try #require(Secret("rt-\(number)")), expiresAt: expiresAt),
            hasPublished: number % 2 == 0)
    }

    @Test("The state file gives back what was saved, and only its owner may read it")
    func state() throws {
        let path = NSTemporaryDirectory() + "fleet-\(UUID().uuidString)"
        defer { unlink(path) }
        let file = FleetStateFile(path: path)
        #expect(try file.load().isEmpty)
        let devices = [
            try self.device(1, expiresAt: nil), try self.device(2, expiresAt: Timestamp(milliseconds: 5)),
        ]
        try file.save(devices)
        #expect(try file.load() == ["fleet-1": devices[0], "fleet-2": devices[1]])
        var status = stat()
        stat(path, &status)
        #expect(status.st_mode & 0o777 == 0o600)
        try "nonsense\n".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(throws: FleetError.self) { try file.load() }
    }
}
