import Foundation
import TestServers
import Testing

@Suite("scripts/judge-rollout")
struct JudgeTests {
    /// What a rollout of two devices left, in which nothing went wrong.
    private struct Seen {
        var answers = [
            Self.answer(#"{"value":true,"brightness":50,"di":"d-1","served":1,"n":20}"#, "POST", "d-1", 20),
            Self.answer(#"{"value":true,"brightness":50,"di":"d-2","served":1,"n":"21"}"#, "GET", "d-2", 21),
        ]
        var last = [
            Self.answer(#"{"value":true,"di":"d-1","served":2,"n":"60"}"#, "GET", "d-1", 60),
            Self.answer(#"{"value":true,"di":"d-2","served":2,"n":"80"}"#, "GET", "d-2", 80),
        ]
        var history = [
            #"{"mono_ns":1,"wall_ns":1,"event":"signed-in","di":"d-1","connection":1}"#,
            #"{"mono_ns":1,"wall_ns":1,"event":"released","di":"d-1","connection":1}"#,
            Self.delivered("d-1", "POST", #""body_n":20"#), Self.delivered("d-2", "GET", #""query_n":"21""#),
            Self.delivered("d-1", "GET", #""query_n":"60""#), Self.delivered("d-2", "GET", #""query_n":"80""#),
        ]
        var shares = ["pod-1.aa 1", "pod-2.bb 1"]
        var log = ["[pod/pod-0] info drain drained sessions=0 sessions.closed-by-device=2"]

        /// As `mock-device run --history` writes it.
        private static func delivered(_ di: String, _ method: String, _ mark: String) -> String {
            #"{"mono_ns":2,"wall_ns":2,"event":"delivered","di":"\#(di)","connection":1,"#
                + #""request":"\#(method) /light",\#(mark)}"#
        }

        static func answer(_ body: String, _ method: String, _ di: String, _ number: Int, status: Int = 200) -> String {
            "\(body)\t\(status)\t0.012\t\t0\t\(method)\t\(di)\t\(number)\tid-\(number)"
        }
    }

    private static func judged(
        _ seen: Seen, devices: Int = 2, offered: Int = 4, shares: String? = nil
    ) async throws -> Subprocess.Ended {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("judge-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, lines) in [
            ("answers-0", seen.answers), ("answers-last", seen.last), ("history", seen.history),
            ("shares", seen.shares), ("gateway.log", seen.log), ("new.log", []),
        ] {
            let text = lines.map { $0 + "\n" }.joined()
            try text.write(to: folder.appendingPathComponent(name), atomically: false, encoding: .utf8)
        }
        let arguments = [folder.path, "\(devices)", "\(offered)"] + [shares].compactMap(\.self)
        return try await Subprocess.run(
            ["/bin/bash", "scripts/judge-rollout"] + arguments,
            environment: ["PATH": "/usr/bin:/bin"])
    }

    @Test("A rollout in which nothing failed is good")
    func good() async throws {
        let ended = try await Self.judged(Seen())
        #expect(ended.status == 0, "\(ended.output)\(ended.errors)")
        #expect(ended.output.contains("None of 4 requests failed"))
        #expect(ended.output.contains("3 GET and 1 POST"))
        #expect(ended.output.contains("1 times a device was asked to connect anew: 0.50 for each"))
    }

    @Test("A GET may reach a device twice, since it is asked once more when nobody knows")
    func twiceAsked() async throws {
        var seen = Seen()
        seen.history.append(seen.history[3])
        #expect(try await Self.judged(seen).status == 0)
    }

    @Test(
        "Each fault is found, and said",
        arguments: [
            "status 503", "status 000", "another device", "another request", "never delivered", "elsewhere", "twice",
            "lost", "deadline", "missing", "uneven", "too few", "not asked",
        ])
    func fault(_ name: String) async throws {
        var seen = Seen()
        var (devices, offered) = (2, 4)
        let body = #"{"value":true,"brightness":50,"di":"d-1","served":1,"n":20}"#
        let word: String
        switch name {
        case "status 503":
            seen.answers[0] = Seen.answer(#"{"title":"offline"}"#, "POST", "d-1", 20, status: 503)
            seen.log.append("[pod/northbound-1] access request outcome=undelivered request.id=id-20")
            word = "status 503"
        case "status 000":
            seen.answers[0] = "\t000\t0.000\tConnection reset by peer\t1\tPOST\td-1\t20\tid-20"
            word = "status 000, Connection reset by peer"
        case "another device":
            seen.answers[0] = Seen.answer(body.replacingOccurrences(of: "d-1", with: "d-11"), "POST", "d-1", 20)
            word = "the answer of another device"
        case "another request":
            seen.answers[0] = Seen.answer(body.replacingOccurrences(of: "20}", with: "201}"), "POST", "d-1", 20)
            word = "the answer to another request"
        case "never delivered":
            seen.history.remove(at: 2)
            word = "never delivered"
        case "elsewhere":
            seen.history[2] = seen.history[2].replacingOccurrences(of: "d-1", with: "d-2")
            word = "never delivered to the device"
        case "twice":
            seen.history.append(seen.history[2].replacingOccurrences(of: #""connection":1"#, with: #""connection":2"#))
            word = "delivered 2 times"
        case "lost":
            seen.history.append(#"{"event":"lost","count":3}"#)
            word = "history is not whole"
        case "deadline":
            seen.log.append("[pod/pod-0] warning drain draining: the time is over sessions.closed-at-deadline=1")
            word = "left at the deadline"
        case "missing":
            seen.shares = ["pod-1.aa 1", "pod-2.bb 0"]
            word = "1 of 2 devices are back"
        case "uneven":
            seen.shares = ["pod-1.aa 135", "pod-2.bb 65"]
            devices = 200
            word = "pod-1.aa has 135 sessions, more than 30 away from 100"
        case "too few":
            offered = 9
            word = "4 requests are too few"
        default:
            seen.last.removeLast()
            word = "only 1 of 2 devices were asked"
        }
        let ended = try await Self.judged(seen, devices: devices, offered: offered)
        #expect(ended.status == 1, "\(ended.output)\(ended.errors)")
        let failures = ended.output.components(separatedBy: "FAILED").dropFirst().joined()
        #expect(failures.contains(word), "\(ended.output)\(ended.errors)")
        // Who reads it sees what the programs said of the request.
        if name == "status 503" { #expect(failures.contains("outcome=undelivered request.id=id-20")) }
    }

    @Test("The shares are not judged where the new pods came one after the other")
    func anyShares() async throws {
        var seen = Seen()
        seen.shares = ["pod-1.aa 2", "pod-2.bb 0"]
        #expect(try await Self.judged(seen, shares: "any").status == 0)
    }
}
