import Cloud
import CoAP
import HTTPTypes
import NIOCore
import Testing

@testable import Northbound

@Suite("HTTP requests as CoAP")
struct DeviceExchangeTests {
    private func exchange(
        _ method: HTTPRequest.Method, _ fields: HTTPFields = [:], body: String = ""
    ) throws(Problem) -> DeviceExchange {
        try DeviceExchange(
            DeviceHTTPRequest(
                method: method, device: DeviceID(stored: "lamp"), segments: ["light", "1"], queries: ["if=oic.if.rw"],
                fields: fields, body: ByteBuffer(string: body)))
    }

    private func payload(_ exchange: DeviceExchange) -> String? { exchange.request.payload.map { String(buffer: $0) } }

    @Test(
        "RFC 8075 §5.2: methods map to CoAP's, PUT to POST because OCF has none",
        arguments: [
            (HTTPRequest.Method.get, Code.get), (.head, .get), (.post, .post), (.put, .post), (.delete, .delete),
        ])
    func methods(method: HTTPRequest.Method, code: Code) throws {
        let exchange = try self.exchange(method)
        #expect(exchange.request.method == code)
        #expect(exchange.request.options.path == ["lamp", "light", "1"])
        #expect(exchange.request.options.queries == ["if=oic.if.rw"])
    }

    @Test("PATCH is 405 with the methods there are: OCF devices do not have it")
    func patch() {
        let problem = #expect(throws: Problem.self) { try self.exchange(.patch) }
        #expect(problem?.kind == .methodNotAllowed)
        #expect(problem?.allowed == ["GET", "HEAD", "POST", "PUT", "DELETE"])
    }

    @Test("OCF Core: without Accept the device is asked for format 10000, version 1.0.0")
    func defaults() throws {
        let options = try self.exchange(.get).request.options
        #expect(options.accept == .ocfCBOR)
        #expect(options.ocfAcceptVersion == .v1_0_0)
        #expect(options.contentFormat == nil)
        #expect(options.ocfVersion == nil)
        #expect(!options.hasInternal)
    }

    @Test("RFC 7252 §6.4: the path `/{di}/` is no Uri-Path on the device")
    func rootPath() throws {
        let exchange = try DeviceExchange(
            DeviceHTTPRequest(method: .get, device: DeviceID(stored: "lamp"), segments: [""]))
        #expect(exchange.request.options.path == ["lamp"])
    }

    // MARK: Bodies

    @Test(
        "C-83: a JSON body reaches the device as CBOR 10000",
        arguments: ["application/json", "Application/JSON; charset=utf-8"])
    func json(type: String) throws {
        let exchange = try self.exchange(.post, [.contentType: type], body: #"{"state":true}"#)
        #expect(exchange.request.options.contentFormat == .ocfCBOR)
        #expect(exchange.request.options.ocfVersion == .v1_0_0)
        #expect(
            exchange.request.payload.map { Array($0.readableBytesView) } == [0xA1, 0x65] + Array("state".utf8) + [0xF5])
    }

    @Test(
        "BI-31: what is called JSON and is not one JSON text passes byte for byte",
        arguments: [
            "{\"a\":1} x", "\u{FEFF}{}", "{\"a\":1e999}", "[1,]", "// {}", "\"\\ud800\"",
            String(repeating: "[", count: 100_000),
        ])
    func notJSON(body: String) throws {
        let exchange = try self.exchange(.post, [.contentType: "application/json"], body: body)
        #expect(exchange.request.options.contentFormat == .json)
        #expect(self.payload(exchange) == body)
    }

    @Test("What curl sends by default reaches the device unchanged when it is not JSON, and as CBOR when it is")
    func form() throws {
        let form: HTTPFields = [.contentType: "application/x-www-form-urlencoded"]
        let plain = try self.exchange(.post, form, body: "switch it on")
        #expect(self.payload(plain) == "switch it on")
        #expect(plain.request.options.contentFormat == nil)
        #expect(try self.exchange(.post, form, body: "{}").request.options.contentFormat == .ocfCBOR)
        #expect(try self.exchange(.post, body: "{}").request.options.contentFormat == .ocfCBOR)
    }

    @Test(
        "RFC 8075 §6.2, §6.3: a Content-Type becomes its Content-Format, by the number, the name or the family",
        arguments: [
            ("application/vnd.ocf+cbor", 10000), ("application/cbor", 60), ("text/plain;charset=utf-8", 0),
            ("application/coap-payload;cf=1234", 1234), ("application/senml+json", 110), ("image/png", 23),
            ("application/foo+json", 50), ("application/foo+xml", 41), ("application/foo+cbor", 60), ("text/html", 0),
        ] as [(String, UInt16)])
    func contentFormats(type: String, number: UInt16) throws {
        let exchange = try self.exchange(.post, [.contentType: type], body: "x")
        #expect(exchange.request.options.contentFormat?.rawValue == number)
        #expect(self.payload(exchange) == "x")
    }

    @Test(
        "C-83: a Content-Type without a Content-Format is 415",
        arguments: [
            "image/webp", "multipart/form-data; boundary=x", "application/coap-payload;cf=70000", "nonsense",
            "application/coap-payload",
        ])
    func unsupported(type: String) {
        let problem = #expect(throws: Problem.self) {
            try self.exchange(.post, [.contentType: type], body: "x")
        }
        #expect(problem?.kind == .unsupportedMediaType)
        #expect(problem?.field == "Content-Type")
    }

    @Test("A content-encoded body is 415, identity is none")
    func encoding() throws {
        let problem = #expect(throws: Problem.self) {
            try self.exchange(.post, [.contentEncoding: "gzip"], body: "x")
        }
        #expect(problem?.status == 415)
        #expect(try self.payload(self.exchange(.post, [.contentEncoding: "identity"], body: "x")) == "x")
    }

    @Test(
        "RFC 8075 §5.2: the body of GET, HEAD and DELETE is dropped",
        arguments: [HTTPRequest.Method.get, .head, .delete])
    func droppedBodies(method: HTTPRequest.Method) throws {
        let exchange = try self.exchange(method, [.contentType: "application/json"], body: "{}")
        #expect(exchange.request.payload == nil)
        #expect(exchange.request.options.contentFormat == nil)
    }

    // MARK: Accept

    @Test(
        "RFC 9110 §12.5.1: the range of the highest quality that has a Content-Format is asked for",
        arguments: [
            ("*/*", .json), ("application/json", .json), ("application/*;q=0.1", .json),
            ("text/html, application/json;q=0.5", .json),
            ("application/vnd.ocf+cbor", .raw(.ocfCBOR)), ("application/cbor", .raw(.cbor)),
            ("application/json;q=0.5, text/plain", .raw(.text)),
            ("text/plain;q=0.5, application/json;q=0.50001", .raw(.text)),
            ("text/plain;q=0.4, application/cbor;q=0.5", .raw(.cbor)),
            ("application/coap-payload;cf=11542", .raw(ContentFormat(rawValue: 11542))),
            ("application/json;q=0, */*", .raw(.ocfCBOR)),
            ("", .json),
        ] as [(String, AcceptedFormat)])
    func accept(value: String, expected: AcceptedFormat) throws {
        #expect(try self.exchange(.get, [.accept: value]).accepted == expected)
    }

    @Test(
        "C-83: Accept: text/html is 406",
        arguments: ["text/html", "image/webp, text/html;q=0.9", "*/*;q=0", "nonsense"])
    func notAcceptable(value: String) {
        let problem = #expect(throws: Problem.self) { try self.exchange(.get, [.accept: value]) }
        #expect(problem?.kind == .notAcceptable)
    }

    @Test("BI-23: a version of OCF's payload is named only with OCF's format")
    func versionOnlyWithOCF() throws {
        #expect(try self.exchange(.get, [.accept: "application/cbor"]).request.options.ocfAcceptVersion == nil)
    }

    // MARK: Preconditions

    @Test("C-84: RFC 8075 §5.1: If-None-Match on a GET becomes ETag options; tags we never gave out are left out")
    func ifNoneMatch() throws {
        let exchange = try self.exchange(.get, [.ifNoneMatch: #""0a1B", W/"ff", "not hex", "0123456789abcdef01""#])
        #expect(exchange.request.options.all(.eTag).map(\.bytes) == [[0x0A, 0x1B], [0xFF]])
        #expect(exchange.isConditional)
        #expect(try self.exchange(.get, [.ifNoneMatch: "*"]).isConditional == false)
    }

    @Test("RFC 7252 §5.10.8: `*` on a write is option 5; other tags there are 400, never dropped")
    func ifNoneMatchOnWrites() throws {
        #expect(try self.exchange(.put, [.ifNoneMatch: "*"]).request.options.contains(.ifNoneMatch))
        #expect(throws: Problem.self) { try self.exchange(.put, [.ifNoneMatch: #""0a""#]) }
    }

    @Test("BI-63: RFC 7252 §5.10.8.1: If-Match carries its tags, `*` as an empty one; what cannot match is 412")
    func ifMatch() throws {
        let tags = try self.exchange(.post, [.ifMatch: #""0a", *, W/"0b""#]).request.options.all(.ifMatch)
        #expect(tags.map(\.bytes) == [[0x0A], []])
        let problem = #expect(throws: Problem.self) { try self.exchange(.post, [.ifMatch: #""stale tag""#]) }
        #expect(problem?.status == 412)
    }

    @Test(
        "An entity tag without quotes, and too many of them, are 400 and name the header field",
        arguments: [
            "0a", #"W/0a"#, Array(repeating: #""0a""#, count: 17).joined(separator: ","),
        ])
    func malformedTags(value: String) {
        let problem = #expect(throws: Problem.self) { try self.exchange(.get, [.ifNoneMatch: value]) }
        #expect(problem?.kind == .badHeader)
        #expect(problem?.field == "If-None-Match")
    }
}
