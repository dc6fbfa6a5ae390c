import Chaos
import FoundationEssentials
import TestServers
import Testing

@Suite("The files a chaos run is judged by")
struct HistoryReaderTests {
    private static func withRun(_ run: SampleRun = SampleRun(), _ body: (String) throws -> Void) throws {
        let folder = try ServerProcess.temporaryFolder("chaos-check")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try run.write(to: folder)
        try body(folder)
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    private static func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path))
    }

    private static func expectNoVerdict(_ folder: String, _ sentence: String) {
        let report = CheckReport(HistoryReader.read(folder))
        #expect(report.verdict == .unknown)
        #expect(report.verdict.status == 2)
        #expect(report.obstacles.contains { $0.contains(sentence) }, "\(report.obstacles)")
    }

    @Test("What was written is what is read")
    func roundTrip() throws {
        var run = SampleRun()
        run.asks.append(.refused("GET", "lamp-1", at: 75.25, 503, "/errors#offline"))
        try Self.withRun(run) { folder in
            var history = HistoryReader.read(folder)
            history.routeMemory = SampleRun.routeMemory
            let read = CheckReport(history)
            #expect(read.verdict == .broken)
            let written = try read.json()
            let inMemory = try CheckReport(run.history).json()
            #expect(written == inMemory)
        }
    }

    @Test(
        "Without one of the files nothing is concluded, and it is named",
        arguments: [
            "run.jsonl", "traffic.jsonl", "logs/pod-2.log",
        ])
    func missing(_ name: String) throws {
        try Self.withRun { folder in
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
            Self.expectNoVerdict(folder, "\(name): No such file or directory.")
        }
    }

    @Test("Without any fleet's file nothing is concluded")
    func missingFleets() throws {
        try Self.withRun { folder in
            for index in 1...2 { try FileManager.default.removeItem(atPath: "\(folder)/fleet-\(index).jsonl") }
            Self.expectNoVerdict(folder, "There is no fleet-*.jsonl")
        }
    }

    @Test("Where a fleet lost lines nothing is concluded")
    func lost() throws {
        var run = SampleRun()
        run.lost = 7
        try Self.withRun(run) { Self.expectNoVerdict($0, "7 events of devices were lost") }
    }

    @Test(
        "A run or traffic that was cut short is not judged",
        arguments: [
            ("run.jsonl", "over", "run.jsonl has no line `over`"),
            ("run.jsonl", "begun", "run.jsonl has no line `begun`"),
            ("traffic.jsonl", "ended", "traffic.jsonl has no line `begun` or no line `ended`"),
        ])
    func cutShort(_ name: String, _ event: String, _ sentence: String) throws {
        try Self.withRun { folder in
            let lines = try Self.text("\(folder)/\(name)").split(separator: "\n")
            let kept = lines.filter { !$0.contains("\"event\":\"\(event)\"") }
            #expect(kept.count == lines.count - 1)
            try Self.write(kept.joined(separator: "\n") + "\n", "\(folder)/\(name)")
            Self.expectNoVerdict(folder, sentence)
        }
    }

    @Test("Where the line of a request is missing that reached a device, nothing is concluded")
    func stranger() throws {
        try Self.withRun { folder in
            let lines = try Self.text("\(folder)/traffic.jsonl").split(separator: "\n")
            let kept = lines.filter { !$0.contains("\"n\":5,") && !$0.contains("\"n\":5}") }
            #expect(kept.count == lines.count - 1)
            try Self.write(kept.joined(separator: "\n") + "\n", "\(folder)/traffic.jsonl")
            Self.expectNoVerdict(folder, "1 deliveries have marks of no request")
        }
    }

    @Test("Two requests of one mark cannot be told apart")
    func sameMark() throws {
        var run = SampleRun()
        run.asks[5].edit = { $0.n = 5 }
        try Self.withRun(run) { Self.expectNoVerdict($0, "two requests have the mark 5") }
    }

    @Test("A line in the middle that is no record is shown, with its number")
    func nonsense() throws {
        try Self.withRun { folder in
            var lines = try Self.text("\(folder)/fleet-1.jsonl").split(separator: "\n")
            lines[2] = "{\"event\":\"deliv"
            try Self.write(lines.joined(separator: "\n") + "\n", "\(folder)/fleet-1.jsonl")
            Self.expectNoVerdict(folder, "fleet-1.jsonl:3 is no record: {\"event\":\"deliv")
        }
    }

    @Test("A last line of which a part is missing is left out and counted")
    func truncated() throws {
        try Self.withRun { folder in
            let text = try Self.text("\(folder)/fleet-2.jsonl")
            try Self.write(text + "{\"event\":\"deliv", "\(folder)/fleet-2.jsonl")
            let report = CheckReport(HistoryReader.read(folder))
            #expect(report.truncatedLines == 1)
            #expect(report.verdict == .kept)
        }
    }

    @Test("A line longer than any of ours is refused, and not held", arguments: [1 << 18, 1 << 20])
    func lineLength(_ length: Int) throws {
        try Self.withRun { folder in
            let path = "\(folder)/long"
            try Self.write("a\n\nb" + String(repeating: "c", count: length - 1) + "\nd\nlast", path)
            var lines = HistoryLines(path)
            var read: [(Int, Bool)] = []
            try lines.forEach { read.append(($0.count, $1)) }
            #expect(read.map(\.0) == [1, length, 1, 4])
            #expect(read.map(\.1) == [true, true, true, false])
            try Self.write(String(repeating: "c", count: HistoryLines.maximumLine + 1 + length), path)
            var tooLong = HistoryLines(path)
            #expect(throws: UnreadableHistory.self) { try tooLong.forEach { _, _ in } }
        }
    }
}
