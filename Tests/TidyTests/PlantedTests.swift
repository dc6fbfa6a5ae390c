import Testing

/// A rule that never finds anything looks like one that is kept. So each is shown what it must find, and what it must
/// not.
@Suite("Every rule finds what is planted")
struct PlantedTests {
    struct Planted: Sendable, CustomTestStringConvertible {
        let rule: String
        let path: String
        let bad: [String]
        let good: [String]

        var testDescription: String { self.rule }
    }

    static let source = "Sources/CoAP/Planted.swift"
    static let test = "Tests/CoAPTests/PlantedTests.swift"

    static let planted: [Planted] = [
        Planted(
            rule: "Imports of our own modules point down the layers",
            path: source,
            bad: ["import Cloud", "package import struct Northbound.Problem", "@testable import OCF"],
            good: ["import NIOCore", "// import Cloud", "let text = \"import Cloud\"", "import Synchronization"],
        ),
        Planted(
            rule: "Modules of others stay where they belong",
            path: source,
            bad: [
                "import CSQLite", "import Hummingbird", "package import NIOHTTP1", "import Foundation", "import Crypto",
            ],
            good: ["import FoundationEssentials", "import NIOCore"],
        ),
        Planted(
            rule: "No type has its module's name",
            path: source,
            bad: ["package struct CoAP {", "enum Registry: Sendable {", "typealias Edge = Int"],
            good: ["struct CoAPMessage {", "extension Registry {", "let registry = 1"],
        ),
        Planted(
            rule: "No task without a parent",
            path: source,
            bad: ["Task {", "let task = Task.detached { 1 }", "_ = Task(priority: .high) { }", "Task.init { }"],
            good: [
                "group.addTask {", "try await Task.sleep(for: x)", "// Task {", "scheduleTask(in: x) {",
                "Task.isCancelled",
            ],
        ),
        Planted(
            rule: "What the compiler cannot prove safe across threads has a reason",
            path: source,
            bad: ["final class A: @unchecked Sendable {", "nonisolated(unsafe) var x = 1"],
            good: ["final class A: Sendable {", "// @unchecked Sendable"],
        ),
        Planted(
            rule: "What can stop the process is proved by a comment",
            path: source,
            bad: ["fatalError(\"x\")", "let a = b!", "let a = f()!.c", "a[0]!", "x = y &+ 1", "preconditionFailure()"],
            good: [
                "if a != b {", "if !a {", "// Cannot happen: checked above.\nfatalError()", "a! // Just assigned.",
                "\"Hello!\"", "// Wraps.\nx = y &+ 1", "a && !b",
            ],
        ),
        Planted(
            rule: "No try!",
            path: source,
            bad: ["let a = try! f()"],
            good: ["let a = try f()", "let a = try? f()", "// try! f()"],
        ),
        Planted(
            rule: "Only programs print",
            path: source,
            bad: ["print(\"x\")", "    print(a)", "debugPrint(a)"],
            good: ["console.print(a)", "func print(_ line: String) {", "fingerprint(a)", "// print(a)"],
        ),
        Planted(
            rule: "Tests do not sleep",
            path: test,
            bad: ["sleep(1)", "try await Task.sleep(for: .seconds(1))", "usleep(10)", "Thread.sleep(1)"],
            good: ["asleep(1)", "// sleep(1)", "sleeper.wake()"],
        ),
        Planted(
            rule: "No test is skipped",
            path: test,
            bad: ["@Test(\"a b c\", .disabled(\"later\"))", "@Test(\"a b c\", .enabled(if: x))", "withKnownIssue {"],
            good: ["@Test(\"a b c\")", "// .disabled("],
        ),
        Planted(
            rule: "Nothing is left over",
            path: source,
            bad: ["// TO" + "DO: later", "let a = 1 // FIX" + "ME"],
            good: ["// done", "let todo = 1"],
        ),
        Planted(
            rule: "Nothing names a machine or what is outside the repository",
            path: source,
            bad: ["let path = \"/hom" + "e/x/y\"", "// as desig" + "n.md says"],
            good: ["let path = \"./data\"", "// the design: delivery"],
        ),
        Planted(rule: "No blank is in a path", path: "Sources/CoAP/A file.swift", bad: ["let a = 1"], good: []),
        Planted(
            rule: "A line has at most 120 columns",
            path: source,
            bad: [String(repeating: "x", count: 121), "// " + String(repeating: "x", count: 118)],
            good: [String(repeating: "x", count: 120), "    + \"" + String(repeating: "x", count: 120) + "\""],
        ),
        Planted(
            rule: "A file has at most 500 lines",
            path: source,
            bad: [String(repeating: "\n", count: 501)],
            good: [String(repeating: "\n", count: 500)],
        ),
        Planted(
            rule: "A test's name is a sentence",
            path: test,
            bad: [
                "@Test func works() {}", "@Test(\"parsing\") func a() {}", "@Test(.serialized) func a() {}", "@Test()",
            ],
            good: ["@Test(\"An empty frame is refused\")", "@Test(\n    \"BI-1: it is refused\",\n)", "// @Test func"],
        ),
        Planted(
            rule: "Specifications are cited as RFC 8323 §5.3.1 and OCF CNC §8.1",
            path: source,
            bad: [
                "// RF" + "C 83233 §5", "// RF" + "C8323 §5", "// RF" + "C-8323", "// RF" + "C 8323 section 5",
                "// RF" + "C 8323, §5", "// RF" + "C 8323 5.3", "// RF" + "C 8323 § 5", "// OC" + "F CNC section 8",
                "// OC" + "F CNC 8.1", "// RF" + "C 72522 §1",
            ],
            good: [
                "// RFC 8323 §5.3.1: a CSM", "// RFC 9457 is JSON", "// OCF CNC §8.1", "// RFC 7252 §5.4.1, §5.4.2",
                "// OCF Core §7.6.3).", "// (RFC 8949 §C)", "// RFC 8323 has 6 kinds of messages",
            ],
        ),
    ]

    private static func rule(_ sentence: String) throws -> Rule {
        let rule = RepositoryTests.rules.first { $0.sentence == sentence }
        return try #require(rule)
    }

    @Test("A planted violation is found and its good neighbour is not", arguments: planted)
    func found(planted: Planted) throws {
        let rule = try Self.rule(planted.rule)
        for text in planted.bad {
            let found = rule.check(SourceFile(path: planted.path, text: text))
            #expect(found.count == 1, "\(text.prefix(200))")
            #expect(found.first?.path == planted.path)
        }
        for text in planted.good {
            let found = rule.check(SourceFile(path: planted.path, text: text))
            #expect(found.isEmpty, "\(text.prefix(200)) \(found)")
        }
    }

    @Test("Every rule has something planted for it")
    func everyRuleIsTried() {
        #expect(Set(RepositoryTests.rules.map { $0.sentence }) == Set(Self.planted.map { $0.rule }))
    }

    @Test("A target that is in no layer is found")
    func unknownTarget() throws {
        let file = SourceFile(path: "Sources/Newcomer/A.swift", text: "import NIOCore")
        #expect(try Self.rule("Imports of our own modules point down the layers").check(file).count == 1)
    }

    @Test("Comments and strings of every kind are told from code")
    func stripping() {
        let text = """
            let a = "x // no" // yes
            /* one
            two */ let b = 1
            let c = #"a " b"# + "\\"" ; d
            let e = \"\"\"
                Task {
                \"\"\"
            f
            """
        let file = SourceFile(path: Self.source, text: text)
        #expect(file.code[0] == "let a = \"\" ")
        #expect(file.code[2] == " let b = 1")
        #expect(file.code[3] == "let c = \"\" + \"\" ; d")
        #expect(!file.code[5].contains("Task"))
        #expect(file.code[7] == "f")
        #expect(file.hasComment == [true, true, true, false, false, false, false, false])
    }
}
