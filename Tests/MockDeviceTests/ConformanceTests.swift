import CBOR
import CoAP
import NIOCore
import Testing

@testable import MockDevice

@Suite("mock-device test")
struct ConformanceTests {
    private static func names(_ patterns: String...) -> [Int] {
        let selection = CaseSelection(patterns)
        return ConformanceRun.cases.filter(selection.contains).map(\.number)
    }

    @Test("Cases are chosen by number, range, group and words; without a pattern all are")
    func selection() {
        #expect(Self.names() == Array(1...93))
        #expect(Self.names("28") == [28])
        #expect(Self.names("41-43", "7") == [7, 41, 42, 43])
        #expect(Self.names("41-43,7") == [7, 41, 42, 43])
        #expect(Self.names("refresh").contains(51))
        #expect(Self.names("HTTP").contains(81))
        #expect(Self.names("hangs-up-nobody") == [])
        #expect(Self.names("sign-up").count == 13)
        #expect(Self.names("custody") == [22])
    }

    @Test("An HTTP answer is read whole, chunked, without content, and behind 100; half of one is none")
    func httpAnswers() throws {
        func read(_ text: String, to method: String = "GET", isWhole: Bool = false) -> HTTPAnswer? {
            HTTPAnswer(ByteBuffer(string: text), to: method, isWhole: isWhole)
        }
        let plain = try #require(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag:  \"a\" \r\n\r\nhi"))
        #expect(plain.status == 200)
        #expect(plain["etag"] == "\"a\"")
        #expect(plain.text == "hi")
        #expect(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi") == nil)
        #expect(read("HTTP/1.1 200 OK\r\n\r\nhi") == nil)
        #expect(read("HTTP/1.1 200 OK\r\n\r\nhi", isWhole: true)?.text == "hi")
        #expect(
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n")?.text
                == "hi!")
        #expect(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n") == nil)
        #expect(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")?.body.readableBytes == 0)
        #expect(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", to: "HEAD")?.status == 200)
        #expect(
            read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")?.status == 201)
        #expect(read("SSH-2.0 hello\r\n\r\n") == nil)
    }

    @Test(
        "The HTTP side is named by a URL, with the port of its scheme",
        arguments: [
            ("http://h:8080", "h", 8080, false), ("http://h", "h", 80, false), ("https://h", "h", 443, true),
            ("https://[::1]:8443", "::1", 8443, true), ("https://[::1]", "::1", 443, true),
        ])
    func doors(text: String, host: String, port: Int, isSecure: Bool) {
        #expect(HTTPDoor(parsing: text) == HTTPDoor(host: host, port: port, isSecure: isSecure))
        #expect(HTTPDoor(parsing: "ftp://h") == nil)
        #expect(HTTPDoor(parsing: "http://") == nil)
    }

    @Test("RFC 8323 §4.2: a message goes into a WebSocket without its length and comes out the same, whatever its size")
    func webSocketMessages() throws {
        for size in [nil, 1, 11, 12, 268, 269, 65_804, 65_805, 70_000] as [Int?] {
            var message = Message(code: .post, token: Token([1, 2, 3]))
            message.payload = size.map { ByteBuffer(repeating: 7, count: $0) }
            let bytes = WebSocketFraming.lengthless(message)
            #expect(bytes[0] == 3)
            var framed = try #require(WebSocketFraming.withLength(ByteBuffer(bytes: bytes)))
            let limits = FrameLimits(maximumMessageSize: 1 << 20, maximumTokenLength: 8)
            #expect(try Message(readingFrameFrom: &framed, limits: limits) == message)
            // What a client sends is masked; a server must not.
            var masked = WebSocketFraming.frame(.binary, bytes)
            #expect(throws: CaseFailure.self) { try WebSocketFraming.read(from: &masked) }
        }
        #expect(WebSocketFraming.withLength(ByteBuffer(bytes: [0x10, 1, 0x60])) == nil)
    }

    @Test("A cloud that says nothing fails every case in bounded time, and the report tells what was missing")
    func silentCloud() async throws {
        let cloud = try await ScriptedCloud.start()
        let plan = try await Self.plan(port: cloud.port, codes: ["a", "b", "c", "d"])
        let selection = CaseSelection(["1", "16", "21", "28"])
        let results = await ConformanceRun(plan, includesSlow: false, parallel: 4)
            .run(ConformanceRun.cases.filter(selection.contains))
        #expect(results.map(\.conformanceCase.number) == [1, 16, 21, 28])
        for result in results {
            guard case .failed = result.verdict else {
                Issue.record("\(result.conformanceCase.number): \(result.verdict)")
                continue
            }
            let text = ConformanceReport.details(result).joined(separator: "\n")
            #expect(text.contains("nothing within 100 ms"))
        }
        #expect(ConformanceReport.summary(results).hasPrefix("4 cases: 0 passed, 4 failed"))
        // What was sent stands there in bytes.
        let signUp = try #require(results.last)
        #expect(signUp.wire.contains { $0.hasPrefix("device sent d8") })
        #expect(signUp.wire.contains { $0.contains("\"account\"") })
        let xml = ConformanceReport.junit(results, name: "a <cloud> & \"more\"")
        #expect(xml.contains(#"<testsuite name="a &lt;cloud&gt; &amp; &quot;more&quot;" tests="4" failures="4""#))
        #expect(xml.contains("<failure message="))
    }

    @Test("Without codes, a second user, HTTP or another way in, a case is skipped and says what it needs")
    func skipped() async throws {
        let cloud = try await ScriptedCloud.start()
        let plan = try await Self.plan(port: cloud.port, codes: [])
        let expected = [
            27: "--slow", 28: "--code", 50: "--certificate", 63: "--provision", 81: "--http", 88: "coap+ws",
            91: "coaps+tcp",
        ]
        let cases = ConformanceRun.cases.filter { expected[$0.number] != nil }
        for result in await ConformanceRun(plan, includesSlow: false, parallel: 2).run(cases) {
            guard case .skipped(let reason) = result.verdict else {
                Issue.record("\(ConformanceReport.line(result))")
                continue
            }
            #expect(reason.contains(expected[result.conformanceCase.number] ?? "?"))
        }
    }

    @Test("A cloud that is not there fails on the way, and says so")
    func nobodyThere() async throws {
        let cloud = try await ScriptedCloud.start()
        let port = cloud.port
        try await cloud.stop()
        let plan = try await Self.plan(port: port, codes: ["a"])
        let results = await ConformanceRun(plan, includesSlow: false, parallel: 1)
            .run(ConformanceRun.cases.filter { $0.number == 1 })
        let result = try #require(results.first)
        guard case .failed(let failure) = result.verdict else {
            Issue.record("\(result.verdict)")
            return
        }
        #expect(failure.stage == .given)
        #expect(failure.expected == "a connection to 127.0.0.1:\(port)")
    }

    @Test("--provision asks a command for each code, with kind, id and user")
    func provisionCommand() async throws {
        let provisioner = try await Provisioner(
            .command("echo code"), tls: nil, patience: .seconds(5))
        let clock = CaseClock(patience: .seconds(5), end: .now + .seconds(20))
        #expect(try await provisioner.code(.device, "d-1", of: .first, clock: clock) == "code device d-1 1")
        #expect(try await provisioner.code(.client, "c", of: .second, clock: clock) == "code client c 2")
        let failing = try await Provisioner(.command("false"), tls: nil, patience: .seconds(5))
        await #expect(throws: CaseFailure.self) {
            try await failing.code(.device, "d", of: .first, clock: clock)
        }
    }

    private static func plan(port: Int, codes: [String]) async throws -> ConformancePlan {
        try await ConformancePlan(
            addresses: [ServerAddress(host: "127.0.0.1", port: port)], http: nil, codes: .codes(codes),
            patience: .milliseconds(100), slowPatience: .seconds(1), trust: TLSTrust())
    }
}
