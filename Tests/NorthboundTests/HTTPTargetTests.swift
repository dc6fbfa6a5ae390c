import Testing

@testable import Northbound

@Suite("Request targets")
struct HTTPTargetTests {
    @Test("C-82: RFC 8075 §5.3: the raw path is split before it is decoded, so %2F stays inside its segment")
    func encodedSlash() throws {
        let target = try HTTPTarget("/lamp/a%2Fb/c?x=1%262&y=+")
        #expect(target.segments == ["lamp", "a/b", "c"])
        #expect(target.queries == ["x=1&2", "y=+"])
    }

    @Test(
        "RFC 3986 §3.3: segments are kept as they are written: empty ones, UTF-8, a trailing slash",
        arguments: [
            ("/", []), ("/a/", ["a", ""]), ("//a", ["", "a"]), ("/a//b", ["a", "", "b"]), ("/%C3%A4", ["ä"]),
            ("/a;b=c,d", ["a;b=c,d"]), ("/A%41", ["AA"]),
        ] as [(String, [String])])
    func segments(raw: String, expected: [String]) throws {
        #expect(try HTTPTarget(raw).segments == expected)
    }

    @Test(
        "BI-21: RFC 7252 §5.10.1: dot segments, control characters and what is not UTF-8 are 400",
        arguments: [
            "/lamp/../x", "/lamp/%2e%2e/x", "/lamp/.", "/lamp/%00", "/lamp/a%0D%0Ab", "/lamp/%ff", "/lamp/%c0%af",
            "/lamp/%zz", "/lamp/%2", "/lamp/%", "/lamp/x?a=%ED%A0%80", "/lamp/x#y", "lamp", "*", "",
        ])
    func refused(raw: String) {
        #expect(throws: Problem.self) { try HTTPTarget(raw) }
        #expect((try? HTTPTarget(raw)) == nil)
    }

    @Test("RFC 7252 §5.10: 255 bytes fit a segment and a query parameter, 256 are 414, counted after decoding")
    func lengths() throws {
        let long = String(repeating: "%41", count: 255)
        #expect(try HTTPTarget("/d/\(long)?\(long)").segments[1].utf8.count == 255)
        for raw in ["/d/\(long)B", "/d/x?\(long)B"] {
            let problem = #expect(throws: Problem.self) { try HTTPTarget(raw) }
            #expect(problem?.kind == .targetTooLong)
        }
    }

    @Test("BI-19: 65 segments or query parameters are 414, 64 are not")
    func counts() throws {
        let path = String(repeating: "/a", count: 64)
        let query = Array(repeating: "a", count: 64).joined(separator: "&")
        #expect(try HTTPTarget("\(path)?\(query)").segments.count == 64)
        #expect(throws: Problem.self) { try HTTPTarget("\(path)/a") }
        #expect(throws: Problem.self) { try HTTPTarget("/?\(query)&a") }
    }

    @Test("An empty query is none, and the value of a parameter may hold an equals sign")
    func queries() throws {
        #expect(try HTTPTarget("/a?").queries.isEmpty)
        #expect(try HTTPTarget("/a?rt=b=c&rt=d&e").values("rt") == ["b=c", "d"])
    }
}
