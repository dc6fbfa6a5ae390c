import Cloud
import FoundationEssentials
import HTTPTypes
import Testing
import Yams

@testable import Northbound

/// Documents that are written from the program, held to what stands in the repository. With `WRITE_DOCUMENTS=1` in the
/// environment they are written instead of compared.
@Suite("Documents")
struct DocumentsTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let writes = ProcessInfo.processInfo.environment["WRITE_DOCUMENTS"] == "1"

    private func hold(_ name: String, to text: String) throws {
        let file = Self.root.appending(path: name)
        if Self.writes {
            try Data(text.utf8).write(to: file)
        }
        let found = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        #expect(found == text, "\(name) is not what the program says: run the tests once with WRITE_DOCUMENTS=1")
    }

    @Test("docs/errors.md is the table of problems")
    func errors() throws {
        try self.hold("docs/errors.md", to: ErrorsDocument.text)
    }

    @Test("openapi.yaml is what /openapi.yaml answers")
    func openAPI() throws {
        try self.hold("openapi.yaml", to: OpenAPIDocument.text)
    }

    @Test("docs/http.md has the table principal × endpoint the router is made from")
    func principals() throws {
        let file = Self.root.appending(path: "docs/http.md")
        let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        let begin = "<!-- begin generated: principals -->\n"
        let end = "<!-- end generated: principals -->"
        let first = try #require(text.firstRange(of: begin))
        let last = try #require(text.firstRange(of: end))
        try self.hold(
            "docs/http.md", to: text[..<first.upperBound] + EndpointTable.markdown + text[last.lowerBound...])
    }

    @Test("RFC 9457 §3.1: slugs are unique, and every problem has words and, but for the device's own, a status")
    func slugs() {
        #expect(Set(ProblemKind.allCases.map(\.slug)).count == ProblemKind.allCases.count)
        for kind in ProblemKind.allCases {
            #expect(!kind.title.isEmpty && kind.meaning.hasSuffix(".") && kind.remedy.hasSuffix("."), "\(kind.slug)")
            #expect((kind.status == nil) == (kind == .deviceAnswer), "\(kind.slug)")
        }
    }

    // MARK: OpenAPI

    private func paths() throws -> [String: [String: Any]] {
        let document = try #require(try Yams.load(yaml: OpenAPIDocument.text) as? [String: Any])
        #expect(document["openapi"] as? String == "3.1.0")
        return try #require(document["paths"] as? [String: [String: Any]])
    }

    @Test("openapi.yaml and the router have the same endpoints, in both directions")
    func endpoints() throws {
        var described: Set<String> = []
        for (path, item) in try self.paths() {
            for method in ["get", "head", "post", "put", "patch", "delete", "options"] where item[method] != nil {
                described.insert("\(method.uppercased()) \(path)")
            }
        }
        let routed = EndpointTable.all.map { "\($0.method.rawValue) \($0.path.text)" }
        #expect(described == Set(routed))
        #expect(Set(routed).count == routed.count)
    }

    @Test("openapi.yaml asks for the tokens the router asks for, and every operation has an id of its own")
    func security() throws {
        let paths = try self.paths()
        var ids: Set<String> = []
        for endpoint in EndpointTable.all {
            let path = endpoint.path.text
            let operation = try #require(paths[path]?[endpoint.method.rawValue.lowercased()] as? [String: Any])
            let schemes = (operation["security"] as? [[String: Any]] ?? []).flatMap { $0.keys }
            #expect(Set(schemes) == Set(endpoint.principals.map(\.rawValue)), "\(endpoint.method) \(path)")
            let id = try #require(operation["operationId"] as? String)
            #expect(ids.insert(id).inserted, "\(id)")
            let responses = try #require(operation["responses"] as? [AnyHashable: Any])
            #expect(responses["default"] != nil, "\(id)")
            if !endpoint.principals.isEmpty, endpoint.method != .head {
                #expect(responses["401"] != nil && responses["403"] != nil, "\(id)")
            }
        }
    }

    @Test("Every reference in openapi.yaml leads somewhere")
    func references() throws {
        let document = try #require(try Yams.load(yaml: OpenAPIDocument.text) as? [String: Any])
        var open: [Any] = [document]
        var count = 0
        while let node = open.popLast() {
            if let list = node as? [Any] { open += list }
            guard let map = node as? [AnyHashable: Any] else { continue }
            open += map.values
            guard let reference = map["$ref"] as? String else { continue }
            count += 1
            var place: Any? = document
            for name in reference.split(separator: "/").dropFirst() {
                place = (place as? [AnyHashable: Any])?[String(name)]
            }
            #expect(place != nil, "\(reference)")
        }
        #expect(count > 50)
    }
}
