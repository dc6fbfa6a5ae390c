import CBOR
import Cloud
import CoAP
import NIOCore
import ServiceShell
import Synchronization
import TestSupport
import Testing

@testable import Northbound

@Suite("Requests to devices", .timeLimit(.minutes(1)))
struct DevicesOverHTTPTests {
    private static func content(_ item: DataItem) -> CoAP.Response {
        var options = Options()
        options.contentFormat = .ocfCBOR
        return CoAP.Response(.content, options: options, payload: item.encoded())
    }

    private static func made(_ setUp: (inout Options) -> Void) -> CoAP.Response {
        var response = CoAP.Response(.serviceUnavailable)
        setUp(&response.options)
        return response
    }

    @Test("The device gets the request with fence, deadline and request id; none of that goes back")
    func internalOptions() async throws {
        try await Server.run { server async throws in
            var response = Self.content(.map(["a": 1]))
            response.options.requestID = "inner"
            response.options.sessionUser = "alice"
            server.devices.answer(response)
            let answer = try await server.request(
                "GET", "/lamp/light/1?if=oic.if.rw", token: "alice-client", ["X-Request-Id: outer-1"])
            #expect(answer.status == 200)
            #expect(answer.body == #"{"a":1}"#)
            #expect(answer.fields["x-request-id"] == "outer-1")
            let options = try #require(server.devices.requests.last).options
            #expect(options.path == ["lamp", "light", "1"])
            #expect(options.queries == ["if=oic.if.rw"])
            #expect(options.fence == Fence(uid: "alice"))
            #expect(options.requestID == "outer-1")
            #expect((15_000...20_000).contains(options.deadlineMilliseconds ?? 0))
        }
    }

    @Test("C-82: an encoded slash reaches the device inside its segment, `//` as an empty one")
    func rawPath() async throws {
        try await Server.run { server async throws in
            _ = try await server.request("GET", "/lamp/a%2Fb/c", token: "alice-user")
            _ = try await server.request("GET", "/lamp//c", token: "alice-user")
            #expect(server.devices.requests.map(\.options.path) == [["lamp", "a/b", "c"], ["lamp", "", "c"]])
        }
    }

    @Test("C-85: HEAD has the header fields of GET and no body")
    func head() async throws {
        try await Server.run { server async throws in
            server.devices.answer(Self.content(.map(["a": 1])))
            try await Peer.connect(server.port) { peer async throws in
                let head = try await peer.request("HEAD", "/lamp/light", ["Authorization: alice-user"])
                let get = try await peer.request("GET", "/lamp/light", ["Authorization: alice-user"])
                #expect(head.status == 200)
                #expect(head.body.isEmpty)
                #expect(head.fields["content-length"] == "7")
                #expect(head.fields["content-type"] == get.fields["content-type"])
                #expect(get.body == #"{"a":1}"#)
            }
        }
    }

    @Test("RFC 9110 §15.3.5: 204 has neither body nor Content-Length")
    func noContent() async throws {
        try await Server.run { server async throws in
            server.devices.answer(CoAP.Response(.changed))
            try await Peer.connect(server.port) { peer async throws in
                let answer = try await peer.request("POST", "/lamp/light", ["Authorization: alice-user"], body: "{}")
                #expect(answer.status == 204)
                #expect(answer.fields["content-length"] == nil)
                #expect(answer.fields["transfer-encoding"] == nil)
                #expect(try await peer.request("GET", "/errors").status == 200)
            }
        }
    }

    @Test("C-84: If-None-Match with the returned ETag is 304 with an empty body")
    func notModified() async throws {
        try await Server.run { server async throws in
            server.devices.script { request, answer in
                let known = request.options.all(.eTag).contains { $0.bytes == [1, 2] }
                var response = known ? CoAP.Response(.valid) : Self.content(.map(["a": 1]))
                response.options.append(.eTag, bytes: [1, 2])
                answer(response)
            }
            try await Peer.connect(server.port) { peer async throws in
                let first = try await peer.request("GET", "/lamp/light", ["Authorization: alice-user"])
                let tag = try #require(first.fields["etag"])
                let second = try await peer.request(
                    "GET", "/lamp/light", ["Authorization: alice-user", "If-None-Match: \(tag)"])
                #expect(second.status == 304)
                #expect(second.body.isEmpty)
                // The connection is still in step.
                #expect(try await peer.request("GET", "/lamp/light", ["Authorization: alice-user"]).status == 200)
            }
        }
    }

    @Test("C-74: unknown 404, somebody else's 403, offline 503 with Retry-After")
    func notReached() async throws {
        try await Server.run { server async throws in
            for (path, status, slug) in [
                ("/nobody/light", 404, "unknown-device"), ("/oven/light", 403, "not-yours"),
                ("/fridge/light", 503, "offline"), ("/a%20b/light", 404, "unknown-device"),
            ] {
                let answer = try await server.request("POST", path, token: "alice-client", body: "{}")
                #expect(answer.status == status, "\(path)")
                #expect(answer.slug == slug, "\(path)")
                #expect((answer.fields["retry-after"] != nil) == (status == 503), "\(path)")
                #expect(answer.json?["request_id"]?.string == answer.fields["x-request-id"], "\(path)")
            }
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test(
        "Delivery: every way not to be delivered, and not to know, has its status",
        arguments: [
            (made { $0.undelivered = .noSession }, 503, "offline"),
            (made { $0.undelivered = .superseded }, 503, "offline"),
            (made { $0.undelivered = .moving }, 503, "moving"),
            (made { $0.undelivered = .queueFull }, 503, "device-busy"),
            (made { $0.undelivered = .late }, 504, "no-answer"),
            (made { $0.unknownOutcome = .connectionLost }, 502, "outcome-unknown"),
            (made { $0.unknownOutcome = .noAnswer }, 504, "no-answer"),
            (made { $0.undelivered = .tooLarge }, 413, "body-too-large"),
            (made { $0.undelivered = .unreachable }, 503, "offline"),
            (made { $0.undelivered = .overloaded }, 503, "overloaded"),
            (made { $0.undelivered = .routesUnavailable }, 503, "routes-unavailable"),
            (made { $0.undelivered = .signedOut }, 503, "signed-out"),
            (made { $0.undelivered = .tooManyInFlight }, 429, "too-many-in-flight"),
            (made { $0.unknownOutcome = .unusableAnswer }, 502, "bad-device-answer"),
        ])
    func delivery(response: CoAP.Response, status: Int, slug: String) async throws {
        try await Server.run { server async throws in
            server.devices.answer(response)
            let answer = try await server.request("POST", "/lamp/light", token: "alice-client", body: "{}")
            #expect(answer.status == status)
            #expect(answer.slug == slug)
            #expect((answer.fields["retry-after"] != nil) == (status == 503 || status == 429))
            let outcome = response.options.undelivered == nil ? "outcome=unknown" : "outcome=undelivered"
            #expect(server.log.lines.contains { $0.contains(outcome) })
        }
    }

    @Test("RFC 9110 §9.2.2: a PUT reaches the device as POST, and the edge as something that may be repeated")
    func idempotent() async throws {
        try await Server.run { server async throws in
            for (method, isIdempotent) in [("PUT", true), ("POST", false), ("DELETE", false), ("GET", false)] {
                _ = try await server.request(
                    method, "/lamp/light", token: "alice-client", body: method == "GET" ? "" : "{}")
                let request = try #require(server.devices.requests.last)
                #expect(request.options.isIdempotent == isIdempotent)
                #expect(request.method != .put)
            }
        }
    }

    @Test("C-86: the device's own 4.01 is 403 and told as the device's, no bearer is 401")
    func unauthorized() async throws {
        try await Server.run { server async throws in
            server.devices.answer(CoAP.Response(.unauthorized))
            let answer = try await server.request("GET", "/lamp/light", token: "alice-client")
            #expect(answer.status == 403)
            #expect(answer.slug == "device-answer")
            #expect(answer.json?["coap_code"] == "4.01")
            #expect(answer.fields["www-authenticate"] == nil)
        }
    }

    @Test("BI-42: 2.05 to an UPDATE is content, 4.04 to a published link is the device's 404")
    func oddAnswers() async throws {
        try await Server.run { server async throws in
            server.devices.answer(Self.content(.map(["a": 1])))
            #expect(
                try await server.request("POST", "/lamp/light", token: "alice-user", body: "{}").body == #"{"a":1}"#)
            server.devices.answer(CoAP.Response(.notFound, diagnostic: "gone"))
            let answer = try await server.request("GET", "/lamp/light", token: "alice-user")
            #expect(answer.status == 404)
            #expect(answer.json?["coap_code"] == "4.04")
            #expect(answer.json?["detail"]?.string?.contains("gone") == true)
        }
    }

    @Test("BI-42, BI-66: no answer in time is 504, and a late one never reaches the next request")
    func lateAnswer() async throws {
        try await Server.run(NorthboundConfiguration(port: 0, requestTimeout: .milliseconds(500))) {
            server async throws in
            let late = Mutex<(@Sendable (CoAP.Response) -> Void)?>(nil)
            server.devices.script { _, answer in late.withLock { $0 = answer } }
            try await Peer.connect(server.port) { peer async throws in
                let first = try await peer.request("GET", "/lamp/slow", ["Authorization: alice-user"])
                #expect(first.status == 504)
                #expect(first.slug == "no-answer")
                server.devices.answer(Self.content("second"))
                late.withLock { $0 }?(Self.content("first"))
                let second = try await peer.request("GET", "/lamp/fast", ["Authorization: alice-user"])
                #expect(second.body == #""second""#)
            }
            #expect(server.responder.requestsInFlight == 0)
        }
    }

    @Test(
        "BI-65: Prefer: wait is the deadline the device gets, cut at 60 s",
        arguments: [
            ("wait=3", 0...3000), ("respond-async, wait=7;x", 3000...7000), ("wait=600", 50_000...60_000),
            ("wait=0", 15_000...20_000), ("wait=x", 15_000...20_000), ("nothing", 15_000...20_000),
        ] as [(String, ClosedRange<UInt32>)])
    func prefer(value: String, range: ClosedRange<UInt32>) async throws {
        try await Server.run { server async throws in
            _ = try await server.request("GET", "/lamp/light", token: "alice-user", ["Prefer: \(value)"])
            let milliseconds = server.devices.requests.last?.options.deadlineMilliseconds ?? 0
            #expect(range.contains(milliseconds))
        }
    }

    @Test("BI-65, C-87: clients that hang up before the answer leave nothing behind, 1,000 times over")
    func hangUp() async throws {
        try await Server.run(NorthboundConfiguration(port: 0, maximumInFlightPerOwner: 2000)) { server async throws in
            let held = Mutex<[@Sendable (CoAP.Response) -> Void]>([])
            let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
            server.devices.script { _, answer in
                held.withLock { $0.append(answer) }
                arrived.yield()
            }
            var arriving = arrivals.makeAsyncIterator()
            for _ in 0..<10 {
                try await withThrowingTaskGroup(of: Void.self) { group async throws in
                    for _ in 0..<100 {
                        group.addTask {
                            try await Peer.connect(server.port) { peer async throws in
                                try await peer.send(
                                    "GET /lamp/light HTTP/1.1\r\nHost: x\r\nAuthorization: alice-user\r\n\r\n")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                for _ in 0..<100 { await arriving.next() }
                let answers = held.withLock { held in
                    defer { held = [] }
                    return held
                }
                for answer in answers { answer(Self.content("too late")) }
            }
            #expect(server.devices.requests.count == 1000)
            // Whoever still is on his way out is gone when a request of the same owner was served after him.
            server.devices.answer(Self.content("here"))
            #expect(try await server.request("GET", "/lamp/light", token: "alice-user").body == #""here""#)
            try await eventually("all answered") { server.responder.requestsInFlight == 0 }
        }
    }

    @Test("BI-65: two clients write at once, each gets the answer to its own request")
    func concurrentWrites() async throws {
        try await Server.run { server async throws in
            server.devices.script { request, answer in
                var options = Options()
                options.contentFormat = .ocfCBOR
                answer(CoAP.Response(.changed, options: options, payload: request.payload))
            }
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let body = #"{"n":\#(number)}"#
                        return try await server.request("POST", "/lamp/n", token: "alice-user", body: body).body == body
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
        }
    }

    @Test("C-83: 415 and 406 come before the device is asked, and name the header field")
    func negotiation() async throws {
        try await Server.run { server async throws in
            let media = try await server.request(
                "POST", "/lamp/light", token: "alice-user", ["Content-Type: image/webp"], body: "x")
            #expect(media.status == 415)
            #expect(media.json?["field"] == "Content-Type")
            let accept = try await server.request("GET", "/lamp/light", token: "alice-user", ["Accept: text/html"])
            #expect(accept.status == 406)
            #expect(accept.json?["field"] == "Accept")
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test("One access line a request: its id, the path's pattern, the device, who asked by a hash, never the token")
    func accessLine() async throws {
        try await Server.run { server async throws in
            _ = try await server.request("GET", "/lamp/light/1?secret=x", token: "alice-client", ["X-Request-Id: r-77"])
            let lines = server.log.lines.filter { $0.contains("northbound.access") }
            #expect(lines.count == 1)
            let line = try #require(lines.first)
            for part in [
                "request.id=r-77", "http.path=/{di}/{href}", "device.id=lamp", "principal=client:", "http.status=200",
                "http.method=GET", "outcome=ok",
            ] {
                #expect(line.contains(part), "\(part)")
            }
            #expect(!server.log.lines.contains { $0.contains("alice-client") || $0.contains("secret") })
        }
    }

    @Test(
        "X-Request-Id is taken when it is 1 to 64 printable characters, else one is made",
        arguments: [
            ("abc-1", true), (String(repeating: "x", count: 64), true), (String(repeating: "x", count: 65), false),
            ("a b", false), ("", false), ("ä", false),
        ])
    func requestIDs(value: String, isTaken: Bool) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", "/errors", ["X-Request-Id: \(value)"])
            let id = try #require(answer.fields["x-request-id"])
            #expect((id == value) == isTaken)
            if !isTaken {
                #expect(id.count == 16)
                #expect(id.allSatisfy { $0.isHexDigit })
            }
        }
    }
}
