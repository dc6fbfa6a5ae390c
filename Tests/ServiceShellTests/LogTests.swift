import Logging
import ServiceShell
import Testing

@Suite("Log lines")
struct LogTests {
    private static func line(
        _ format: LogFormat,
        message: Logger.Message = "listening",
        _ metadata: Logger.Metadata,
    ) throws -> String {
        let sink = MemorySink()
        Observability.logger(label: "gateway", format: format, sink: sink).info(message, metadata: metadata)
        try #require(sink.lines.count == 1)
        return sink.lines[0]
    }

    @Test("A text line has time, level, label, message and sorted keys")
    func textLine() throws {
        let line = try Self.line(.text, .init([.port: "5683", .address: "127.0.0.1", .deviceID: nil]))
        let pattern = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info gateway listening address=127\.0\.0\.1 port=5683\n/
        #expect(line.wholeMatch(of: pattern) != nil)
    }

    @Test("A JSON line is one object with the same fields")
    func jsonLine() throws {
        let line = try Self.line(.json, ["port": "1", "time": "x", "quote": "a\"b\\c\n\u{1}\u{2028}"])
        #expect(line.hasSuffix("\"field.time\":\"x\"}\n"))
        #expect(line.contains(#""level":"info","label":"gateway","message":"listening","port":"1""#))
        #expect(line.contains(#""quote":"a\"b\\c\n\u0001\u2028""#))
        #expect(line.split(separator: "\n").count == 1)
    }

    @Test(
        "What a peer sends can neither end a line, add a field, move the cursor nor turn the reading direction",
        arguments: [
            ("a b", #""a b""#),
            ("a=b", #""a=b""#),
            ("", #""""#),
            ("x\n2026-01-01T00:00:00Z error a forged", #""x\n2026-01-01T00:00:00Z error a forged""#),
            ("\r\u{1b}[2K", #""\r\u{1b}[2K""#),
            ("\" outcome=ok", #""\" outcome=ok""#),
            ("back\\slash", #""back\\slash""#),
            ("\u{85}\u{2028}\u{202e}\u{7f}", #""\u{85}\u{2028}\u{202e}\u{7f}""#),
            ("grün", #""grün""#),
            ("plain-1.2:3/{di}", "plain-1.2:3/{di}"),
        ])
    func forgery(sent: String, shown: String) throws {
        let line = try Self.line(.text, ["v": .string(sent)])
        #expect(line.hasSuffix(" info gateway listening v=\(shown)\n"))
        #expect(line.split(separator: "\n").count == 1)
    }

    @Test("Messages and keys are made safe as well, and nested metadata stays in its value")
    func oddMessagesAndKeys() throws {
        let line = try Self.line(.text, message: "two\nlines", ["bad key=\n": "1", "list": ["a", "b\n"]])
        #expect(line.hasSuffix(#" info gateway two\nlines bad_key__=1 list="[\"a\", \"b\\n\"]""# + "\n"))
    }

    @Test("A value is cut at 1024 bytes")
    func longValue() throws {
        let line = try Self.line(.text, ["v": .string(String(repeating: "x", count: 100_000))])
        #expect(line.utf8.count < 1200)
        #expect(line.contains("x…"))
    }

    @Test("Levels below the logger's are not written, and a logger keeps its own keys")
    func levels() {
        let sink = MemorySink()
        var logger = Observability.logger(label: "gateway", level: .warning, sink: sink)
        logger[key: .program] = "one"
        logger.info("no")
        logger.warning("yes")
        #expect(sink.lines.count == 1)
        #expect(sink.lines.first?.hasSuffix("warning gateway yes program=one\n") == true)
    }

    @Test("A logger of a part writes under its own label, with the level, the sink and the keys of the whole")
    func labels() {
        let sink = MemorySink()
        var logger = Observability.logger(label: "gateway", level: .debug, sink: sink)
        logger[key: .program] = "one"
        logger.labelled("northbound").debug("hello")
        #expect(sink.lines.first?.hasSuffix(" debug northbound hello program=one\n") == true)
        let foreign = Logger(label: "a") { _ in SwiftLogNoOpLogHandler() }
        #expect(foreign.labelled("b").label == "b")
    }

    @Test("Log keys are dotted words, each once")
    func keys() {
        let keys = LogKey.allCases.map(\.rawValue)
        #expect(Set(keys).count == keys.count)
        for key in keys { #expect(key.wholeMatch(of: /[a-z]+(\.[a-z]+)*/) != nil) }
    }

    private static func record(_ outcome: AccessOutcome, _ interface: AccessRecord.Interface = .http) -> AccessRecord {
        AccessRecord(
            interface,
            requestID: "r-1",
            method: "GET",
            path: interface == .http ? "/{di}/{href}" : "/oic/res",
            status: interface == .http ? "200" : "2.05",
            device: "d-1",
            principal: "client:1a2b3c4d",
            outcome: outcome,
            duration: .microseconds(12_345),
        )
    }

    @Test("An access line names request, method, route, status, device, principal, outcome and milliseconds")
    func accessLine() throws {
        let sink = MemorySink()
        let log = AccessLog(mode: .all, logger: Observability.logger(label: "access.northbound", sink: sink))
        log.record(Self.record(.ok))
        log.record(Self.record(.ok, .coap))
        #expect(sink.lines.count == 2)
        #expect(
            try #require(sink.lines.first).hasSuffix(
                " info access.northbound request device.id=d-1 duration.ms=12.3 http.method=GET http.path=/{di}/{href} "
                    + "http.status=200 outcome=ok principal=client:1a2b3c4d request.id=r-1\n"))
        #expect(try #require(sink.lines.last).contains("coap.code=2.05 coap.method=GET coap.path=/oic/res"))
    }

    @Test("ACCESS_LOG=errors writes what is not ok, off writes nothing, and both count every request")
    func accessModes() {
        for (mode, lines) in [(AccessLog.Mode.all, 6), (.errors, 5), (.off, 0)] {
            let sink = MemorySink()
            let log = AccessLog(mode: mode, logger: Observability.logger(label: "access", sink: sink))
            for outcome in AccessOutcome.allCases { log.record(Self.record(outcome)) }
            #expect(sink.lines.count == lines)
            #expect(log.requests == 6)
        }
    }

    @Test("A logger that has keys of its own writes them into access lines, sorted with the others")
    func accessLineWithKeys() throws {
        let sink = MemorySink()
        var logger = Observability.logger(label: "access", sink: sink)
        logger[key: .program] = "one"
        AccessLog(mode: .all, logger: logger).record(Self.record(.ok))
        let line = try #require(sink.lines.first)
        #expect(line.contains(" principal=client:1a2b3c4d program=one request.id=r-1\n"))
    }

    @Test("An access line is made only where it is written")
    func lazy() {
        for (mode, made) in [(AccessLog.Mode.all, 2), (.errors, 1), (.off, 0)] {
            let log = AccessLog(mode: mode, logger: Observability.logger(label: "access", sink: MemorySink()))
            var count = 0
            func record(_ outcome: AccessOutcome) -> AccessRecord {
                count += 1
                return Self.record(outcome)
            }
            log.record(.ok, record(.ok))
            log.record(.failed, record(.failed))
            #expect(count == made)
        }
    }

    @Test("An access line as JSON has the same keys")
    func accessLineInJSON() throws {
        let sink = MemorySink()
        let logger = Observability.logger(label: "access", format: .json, sink: sink)
        AccessLog(mode: .all, logger: logger).record(Self.record(.ok))
        let line = try #require(sink.lines.first)
        #expect(line.hasPrefix("{\"time\":\"20"))
        #expect(line.contains(#""message":"request","device.id":"d-1","duration.ms":"12.3","http.method":"GET","#))
        #expect(line.hasSuffix(#""principal":"client:1a2b3c4d","request.id":"r-1"}"# + "\n"))
    }

    @Test("Fresh ids of requests are sixteen hexadecimal digits, each another")
    func freshIDs() {
        let ids = (0..<1000).map { _ in FreshRequestID.make() }
        #expect(Set(ids).count == ids.count)
        for id in ids { #expect(id.wholeMatch(of: /[0-9a-f]{16}/) != nil) }
    }

    @Test("The outcome follows the class of the code")
    func outcomes() {
        #expect(AccessOutcome(codeClass: 2) == .ok)
        #expect(AccessOutcome(codeClass: 3) == .ok)
        #expect(AccessOutcome(codeClass: 4) == .refused)
        #expect(AccessOutcome(codeClass: 5) == .failed)
    }
}
