import Cloud
import HTTPTypes
import Testing

@testable import Northbound

@Suite("The table of endpoints")
struct EndpointTableTests {
    @Test("Every fixed path begins with a reserved segment, so that no device can be called so")
    func reserved() {
        let words = Set(EndpointTable.all.compactMap(\.path.firstLiteral))
        #expect(words.count >= 8)
        for word in words {
            #expect(ReservedSegments.all.contains(word), "\(word)")
        }
    }

    @Test("Fixed routes win over /{di}/…, whatever the method")
    func fixedFirst() {
        guard case .found(let endpoint, let parameters) = EndpointTable.match(.get, ["devices", "lamp"]) else {
            Issue.record("no endpoint")
            return
        }
        #expect(endpoint.action == .showDevice)
        #expect(parameters.named == ["di": "lamp"])
        #expect(EndpointTable.match(.post, ["devices", "lamp"]) == .otherMethods([.get, .delete, .head]))
        #expect(EndpointTable.match(.post, ["devices", "lamp", "x"]) == .nothing)
        #expect(EndpointTable.match(.get, ["oic", "rd"]) == .nothing)
    }

    @Test(
        "A device's path is everything behind its id",
        arguments: [
            (["lamp", "light"], ["light"]), (["lamp", ""], [""]), (["lamp", "a", "", "b/c"], ["a", "", "b/c"]),
            (["lamp", "devices"], ["devices"]),
        ])
    func rest(path: [String], rest: [String]) {
        guard case .found(let endpoint, let parameters) = EndpointTable.match(.put, path) else {
            Issue.record("no endpoint")
            return
        }
        #expect(endpoint.action == .askDevice)
        #expect(parameters.rest == rest)
    }

    @Test("A device's id alone is no path, nor is an empty one", arguments: [["lamp"], [], [""]])
    func noPath(path: [String]) {
        #expect(EndpointTable.match(.get, path) == .nothing)
    }

    @Test("RFC 9110 §9.3.2: HEAD works wherever GET does")
    func head() {
        for endpoint in EndpointTable.all where endpoint.method == .get {
            let path = endpoint.path.segments.map { segment in
                switch segment {
                case .literal(let text): text
                case .parameter, .rest: "x"
                }
            }
            guard case .found(let found, _) = EndpointTable.match(.head, path) else {
                Issue.record("no HEAD for \(endpoint.path.text)")
                continue
            }
            #expect(found.action == endpoint.action)
        }
    }
}
