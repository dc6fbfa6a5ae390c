import Foundation
import TestServers
import Testing

@Suite("docs/operations.md")
struct OperationsTests {
    @Test("Every metric it names is one that our sources make")
    func metrics() throws {
        let text = try String(contentsOfFile: "\(Subprocess.root)/docs/operations.md", encoding: .utf8)
        let sources = try Self.sources()
        let section = try #require(text.components(separatedBy: "## What to alert on").last)
            .components(separatedBy: "\n## ")[0]
        let starts = ["coap_", "http_", "registry_", "redis_", "routes_", "metrics_"]
        let names = Set(
            section.components(separatedBy: "`").filter { word in starts.contains { word.hasPrefix($0) } }
                .map { String($0.prefix { $0 != "{" }) })
        #expect(names.count >= 10)
        for name in names {
            var label = name
            for end in ["_total", "_seconds"] where label.hasSuffix(end) { label.removeLast(end.count) }
            // Dots and underscores are one on the page of metrics.
            let isMade =
                sources.contains(name) || sources.contains("\"\(label.replacingOccurrences(of: "_", with: "."))\"")
            #expect(isMade, "nothing makes \(name)")
        }
    }

    private static func sources() throws -> String {
        let folder = "\(Subprocess.root)/Sources"
        let files = try #require(FileManager.default.enumerator(atPath: folder)).compactMap { $0 as? String }
        return try files.filter { $0.hasSuffix(".swift") }
            .map { try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }.joined()
    }
}
