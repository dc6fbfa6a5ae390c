import Foundation
import MockDevice
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@testable import Chaos

/// The traffic against a server that behaves as it is told.
@Suite("The traffic on a network", .timeLimit(.minutes(1)))
struct TrafficRunTests {
    /// What was written down.
    private struct History {
        var begun: [TrafficRecord] = []
        var requests: [RequestRecord] = []
        var presence: [PresenceRecord] = []
        var ended: [TrafficRecord] = []

        init(path: String) throws {
            struct Line: Decodable { var event: String }
            let decoder = JSONDecoder()
            for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
                let data = Data(line.utf8)
                switch try decoder.decode(Line.self, from: data).event {
                case "begun": self.begun.append(try decoder.decode(TrafficRecord.self, from: data))
                case "request": self.requests.append(try decoder.decode(RequestRecord.self, from: data))
                case "presence": self.presence.append(try decoder.decode(PresenceRecord.self, from: data))
                case "ended": self.ended.append(try decoder.decode(TrafficRecord.self, from: data))
                default: Issue.record("a line of another kind: \(line)")
                }
            }
        }
    }

    private struct Outcome {
        var report: TrafficReport
        var history: History
        var said: [String]
    }

    private static func plan(rate: Double = 200) -> TrafficPlan {
        var plan = TrafficPlan(rate: rate, devices: 3)
        plan.minimumConnections = 4
        return plan
    }

    private static func run(
        _ plan: TrafficPlan, port: Int, for duration: Duration? = .milliseconds(400),
        presenceEvery: Duration = .milliseconds(100)
    ) async throws -> Outcome {
        let path = NSTemporaryDirectory() + "traffic-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try EventFile(traffic: path)
        let targets = TrafficTargets([
            .init(prefix: "a-", count: 2, token: "ta"), .init(prefix: "b-", count: 1, token: "tb"),
        ])
        let said = Mutex<[String]>([])
        let report = try await TrafficRun(
            plan, targets, to: HTTPDoor(host: "127.0.0.1", port: port), presenceEvery: presenceEvery, history: file
        ).run(for: duration) { line in said.withLock { $0.append(line) } }
        #expect(await file.finish() == nil)
        let history = try History(path: path)
        // However it went: it is whole, and each request is there once.
        #expect(history.begun.count == 1)
        #expect(history.ended.count == 1)
        #expect(history.ended.first?.due == report.figures.due)
        #expect(history.ended.first?.begun == history.requests.count)
        #expect(Set(history.requests.map(\.n)).count == history.requests.count)
        return Outcome(report: report, history: history, said: said.withLock { $0 })
    }

    /// All devices of whoever asks, online.
    private static func devices(_ question: TrafficServer.Question) -> TrafficServer.Reaction {
        let ids = question.token == "Bearer ta" ? ["a-1", "a-2"] : ["b-1"]
        return Self.devices(ids.map { ($0, "online") })
    }

    private static func devices(_ devices: [(di: String, status: String)], next: String? = nil)
        -> TrafficServer.Reaction
    {
        let list = devices.map { "{\"di\":\"\($0.di)\",\"status\":\"\($0.status)\"}" }.joined(separator: ",")
        return .answer("{\"devices\":[\(list)]\(next.map { ",\"next\":\"\($0)\"" } ?? "")}")
    }

    private static func light(_ question: TrafficServer.Question) -> String {
        let di = question.path.split(separator: "/").first ?? ""
        let mark = question.mark ?? 0
        // As the gateway: the mark of a GET is the text of its query.
        return question.method == .POST
            ? "{\"di\":\"\(di)\",\"n\":\(mark),\"served\":7,\"last\":\(mark)}"
            : "{\"di\":\"\(di)\",\"n\":\"\(mark)\",\"served\":8,\"last\":3}"
    }

    private static func isQuestion(_ question: TrafficServer.Question) -> Bool { !question.isDevices }

    @Test("Each request is asked once, of the right device with its user's token, and its answer is written down")
    func answers() async throws {
        try await TrafficServer.with { question in
            if question.isDevices { return Self.devices(question) }
            return .answer(Self.light(question), headers: [("X-Request-Id", "r\(question.mark ?? 0)")])
        } _: { server in
            let outcome = try await Self.run(Self.plan(), port: server.port)
            let requests = outcome.history.requests
            #expect(requests.count >= 40)
            #expect(outcome.report.figures.due == requests.count)
            let asked = server.seen.questions.filter(Self.isQuestion)
            #expect(asked.count == requests.count)
            for request in requests {
                let question = try #require(asked.first { $0.mark == request.n })
                #expect(question.method.rawValue == request.method)
                #expect(question.path.hasPrefix("/\(request.di)/light"))
                #expect(question.token == (request.di == "b-1" ? "Bearer tb" : "Bearer ta"))
                #expect(request.status == 200)
                #expect(request.answeredBy == request.di)
                #expect(request.answeredMark == request.n)
                #expect(request.served == (request.method == "POST" ? 7 : 8))
                #expect(request.last == (request.method == "POST" ? request.n : 3))
                #expect(request.requestID == "r\(request.n)")
                #expect(request.due <= request.begin && request.begin <= request.end)
            }
            let posts = asked.filter { $0.method == .POST }
            #expect(posts.count > 5 && posts.count < asked.count / 2)
            #expect(posts.allSatisfy { $0.body.contains("\"brightness\":") })
            #expect(outcome.report.table.contains { $0.hasSuffix("\(requests.count)  200") })
        }
    }

    @Test("Connections are used again, all of them, and with Connection: close none is")
    func reuse() async throws {
        for closes in [false, true] {
            try await TrafficServer.with { question in
                if question.isDevices { return Self.devices(question) }
                return .answer(Self.light(question), headers: closes ? [("Connection", "close")] : [])
            } _: { server in
                var plan = Self.plan(rate: 100)
                plan.maximumConnections = 8
                let outcome = try await Self.run(plan, port: server.port)
                let asked = server.seen.questions.filter(Self.isQuestion)
                #expect(outcome.history.requests.allSatisfy { $0.status == 200 })
                #expect(asked.count == outcome.history.requests.count)
                let used = Set(asked.map(\.connection)).count
                if closes { #expect(used == asked.count) } else { #expect((4...8).contains(used)) }
            }
        }
    }

    @Test("What the server closes while idle is replaced, and no request fails for it")
    func closedIdle() async throws {
        try await TrafficServer.with { question in
            question.isDevices ? Self.devices(question) : .answerAndClose(Self.light(question))
        } _: { server in
            // So slow that the end of a connection is there long before its next turn.
            let outcome = try await Self.run(Self.plan(rate: 20), port: server.port)
            #expect(outcome.history.requests.count >= 4)
            #expect(outcome.history.requests.allSatisfy { $0.status == 200 })
            #expect(outcome.report.figures.opened >= 4)
            #expect(outcome.report.figures.failed == 0)
        }
    }

    @Test("A connection that ends without a byte is closed, in the head or the body cut, and nothing is sent again")
    func broken() async throws {
        try await TrafficServer.with { question in
            if question.isDevices { return Self.devices(question) }
            switch (question.mark ?? 0) % 4 {
            case 0: return .close
            case 1: return .cut("HTTP/1.1 20")
            case 2: return .cut("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            default: return .answer(Self.light(question))
            }
        } _: { server in
            let outcome = try await Self.run(Self.plan(rate: 100), port: server.port)
            let requests = outcome.history.requests
            #expect(requests.count >= 20)
            for request in requests {
                #expect(request.broken == ["closed", "cut", "cut", nil][request.n % 4])
                #expect(request.status == (request.n % 4 == 3 ? 200 : nil))
            }
            let marks = server.seen.questions.filter(Self.isQuestion).map(\.mark)
            #expect(Set(marks).count == marks.count)
            #expect(outcome.report.outcomes.failed == requests.count { $0.broken != nil })
        }
    }

    @Test("An answer of the gateway itself is told by its problem")
    func problems() async throws {
        try await TrafficServer.with { question in
            if question.isDevices { return Self.devices(question) }
            return .answer(
                "{\"type\":\"/errors#offline\",\"status\":503}", status: 503,
                headers: [("Content-Type", "application/problem+json")])
        } _: { server in
            let outcome = try await Self.run(Self.plan(), port: server.port, for: .milliseconds(100))
            #expect(!outcome.history.requests.isEmpty)
            #expect(
                outcome.history.requests.allSatisfy {
                    $0.status == 503 && $0.problem == "/errors#offline" && $0.answeredBy == nil
                })
            #expect(outcome.report.table.contains { $0.hasSuffix("  503 /errors#offline") })
        }
    }

    @Test("Slow answers do not slow the rate down: more connections are opened")
    func slow() async throws {
        try await TrafficServer.with { question in
            if question.isDevices { return Self.devices(question) }
            return .answer(Self.light(question), after: .milliseconds(300))
        } _: { server in
            let outcome = try await Self.run(Self.plan(), port: server.port)
            #expect(outcome.report.figures.due >= 40)
            #expect(outcome.report.figures.begun == outcome.report.figures.due)
            #expect(outcome.report.figures.mostConnections >= 20)
            let others = outcome.history.requests.filter { $0.status != 200 || $0.end - $0.begin < 300_000_000 }
            #expect(others.isEmpty)
        }
    }

    @Test("When all connections are taken, requests wait, and what never began is due but not begun; patience ends")
    func late() async throws {
        try await TrafficServer.with { question in
            question.isDevices ? Self.devices(question) : .nothing
        } _: { server in
            var plan = Self.plan(rate: 100)
            plan.maximumConnections = 4
            plan.patience = .seconds(5)
            let outcome = try await Self.run(plan, port: server.port)
            #expect(outcome.history.requests.map(\.broken) == ["late", "late", "late", "late"])
            #expect(outcome.report.figures.due >= 20)
            #expect(outcome.report.figures.begun == 4)
            #expect(outcome.report.table.contains { $0.contains("were never begun") })
        }
    }

    @Test("Who cannot connect is refused, at the full rate")
    func refused() async throws {
        try await TrafficServer.with { question in
            guard question.token == "Bearer tb" else { return Self.devices(question) }
            guard case .answer(let text, _, _, _) = Self.devices(question) else { return .close }
            return .answerLast(text)
        } _: { server in
            let outcome = try await Self.run(Self.plan(rate: 100), port: server.port)
            let requests = outcome.history.requests
            #expect(requests.count >= 20)
            #expect(requests.count == outcome.report.figures.due)
            #expect(requests.allSatisfy { $0.broken == "refused" && $0.status == nil })
            #expect(server.seen.questions.allSatisfy { $0.isDevices })
            #expect(outcome.report.presence.failed >= 1)
        }
    }

    @Test("Presence is told once in full, then what has changed, over pages and users; a failed round says why")
    func presence() async throws {
        let rounds = Mutex(0)
        let (begun, beginning) = AsyncStream.makeStream(of: Int.self)
        try await TrafficServer.with { question in
            guard question.isDevices else { return .answer(Self.light(question)) }
            if question.token == "Bearer tb" { return Self.devices([("b-1", "unknown")]) }
            if question.path.hasSuffix("&cursor=c1") { return Self.devices([("a-2", "online")]) }
            let round = rounds.withLock { rounds in
                rounds += 1
                return rounds
            }
            beginning.yield(round)
            if round == 2 { return .answer("{}", status: 503) }
            return Self.devices([("a-1", round < 4 ? "online" : "offline")], next: "c1")
        } _: { server in
            let port = server.port
            let run = Task {
                try await Self.run(Self.plan(rate: 10), port: port, for: nil, presenceEvery: .milliseconds(50))
            }
            // When the sixth begins, five are over.
            for await round in begun where round == 6 { break }
            run.cancel()
            let outcome = try await run.value
            let lines = outcome.history.presence
            try #require(lines.count >= 5)
            #expect(lines[0].online == ["a-1", "a-2"])
            #expect(lines[0].gone == [])
            #expect(lines[1].failed?.contains("was answered 503") == true)
            for (line, gone) in zip(lines[1...], [[], [], ["a-1"], []]) {
                #expect(line.online == [] && line.gone == gone)
            }
            #expect(lines.count { $0.failed != nil } == 1)
            #expect(lines.allSatisfy { $0.begin < $0.end })
            #expect(outcome.report.presence.failed == 1)
            #expect(outcome.report.presence.rounds == lines.count)
        }
    }

    // MARK: Beginning

    @Test("What keeps the traffic from beginning is said, with what to do; devices that are not there are counted")
    func beginning() async throws {
        let problem = { (port: Int) async -> String in
            do {
                _ = try await Self.run(Self.plan(), port: port)
                return "it began"
            } catch {
                return "\(error)"
            }
        }
        #expect(await problem(1).contains("No list of devices can be had from 127.0.0.1:1: "))
        try await TrafficServer.with({ _ in .answer("{}", status: 401) }) { server in
            let text = await problem(server.port)
            #expect(text.contains("GET /devices for the user of a-1 was answered 401. Is the token in --token-file"))
        }
        try await TrafficServer.with({ $0.isDevices ? Self.devices([("a-2", "online")]) : .close }) { server in
            let outcome = try await Self.run(Self.plan(), port: server.port, for: .milliseconds(50))
            #expect(
                outcome.said.first?.hasPrefix("The gateway does not know 2 of 3 devices, a-1 for one: requests to them")
                    == true)
        }
    }

    @Test("A token file is read line by line, and what is wrong with it is told without a token")
    func tokenFile() throws {
        let targets = try TrafficTargets(parsing: "fleet- 2 abc\n\n  b. 3\tdef \r\n")
        #expect(targets.count == 5)
        #expect((0..<5).map { targets.device($0).di } == ["fleet-1", "fleet-2", "b.1", "b.2", "b.3"])
        #expect((0..<5).map { targets.device($0).group } == [0, 0, 1, 1, 1])
        for (text, why) in [
            ("", "it has no line"), ("a 1", "line 1 has 2 words, not 3"), ("a 1 s\nb 0 s", "line 2 has a count"),
            ("a/ 1 s", "line 1 has a prefix"), ("a 1 s\na 1 s", "line 2 has the prefix of a line before"),
            ("a 1 s\u{7}", "line 1 has a token"),
        ] {
            let problem = #expect(throws: FleetError.self) { try TrafficTargets(parsing: text) }
            #expect(problem?.description.contains(why) == true, "\(text)")
        }
    }
}
