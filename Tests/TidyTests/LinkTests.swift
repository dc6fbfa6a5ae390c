import FoundationEssentials
import Testing

@Suite("Links in the documents")
struct LinkTests {
    @Test("Every link between our documents leads to a file that is there, and to a heading in it")
    func links() async throws {
        let documents = try await RepositoryTests.files.value.filter { $0.path.hasSuffix(".md") }
        let headings = Dictionary(
            uniqueKeysWithValues: documents.map { ($0.path, Set($0.lines.compactMap(Self.anchor))) })
        var count = 0
        for document in documents {
            for link in Self.targets(in: document.text) {
                let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
                let path = Self.path(of: String(parts[0]), from: document.path)
                #expect(Self.isThere(path), "\(document.path) links to \(link)")
                if parts.count > 1, let known = headings[path] {
                    #expect(known.contains(String(parts[1])), "\(document.path) links to \(link)")
                }
                count += 1
            }
            await Task.yield()
        }
        #expect(count > 40)
    }

    @Test("Every source that SECURITY.md names is there")
    func sources() async throws {
        let document = try #require(try await RepositoryTests.files.value.first { $0.path == "SECURITY.md" })
        let paths = document.text.split(separator: "`").filter { $0.hasPrefix("Sources/") }
        #expect(paths.count > 5)
        for path in paths { #expect(Self.isThere(String(path)), "\(path)") }
    }

    @Test("Links, paths and headings are read as they are on the web")
    func reading() {
        #expect(Self.targets(in: "[a](b.md) ([c](d/e.md#f)), [g](https://h), `[i](<j>)`") == ["b.md", "d/e.md#f"])
        #expect(Self.path(of: "../a/b.md", from: "docs/decisions/c.md") == "docs/a/b.md")
        #expect(Self.path(of: "", from: "docs/c.md") == "docs/c.md")
        #expect(Self.anchor("## What is `not` a setting, yet: A-B") == "what-is-not-a-setting-yet-a-b")
        #expect(Self.anchor("no heading") == nil)
        #expect(!Self.isThere("docs/nothing.md"))
    }

    /// What is linked to, but for other places on the web.
    private static func targets(in text: String) -> [String] {
        var result: [String] = []
        var rest = text[...]
        while let range = rest.firstRange(of: "](") {
            rest = rest[range.upperBound...]
            let target = rest.prefix { $0 != ")" && $0 != "\n" }
            if !target.contains(":"), !target.hasPrefix("<") { result.append(String(target)) }
        }
        return result
    }

    private static func path(of link: String, from document: String) -> String {
        if link.isEmpty { return document }
        var parts = document.split(separator: "/").dropLast().map(String.init)
        for part in link.split(separator: "/") {
            if part == ".." { parts.removeLast() } else { parts.append(String(part)) }
        }
        return parts.joined(separator: "/")
    }

    private static func anchor(_ line: String) -> String? {
        guard line.hasPrefix("#"), let blank = line.firstIndex(of: " ") else { return nil }
        let kept = line[blank...].dropFirst().lowercased()
            .filter { $0.isLetter || $0.isNumber || " -_".contains($0) }
        return String(kept.map { $0 == " " ? "-" : $0 })
    }

    private static func isThere(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(Repository.root)/\(path)")
    }
}
