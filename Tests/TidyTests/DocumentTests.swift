import Testing

@Suite("The documents name what is there")
struct DocumentTests {
    @Test("Every test that docs/interop.md names is among the tests")
    func interop() async throws {
        let files = try await RepositoryTests.files.value
        let document = try #require(files.first { $0.path == "docs/interop.md" })
        // Names stand in quotation marks in the last column: every second piece of it.
        var names: [Substring] = []
        for row in document.lines where row.hasPrefix("| ") {
            let pieces = (row.split(separator: " | ").last ?? "").split(
                separator: "\"", omittingEmptySubsequences: false)
            names += pieces.enumerated().filter { !$0.offset.isMultiple(of: 2) }.map(\.element)
        }
        #expect(names.count > 20)
        let tests = files.filter { $0.isTest && $0.text.contains("@Test(") }.map(\.text).joined()
        for name in names {
            #expect(tests.contains("\"\(name)\""), "no test is called \(name)")
        }
    }
}
