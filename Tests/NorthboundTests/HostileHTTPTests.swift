import CoAP
import NIOCore
import Synchronization
import Testing

@testable import Northbound

@Suite("Hostile HTTP", .timeLimit(.minutes(1)))
struct HostileHTTPTests {
    private static let auth = "Host: x\r\nAuthorization: alice-user\r\n"

    /// What comes back for these bytes until the server closes.
    private func exchange(_ server: Server, _ bytes: String) async throws -> String {
        try await Peer.connect(server.port) { peer async throws in
            await peer.trySend(bytes)
            return try await peer.rest()
        }
    }

    @Test(
        "BI-61: what two parsers would read differently is 400 and ends the connection; nothing reaches a device",
        arguments: [
            // Both lengths (RFC 9112 §6.3), and the second request one of them hides.
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /lamp/smuggled HTTP/1.1\r\n\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /lamp/smuggled HTTP/1.1\r\n\r\n",
            // Two lengths, equal or not (RFC 9110 §8.6).
            "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
            "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            "Content-Length: 2, 3\r\n\r\n{}x",
            "Content-Length: -2\r\n\r\n{}", "Content-Length: +2\r\n\r\n{}", "Content-Length: 0x2\r\n\r\n{}",
            "Content-Length: 99999999999999999999\r\n\r\n{}",
            // Transfer codings that are not chunked at the end (RFC 9112 §6.1).
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            // A folded line (RFC 9112 §5.2), blanks before the colon, no name, a bare CR.
            "X-Folded: a\r\n b\r\n\r\n", "Content-Length : 2\r\n\r\n{}", ": x\r\n\r\n", "X: a\rb\r\n\r\n",
            // Chunk sizes that are none.
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        ])
    func smuggling(rest: String) async throws {
        try await Server.run { server async throws in
            let answer = try await self.exchange(server, "POST /lamp/light HTTP/1.1\r\n\(Self.auth)\(rest)")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect((1...5).allSatisfy { !answer.dropFirst(8).contains("HTTP/1.1 \($0)") })
            #expect(server.devices.requests.isEmpty)
            #expect(try await server.request("GET", "/errors").status == 200)
        }
    }

    @Test(
        "BI-61: RFC 9112 §3.2: no Host, or two of them, is 400",
        arguments: ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nhost: a\r\n"])
    func hosts(fields: String) async throws {
        try await Server.run { server async throws in
            let answer = try await self.exchange(
                server, "GET /errors HTTP/1.1\r\n\(fields)Connection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.contains(#""field":"Host""#))
        }
    }

    @Test(
        "BI-6, BI-61: other protocols are answered 400 as a problem, or cut",
        arguments: [
            "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            String(repeating: "\u{0}", count: 1000), "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n",
        ])
    func otherProtocols(bytes: String) async throws {
        try await Server.run { server async throws in
            let answer = try await self.exchange(server, bytes)
            #expect(answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.1 501 "))
            #expect(answer.contains("application/problem+json"))
            #expect(answer.contains("request_id"))
        }
    }

    @Test(
        "BI-61: a header of 1 MB and one of 10,000 fields are 431",
        arguments: [
            "X-Long: \(String(repeating: "x", count: 1 << 20))\r\n", String(repeating: "X: y\r\n", count: 10_000),
        ])
    func largeHeaders(fields: String) async throws {
        try await Server.run { server async throws in
            let answer = try await self.exchange(server, "GET /errors HTTP/1.1\r\n\(Self.auth)\(fields)\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 431 "))
            #expect(answer.contains("/errors#header-too-large"))
        }
    }

    @Test("BI-61: RFC 9112 §3.2.2: the absolute form is its path; whose host it names does not matter")
    func absoluteForm() async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", "http://169.254.169.254/lamp/a%2Fb?x=1", token: "alice-user")
            #expect(answer.status == 200)
            #expect(server.devices.requests.last?.options.path == ["lamp", "a/b"])
            #expect(server.devices.requests.last?.options.queries == ["x=1"])
        }
    }

    @Test(
        "BI-61: `//` names no fixed route and no device", arguments: ["//devices", "//lamp/light", "//", "/devices/"])
    func doubledSlash(target: String) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", target, token: "alice-user")
            #expect(answer.status == 404)
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test(
        "BI-21, BI-61: dot segments, encoded or not, are 400 and never another path",
        arguments: [
            "/lamp/../devices", "/lamp/%2e%2e/devices", "/lamp/.%2E/x", "/./devices",
        ])
    func dotSegments(target: String) async throws {
        try await Server.run { server async throws in
            let answer = try await server.request("GET", target, token: "alice-user")
            #expect(answer.status == 400)
            #expect(answer.slug == "bad-target")
        }
    }

    @Test(
        "C-85, BI-61: OPTIONS, TRACE, CONNECT and unknown methods are 501",
        arguments: [
            "OPTIONS /lamp/light", "OPTIONS *", "TRACE /devices", "CONNECT example.org:443", "PROPFIND /devices",
            "REPORT /lamp/light",
        ])
    func methods(line: String) async throws {
        try await Server.run { server async throws in
            let answer = try await Peer.connect(server.port) { peer async throws in
                try await peer.send("\(line) HTTP/1.1\r\n\(Self.auth)\r\n")
                return try await peer.answer()
            }
            #expect(answer.status == 501)
            #expect(answer.slug == "method-not-implemented")
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test("PATCH and methods a fixed path does not have are 405 with Allow")
    func otherMethods() async throws {
        try await Server.run { server async throws in
            let patch = try await server.request("PATCH", "/lamp/light", token: "alice-user", body: "{}")
            #expect(patch.status == 405)
            #expect(patch.fields["allow"] == "GET, HEAD, POST, PUT, DELETE")
            let put = try await server.request("PUT", "/devices", token: "alice-user")
            #expect(put.status == 405)
            #expect(put.fields["allow"] == "GET, HEAD")
        }
    }

    // MARK: Bodies

    @Test("A body above the limit is 413 and ends the connection, by its length or by its chunks, unread")
    func largeBodies() async throws {
        try await Server.run(NorthboundConfiguration(port: 0, maximumBodyBytes: 1000)) { server async throws in
            let declared = try await self.exchange(
                server, "POST /lamp/light HTTP/1.1\r\n\(Self.auth)Content-Length: 1001\r\n\r\n")
            #expect(declared.hasPrefix("HTTP/1.1 413 "))
            let chunk = "1f4\r\n\(String(repeating: "x", count: 500))\r\n"
            let chunked = try await self.exchange(
                server,
                "POST /lamp/light HTTP/1.1\r\n\(Self.auth)Transfer-Encoding: chunked\r\n\r\n\(chunk)\(chunk)\(chunk)")
            #expect(chunked.hasPrefix("HTTP/1.1 413 "))
            let fits = try await server.request(
                "POST", "/lamp/light", token: "alice-user", body: String(repeating: "x", count: 1000))
            #expect(fits.status == 200)
            #expect(server.devices.requests.count == 1)
        }
    }

    @Test("Who has no token gets 401 before his body is read")
    func admissionFirst() async throws {
        try await Server.run { server async throws in
            let answer = try await Peer.connect(server.port) { peer async throws in
                try await peer.send("POST /lamp/light HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
                return try await peer.answer()
            }
            #expect(answer.status == 401)
        }
    }

    @Test("RFC 9110 §10.1.1: who waits for 100 gets it once he is let in, and his final answer at once if he is not")
    func expectContinue() async throws {
        try await Server.run { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                try await peer.send(
                    "POST /lamp/light HTTP/1.1\r\n\(Self.auth)Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
                #expect(try await peer.answer(hasBody: false).status == 100)
                try await peer.send("{}")
                #expect(try await peer.answer().status == 200)
                try await peer.send(
                    "POST /lamp/light HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
                #expect(try await peer.answer().status == 401)
            }
        }
    }

    @Test("BI-52: a body that does not come in time is 408 and reaches no device")
    func slowBody() async throws {
        try await Server.run(NorthboundConfiguration(port: 0, bodyTimeout: .milliseconds(50))) { server async throws in
            let answer = try await self.exchange(
                server, "POST /lamp/light HTTP/1.1\r\n\(Self.auth)Content-Length: 10\r\n\r\n{")
            #expect(answer.hasPrefix("HTTP/1.1 408 "))
            #expect(answer.contains("/errors#body-timeout"))
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test("BI-61: a body cut short by the end of the connection never becomes a command")
    func cutBody() async throws {
        try await Server.run { server async throws in
            for framing in ["Content-Length: 10\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"] {
                try await Peer.connect(server.port) { peer async throws in
                    try await peer.send("POST /lamp/light HTTP/1.1\r\n\(Self.auth)\(framing)")
                    peer.finishSending()
                    _ = try await peer.rest()
                }
            }
            #expect(server.devices.requests.isEmpty)
        }
    }

    @Test("RFC 9112 §9.3.2: pipelined requests are answered in order")
    func pipelining() async throws {
        try await Server.run { server async throws in
            server.devices.script { request, answer in
                answer(CoAP.Response(.content, payload: ByteBuffer(string: request.options.path?.last ?? "")))
            }
            try await Peer.connect(server.port) { peer async throws in
                try await peer.send(
                    (0..<5).map { "GET /lamp/\($0) HTTP/1.1\r\n\(Self.auth)\r\n" }.joined())
                for number in 0..<5 { #expect(try await peer.answer().body == "\(number)") }
            }
        }
    }

    @Test("RFC 9112 §9.6: Connection: close is answered and ended")
    func connectionClose() async throws {
        try await Server.run { server async throws in
            let answer = try await self.exchange(server, "GET /errors HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
            #expect(answer.lowercased().contains("connection: close"))
        }
    }

    // MARK: Limits

    @Test("More requests of one owner than allowed at once are 429, more altogether 503; both pass again after")
    func inFlight() async throws {
        let configuration = NorthboundConfiguration(port: 0, maximumInFlightPerOwner: 1, maximumInFlight: 2)
        try await Server.run(configuration) { server async throws in
            let held = Mutex<[@Sendable (CoAP.Response) -> Void]>([])
            let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
            server.devices.script { _, answer in
                held.withLock { $0.append(answer) }
                arrived.yield()
            }
            var arriving = arrivals.makeAsyncIterator()
            try await withThrowingTaskGroup(of: Int.self) { group in
                group.addTask { try await server.request("GET", "/lamp/x", token: "alice-user").status }
                await arriving.next()
                let second = try await server.request("GET", "/lamp/x", token: "alice-client")
                #expect(second.status == 429)
                #expect(second.slug == "too-many-in-flight")
                group.addTask { try await server.request("GET", "/oven/x", token: "bob-user").status }
                await arriving.next()
                let third = try await server.request("GET", "/errors")
                #expect(third.status == 503)
                #expect(third.slug == "overloaded")
                #expect(third.fields["retry-after"] == "1")
                for answer in held.withLock({ $0 }) { answer(CoAP.Response(.content)) }
                for try await status in group { #expect(status == 200) }
            }
            server.devices.answer(CoAP.Response(.content))
            #expect(try await server.request("GET", "/lamp/x", token: "alice-client").status == 200)
        }
    }

    @Test("A connection above the limit is closed, the others live on")
    func connections() async throws {
        try await Server.run(NorthboundConfiguration(port: 0, maximumConnections: 1)) { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/errors").status == 200)
                let other = try? await self.exchange(server, "GET /errors HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(other ?? "" == "")
                #expect(try await peer.request("GET", "/errors").status == 200)
            }
        }
    }

    @Test("No answer tells what program gave it, and every one has a date")
    func fields() async throws {
        try await Server.run { server async throws in
            for target in ["/errors", "/nothing", "/openapi.yaml"] {
                let answer = try await server.request("GET", target)
                #expect(answer.fields["server"] == nil)
                #expect(answer.fields["date"]?.hasSuffix(" GMT") == true)
            }
            let document = try await server.request("GET", "/openapi.yaml")
            #expect(document.body == OpenAPIDocument.text)
            #expect(document.fields["content-type"] == "application/yaml")
            #expect(try await server.request("GET", "/errors").body == ErrorsDocument.text)
        }
    }
}
