import Foundation
import TestServers
import TestSupport
import Testing

/// Namespaces are made by root, or by a user whom the kernel allows it; where it does not, these tests fail and say so.
@Suite("The network of a run", .serialized)
struct NetworkTests {
    private static let namespaces = "\(Subprocess.root)/scripts/namespaces"

    @Test("Connections are spread evenly, stay where they are, and meet the faults meant for them")
    func trial() async throws {
        let ended = try await Subprocess.run([Self.namespaces, "\(Subprocess.products)/chaos", "network-trial"])
        #expect(ended.status == 0, "\(ended.errors)")
        var came: [String: String] = [:]
        for line in ended.output.split(separator: "\n") {
            let parts = line.split(separator: ": ")
            came[parts.dropLast().joined(separator: ": ")] = parts.last.map(String.init)
        }
        for who in ["by the router", "by a host"] {
            #expect(came["empty, \(who)"] == "refused 1")
            let counts = try #require(came["spread, \(who)"]).split(separator: ", ").map { $0.split(separator: " ") }
            #expect(counts.map { $0[0] } == ["one", "three", "two"])
            #expect(counts.compactMap { Int($0[1]) }.reduce(0, +) == 300)
            // Six standard deviations of 300 throws at one third.
            for count in counts { #expect((51...149).contains(Int(count[1]) ?? 0)) }
        }
        let expected = [
            ("held, when two left", "300 answer"), ("new, when two left", "three 20"),
            ("held, when all left", "300 answer"), ("new, when all left", "refused 1"),
            ("the router's own address", "router 1"), ("cut from the router", "unanswered 1"),
            ("mended with the router", "router 1"),
            ("cut: new", "unanswered 1"), ("cut: open", "0 answer"), ("cut: others", "one 1"),
            ("cut, ended: new", "three 1"),
            ("all lost: new", "unanswered 1"), ("all lost: open", "0 answer"), ("all lost: others", "one 1"),
            ("all lost, ended: new", "three 1"),
            ("all reset: new", "refused 1"), ("all reset: open", "0 answer"), ("all reset: others", "one 1"),
            ("all reset, ended: new", "three 1"),
            ("aborted: open", "0 answer"), ("aborted: new", "three 1"),
            ("forgotten: open", "0 answer"), ("forgotten: new", "three 1"),
            ("a twentieth lost", "three 50"), ("removed", "refused 1"),
        ]
        for (what, outcome) in expected { #expect(came[what] == outcome, "\(what)") }
    }

    @Test("A command's status is passed on, and what it leaves running ends with it")
    func leftovers() async throws {
        let mark = UUID().uuidString
        // Nobody waits for the streams of what is left behind: it has none of them.
        let lines = "sh -c 'tail -f /dev/null; exit' \(mark) </dev/null >/dev/null 2>&1 & exit 7"
        let ended = try await Subprocess.run([Self.namespaces, "sh", "-c", lines])
        #expect(ended.status == 7, "\(ended.errors)")
        #expect(try await Self.isGone(mark))
    }

    @Test(
        "A signal reaches the command, and nothing survives the end of what started it",
        arguments: [SIGINT, SIGTERM, SIGKILL])
    func ended(signal: Int32) async throws {
        let mark = UUID().uuidString
        let process = try Subprocess([
            Self.namespaces, "sh", "-c",
            "trap 'echo asked; exit 3' INT TERM; echo begun; while read -r line; do :; done",
            mark,
        ])
        try await process.waitFor("begun")
        #expect(try !Self.running(mark).isEmpty)
        process.signal(signal)
        let ended = await process.ended(patience: 20)
        #expect(ended.output.contains("asked") == (signal != SIGKILL))
        #expect(ended.status == (signal == SIGKILL ? 128 + SIGKILL : 3))
        #expect(try await Self.isGone(mark))
    }

    /// Processes with this word.
    private static func running(_ mark: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { pid in
            guard Int(pid) != nil, let words = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else {
                return false
            }
            return String(decoding: words, as: UTF8.self).contains(mark)
        }
    }

    /// The kernel ends them one after the other.
    private static func isGone(_ mark: String) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < deadline {
            if try Self.running(mark).isEmpty { return true }
            await Task.yield()
        }
        return false
    }
}
