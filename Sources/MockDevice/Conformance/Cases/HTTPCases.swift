import CBOR
import CoAP
import NIOCore

/// Ideas 81–87: devices over HTTP.
let httpCases: [ConformanceCase] = [
    ConformanceCase(
        81, .http, "RFC 8075 §7",
        "when the device answers a code, then HTTP has the status that belongs to it", needs: [.http]
    ) { context in
        let device = try await context.session("device")
        let token = try context.userToken()
        let rows: [(Code, Bool, Set<Int>)] = [
            (.created, false, [201]), (.deleted, false, [204]), (.changed, false, [204]), (.changed, true, [200]),
            (.content, true, [200]), (.badRequest, false, [400]), (.unauthorized, false, [403]),
            (.badOption, false, [400, 500]), (.forbidden, false, [403]), (.notFound, false, [404]),
            (.methodNotAllowed, false, [400, 405]), (.notAcceptable, false, [406]),
            (.requestEntityIncomplete, false, [502]), (.conflict, false, [409]),
            (.preconditionFailed, false, [412]), (.requestEntityTooLarge, false, [413]),
            (.unsupportedContentFormat, false, [415]), (.unprocessableEntity, false, [422]),
            (.tooManyRequests, false, [429]), (.internalServerError, false, [500]), (.notImplemented, false, [501]),
            (.badGateway, false, [502]), (.serviceUnavailable, false, [503]), (.gatewayTimeout, false, [504]),
            (.proxyingNotSupported, false, [502]), (.hopLimitReached, false, [502, 508]), (Code(4, 30), false, [400]),
            (Code(5, 30), false, [502]),
        ]
        for (code, hasPayload, statuses) in rows {
            let (_, answer) = try await exchange(context, device, "POST", token: token) { _ in
                var response = hasPayload ? Response.content(["value": true]) : Response(code)
                response.code = code
                return response
            }
            try context.expect(
                statuses.contains(answer.status), "\(statuses.sorted()) for \(code)", "\(answer.status) \(answer.text)")
        }
    },
    ConformanceCase(
        82, .http, "RFC 8075 §5.3.1",
        "when GET /{di}/a%2Fb/c comes, then the device sees two segments, a/b and c", needs: [.http]
    ) { context in
        let device = try await context.session("device")
        let (request, answer) = try await exchange(
            context, device, "GET", "a%2Fb/c/light?x=1%262", token: try context.userToken()
        ) { _ in .content(["value": true]) }
        try context.expect(
            request.options.path == ["a/b", "c", "light"], "the segments a/b, c, light", summary(of: request))
        try context.expect(request.options.queries == ["x=1&2"], "the query x=1&2", summary(of: request))
        try context.expect(answer.status == 200, "200", "\(answer.status) \(answer.text)")
    },
    ConformanceCase(
        83, .http, "RFC 8075 §6",
        "when JSON is posted, then the device sees CBOR 10000; a media type nobody knows is 415, an Accept nobody can meet 406",
        needs: [.http]
    ) { context in
        let device = try await context.session("device")
        let token = try context.userToken()
        let (request, answer) = try await exchange(
            context, device, "POST", token: token, headers: [("Content-Type", "application/json")],
            body: #"{"value": true, "n": 7}"#
        ) { _ in
            var response = Response.content(["value": true])
            response.code = .changed
            return response
        }
        try context.expect(
            request.options.contentFormat == .ocfCBOR && request.item == ["value": true, "n": 7],
            "{value: true, n: 7} as CBOR, Content-Format 10000", summary(of: request))
        try context.expect(
            answer.status == 200 && answer.json == ["value": true], "200 {\"value\":true}",
            "\(answer.status) \(answer.text)")
        let media = try await context.http(
            "POST", "/\(device.di)/light", token: token, headers: [("Content-Type", "application/x-conformance")],
            body: "x")
        try context.expect(media.status == 415, "415 to an unknown media type", "\(media.status) \(media.text)")
        let accept = try await context.http(
            "GET", "/\(device.di)/light", token: token, headers: [("Accept", "text/html")])
        try context.expect(accept.status == 406, "406 to Accept: text/html", "\(accept.status) \(accept.text)")
        try await device.peer.silence("what was refused did not reach the device", about: "light")
    },
    ConformanceCase(
        84, .http, "RFC 9110 §13.1.2",
        "given an ETag, when it comes back in If-None-Match and the device says 2.03, then 304 without content",
        needs: [.http]
    ) { context in
        let device = try await context.session("device")
        let token = try context.userToken()
        let (_, first) = try await exchange(context, device, "GET", token: token) { _ in
            var response = Response.content(["value": true])
            response.options.append(.eTag, bytes: [0xAB, 1])
            return response
        }
        let tag = first["etag"] ?? ""
        try context.expect(tag.hasPrefix("\"") && tag.count > 2, "an ETag in quotes", tag.isEmpty ? "none" : tag)
        let (request, second) = try await exchange(
            context, device, "GET", token: token, headers: [("If-None-Match", tag)]
        ) { _ in
            var response = Response(.valid)
            response.options.append(.eTag, bytes: [0xAB, 1])
            return response
        }
        try context.expect(request.options.first(.eTag)?.bytes == [0xAB, 1], "ETag ab01", summary(of: request))
        try context.expect(
            second.status == 304 && second.body.readableBytes == 0, "304 without content",
            "\(second.status) \(second.text)")
    },
    ConformanceCase(
        85, .http, "RFC 9110 §9.3.2",
        "when HEAD is asked, then the header of GET without content; when OPTIONS, then 501 or an answer about CORS",
        needs: [.http]
    ) { context in
        let device = try await context.session("device")
        let token = try context.userToken()
        let (request, answer) = try await exchange(context, device, "HEAD", token: token) { _ in
            .content(["value": true])
        }
        try context.expect(request.code == .get, "GET at the device", summary(of: request))
        try context.expect(
            answer.status == 200 && answer.body.readableBytes == 0 && answer["content-type"] != nil,
            "200 with a Content-Type, without content", "\(answer.status) \(answer.headers) \(answer.text)")
        let options = try await context.http("OPTIONS", "/\(device.di)/light", token: token)
        try context.expect(
            [200, 204, 501].contains(options.status), "501, or 200 or 204 about CORS", "\(options.status)")
        try await device.peer.silence("OPTIONS does not reach the device", about: "light")
    },
    ConformanceCase(
        86, .http, "RFC 9110 §11.6.1",
        "when there is no bearer token, then 401 with WWW-Authenticate; when the device itself says 4.01, then 403",
        needs: [.http]
    ) { context in
        let device = try await context.session("device")
        for token in [nil, "wrong"] {
            let answer = try await context.http("GET", "/\(device.di)/light", token: token)
            try context.expect(
                answer.status == 401 && answer["www-authenticate"]?.contains("Bearer") ?? false,
                "401 with WWW-Authenticate: Bearer", "\(answer.status) \(answer.headers)")
        }
        let (_, answer) = try await exchange(context, device, "GET", token: try context.userToken()) { _ in
            Response(.unauthorized)
        }
        try context.expect(answer.status == 403, "403 for the device's own 4.01", "\(answer.status) \(answer.text)")
    },
    ConformanceCase(
        87, .http, "RFC 9110 §9.2.2",
        "when 200 clients hang up before the answer, then the device can still be asked", needs: [.http]
    ) { context in
        let device = try await context.session("device")
        let token = try context.userToken()
        guard let door = context.plan.http else { throw CaseSkip("needs --http") }
        let tls = door.isSecure ? try context.plan.tlsContext() : nil
        let text = door.text("GET", "/\(device.di)/light", token: token, headers: [], body: nil)
        for _ in 0..<200 {
            let stream = try await door.open(tls: tls, clock: context.clock)
            await stream.send(ByteBuffer(string: text))
            let request = try await device.peer.request(about: "light")
            await stream.close()
            await device.peer.answer(request, .content(["value": true]))
        }
        let (_, answer) = try await exchange(context, device, "GET", token: token) { _ in .content(["value": true]) }
        try context.expect(answer.status == 200, "200 after 200 that hung up", "\(answer.status) \(answer.text)")
    },
]

/// One request over HTTP that the device sees and answers.
func exchange(
    _ context: CaseContext, _ device: CaseContext.Session, _ method: String, _ path: String = "light", token: String,
    headers: [(String, String)] = [], body: String? = nil, _ respond: (Message) -> Response
) async throws -> (Message, HTTPAnswer) {
    async let answer = context.http(method, "/\(device.di)/\(path)", token: token, headers: headers, body: body)
    let request = try await device.peer.request(about: "light")
    await device.peer.answer(request, respond(request))
    return (request, try await answer)
}
