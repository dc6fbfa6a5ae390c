import Foundation
import RedisStore
import TestServers
import Testing

@Suite("docs/redis.md is about this program")
struct DocumentTests {
    static func document() throws -> String {
        try String(contentsOfFile: "\(Subprocess.root)/docs/redis.md", encoding: .utf8)
    }

    @Test("The tables name every key and channel of the sources, and no other")
    func keys() throws {
        let rows = try Self.document().split(separator: "\n").filter { $0.hasPrefix("| `") }
        let names = rows.compactMap { $0.split(separator: "`").dropFirst().first.map(String.init) }
        #expect(names.sorted() == RedisKeys.Kind.allCases.map(\.rawValue).sorted())
        for row in rows { #expect(row.filter { $0 == "|" }.count >= 6, "\(row)") }
    }
}
