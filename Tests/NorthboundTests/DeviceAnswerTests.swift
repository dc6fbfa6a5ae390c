import Cloud
import CoAP
import HTTPTypes
import NIOCore
import Testing

@testable import Northbound

@Suite("CoAP answers as HTTP")
struct DeviceAnswerTests {
    private func exchange(
        _ method: HTTPRequest.Method = .get, _ fields: HTTPFields = [:]
    ) throws(Problem) -> DeviceExchange {
        try DeviceExchange(
            DeviceHTTPRequest(method: method, device: DeviceID(stored: "lamp"), segments: ["light"], fields: fields))
    }

    private func response(
        _ code: Code, _ format: ContentFormat? = nil, _ bytes: [UInt8]? = nil, maxAge: UInt32? = nil
    ) -> CoAP.Response {
        var options = Options()
        options.contentFormat = format
        options.maxAge = maxAge
        return CoAP.Response(code, options: options, payload: bytes.map { ByteBuffer(bytes: $0) })
    }

    private func status(_ code: Code, _ exchange: DeviceExchange, payload: [UInt8]? = nil) -> Int {
        do throws(Problem) {
            return try HTTPAnswer(
                device: self.response(code, payload == nil ? nil : .ocfCBOR, payload), to: exchange
            ).status
        } catch {
            return error.status
        }
    }

    @Test(
        "C-81: RFC 8075 §7 table 2: every code has its status",
        arguments: [
            (Code.created, 201), (.deleted, 204), (.changed, 204), (.valid, 200), (.content, 200), (Code(2, 30), 200),
            (.continue, 502), (.badRequest, 400), (.unauthorized, 403), (.badOption, 500), (.forbidden, 403),
            (.notFound, 404), (.methodNotAllowed, 400), (.notAcceptable, 406), (.requestEntityIncomplete, 502),
            (.conflict, 409), (.preconditionFailed, 412), (.requestEntityTooLarge, 413),
            (.unsupportedContentFormat, 415), (.unprocessableEntity, 422), (.tooManyRequests, 429),
            (.internalServerError, 500), (.notImplemented, 501), (.badGateway, 502), (.serviceUnavailable, 503),
            (.gatewayTimeout, 504), (.proxyingNotSupported, 502), (.hopLimitReached, 502), (Code(4, 30), 400),
            (Code(5, 30), 502), (Code(3, 1), 502), (Code(7, 1), 502), (.get, 502), (.empty, 502),
        ])
    func statuses(code: Code, status: Int) throws {
        #expect(self.status(code, try self.exchange()) == status)
    }

    @Test("C-81: 2.02 and 2.04 with content are 200", arguments: [Code.deleted, .changed])
    func withContent(code: Code) throws {
        #expect(self.status(code, try self.exchange(.post), payload: [0xA0]) == 200)
    }

    @Test("BI-42: 2.05 to an UPDATE is 200 with its content")
    func contentToUpdate() throws {
        #expect(self.status(.content, try self.exchange(.post), payload: [0xA0]) == 200)
    }

    @Test("C-84: 2.03 to a conditional request is 304 without a body, with the ETag")
    func notModified() throws {
        var response = self.response(.valid, .ocfCBOR, [0xA0])
        response.options.append(.eTag, bytes: [0x0A, 0xFF])
        let exchange = try self.exchange(.get, [.ifNoneMatch: #""0aff""#])
        let answer = try HTTPAnswer(device: response, to: exchange)
        #expect(answer.status == 304)
        #expect(answer.body.readableBytes == 0)
        #expect(answer.fields[.eTag] == #""0aff""#)
        #expect(answer.fields[.contentType] == nil)
    }

    @Test(
        "RFC 8075 §7: 4.02 is the client's fault where its header fields became critical options, else ours",
        arguments: [
            ([.ifMatch: "*"], 400), ([.accept: "application/cbor"], 400), ([:], 500),
        ] as [(HTTPFields, Int)])
    func badOption(fields: HTTPFields, status: Int) throws {
        #expect(self.status(.badOption, try self.exchange(.post, fields)) == status)
    }

    @Test("C-86: the device's own 4.01 is 403, told as the device's")
    func deviceUnauthorized() throws {
        let exchange = try self.exchange()
        let problem = #expect(throws: Problem.self) {
            try HTTPAnswer(device: self.response(.unauthorized), to: exchange)
        }
        #expect(problem?.status == 403)
        #expect(problem?.kind == .deviceAnswer)
        #expect(problem?.deviceCode == .unauthorized)
    }

    @Test(
        "RFC 8075 §7: 5.03 and 4.29 carry Max-Age as Retry-After",
        arguments: [Code.serviceUnavailable, .tooManyRequests])
    func retryAfter(code: Code) throws {
        let exchange = try self.exchange()
        let problem = #expect(throws: Problem.self) {
            try HTTPAnswer(device: self.response(code, maxAge: 7), to: exchange)
        }
        #expect(problem?.retryAfter == 7)
        let typed = try HTTPAnswer(device: self.response(code, .ocfCBOR, [0xA0], maxAge: 7), to: exchange)
        #expect(typed.fields[.retryAfter] == "7")
    }

    @Test("RFC 7252 §5.5.2: a diagnostic text becomes the problem's detail; typed content of an error stays content")
    func diagnostics() throws {
        let exchange = try self.exchange()
        let problem = #expect(throws: Problem.self) {
            try HTTPAnswer(device: self.response(.notFound, nil, Array("no such lamp".utf8)), to: exchange)
        }
        #expect(problem?.detail.hasPrefix("The device answered 4.04 Not Found: no such lamp.") == true)
        let typed = try HTTPAnswer(
            device: self.response(.badRequest, .ocfCBOR, [0xA1, 0x61, 0x61, 0x01]), to: exchange)
        #expect(typed.status == 400)
        #expect(String(buffer: typed.body) == #"{"a":1}"#)
        let bytes = try HTTPAnswer(device: self.response(.badRequest, nil, [0xFF, 0x00]), to: exchange)
        #expect(bytes.fields[.contentType] == "application/octet-stream")
    }

    // MARK: Content

    @Test("One CBOR item becomes JSON, in format 10000 and in 60", arguments: [ContentFormat.ocfCBOR, .cbor])
    func json(format: ContentFormat) throws {
        let answer = try HTTPAnswer(
            device: self.response(.content, format, [0xBF, 0x61, 0x61, 0xF5, 0xFF]), to: try self.exchange())
        #expect(String(buffer: answer.body) == #"{"a":true}"#)
        #expect(answer.fields[.contentType] == "application/json")
    }

    @Test("The older mock device: 2.03, format 10000, 33 bytes of text that begin like CBOR arrive as those bytes, 200")
    func oldMockDevice() throws {
        let text = "test response payload from device"
        let answer = try HTTPAnswer(
            device: self.response(.valid, .ocfCBOR, Array(text.utf8)), to: try self.exchange(.post))
        #expect(answer.status == 200)
        #expect(String(buffer: answer.body) == text)
        #expect(text.utf8.count == 33)
        #expect(answer.fields[.contentType] == "text/plain;charset=utf-8")
    }

    @Test(
        "BI-28: CBOR that is not one valid item passes byte for byte",
        arguments: [
            [0x9F, 0x01], [0xA1, 0x61], [0x01, 0x02], [0xA2, 0x61, 0x61, 0x01, 0x61, 0x61, 0x02],
            Array(repeating: 0x81, count: 10_000),
        ] as [[UInt8]])
    func invalidCBOR(bytes: [UInt8]) throws {
        let answer = try HTTPAnswer(device: self.response(.content, .ocfCBOR, bytes), to: try self.exchange())
        #expect(Array(answer.body.readableBytesView) == bytes)
        #expect(answer.fields[.contentType] != "application/json")
    }

    @Test("Whoever asks for CBOR gets the device's bytes under their own type")
    func raw() throws {
        let bytes: [UInt8] = [0xA1, 0x61, 0x61, 0x01]
        let exchange = try self.exchange(.get, [.accept: "application/vnd.ocf+cbor"])
        let answer = try HTTPAnswer(device: self.response(.content, .ocfCBOR, bytes), to: exchange)
        #expect(Array(answer.body.readableBytesView) == bytes)
        #expect(answer.fields[.contentType] == "application/vnd.ocf+cbor")
    }

    @Test(
        "RFC 8075 §6.1: other formats have their media type, unknown ones their number",
        arguments: [
            (0, "text/plain;charset=utf-8"), (50, "application/json"), (12345, "application/coap-payload;cf=12345"),
        ]
            as [(UInt16, String)])
    func mediaTypes(number: UInt16, type: String) throws {
        let answer = try HTTPAnswer(
            device: self.response(.content, ContentFormat(rawValue: number), [0x31]), to: try self.exchange())
        #expect(answer.fields[.contentType] == type)
    }

    // MARK: Options

    @Test("Max-Age is Cache-Control; without one nothing is kept")
    func caching() throws {
        let exchange = try self.exchange()
        let kept = try HTTPAnswer(device: self.response(.content, .ocfCBOR, [0xA0], maxAge: 5), to: exchange)
        #expect(kept.fields[.cacheControl] == "max-age=5")
        let other = try HTTPAnswer(device: self.response(.content, .ocfCBOR, [0xA0]), to: exchange)
        #expect(other.fields[.cacheControl] == "no-store")
    }

    @Test("RFC 8075 §7: 2.01 has its Location below the device's id, percent-encoded")
    func location() throws {
        var response = self.response(.created)
        response.options.append(.locationPath, string: "scenes")
        response.options.append(.locationPath, string: "a/b ä")
        response.options.append(.locationQuery, string: "if=oic.if.rw")
        let answer = try HTTPAnswer(device: response, to: try self.exchange(.post))
        #expect(answer.fields[.location] == "/lamp/scenes/a%2Fb%20%C3%A4?if=oic.if.rw")
    }

    @Test("C-73: RFC 7252 §5.4.1: an answer with an unknown critical option is 502; an unknown elective one is nothing")
    func unknownOptions() throws {
        var critical = self.response(.content, .ocfCBOR, [0xA0])
        critical.options.append(OptionNumber(rawValue: 65001))
        let exchange = try self.exchange()
        let problem = #expect(throws: Problem.self) { try HTTPAnswer(device: critical, to: exchange) }
        #expect(problem?.kind == .badDeviceAnswer)
        var elective = self.response(.content, .ocfCBOR, [0xA0])
        elective.options.append(OptionNumber(rawValue: 65000))
        #expect(try HTTPAnswer(device: elective, to: exchange).status == 200)
    }

    @Test("RFC 7959 §2.2: a block that is not the last is no answer")
    func partOfAnAnswer() throws {
        var part = self.response(.content, .ocfCBOR, [0xA0])
        part.options.append(.block2, uint: 0x0E)
        let exchange = try self.exchange()
        #expect(throws: Problem.self) { try HTTPAnswer(device: part, to: exchange) }
        var whole = self.response(.content, .ocfCBOR, [0xA0])
        whole.options.append(.block2, uint: 0x06)
        #expect(try HTTPAnswer(device: whole, to: exchange).status == 200)
    }
}
