import Testing

@Suite("The documents name what is there")
struct DocumentTests {
    @Test("Every test that a document names is among the tests", arguments: ["docs/interop.md", "docs/limits.md"])
    func testNames(path: String) async throws {
        let files = try await RepositoryTests.files.value
        let document = try #require(files.first { $0.path == path })
        // Names stand in quotation marks in the last column: every second piece of it.
        var names: [Substring] = []
        for row in document.lines where row.hasPrefix("| ") {
            let pieces = (row.split(separator: " | ").last ?? "").split(
                separator: "\"", omittingEmptySubsequences: false)
            names += pieces.enumerated().filter { !$0.offset.isMultiple(of: 2) }.map(\.element)
        }
        #expect(names.count > 20)
        var texts: Set<String> = []
        for file in files where file.isTest {
            for line in file.lines {
                texts.formUnion(line.utf8.split(separator: UInt8(ascii: "\"")).compactMap { String($0) })
            }
            // Tests that watch a clock run beside this one.
            await Task.yield()
        }
        for name in names {
            #expect(texts.contains(String(name)), "no test is called \(name)")
        }
    }
}
