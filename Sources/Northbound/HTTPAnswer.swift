package import CBOR
import CoAP
package import HTTPTypes
package import NIOCore
import OCF

/// An HTTP response before the connection has its say: what every handler makes.
package struct HTTPAnswer: Hashable, Sendable {
    package var status: Int
    package var fields: HTTPFields
    package var body: ByteBuffer
    /// Stands for the body where it has no end yet.
    package var stream: EventStream?

    package init(status: Int, fields: HTTPFields = [:], body: ByteBuffer = ByteBuffer()) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    /// A JSON body; `no-store`, because most of them hold tokens and none of them keeps.
    package static func json(_ item: DataItem, status: Int = 200) -> HTTPAnswer {
        var answer = HTTPAnswer(status: status, body: Transcoding.json(item))
        answer.fields[.contentType] = "application/json"
        answer.fields[.cacheControl] = "no-store"
        return answer
    }

    /// A document that is part of the program.
    package static func document(_ text: String, type: String) -> HTTPAnswer {
        var answer = HTTPAnswer(status: 200, body: ByteBuffer(string: text))
        answer.fields[.contentType] = type
        answer.fields[.cacheControl] = "max-age=300"
        return answer
    }

    package static let noContent = HTTPAnswer(status: 204)
}

extension HTTPAnswer {
    /// The one place where a problem becomes a response (RFC 9457 §3).
    package init(_ problem: Problem, requestID: String) {
        var members: [DataItem.Pair] = [
            .init("type", .text("/errors#\(problem.kind.slug)")),
            .init("title", .text(problem.kind.title)),
            .init("status", DataItem(integer: Int64(problem.status))),
            .init("detail", .text(problem.detail)),
            .init("request_id", .text(requestID)),
        ]
        if let field = problem.field { members.append(.init("field", .text(field))) }
        if let code = problem.deviceCode { members.append(.init("coap_code", .text(code.description))) }
        self.init(status: problem.status, body: Transcoding.json(.map(members)))
        self.fields[.contentType] = "application/problem+json"
        self.fields[.cacheControl] = "no-store"
        if let seconds = problem.retryAfter { self.fields[.retryAfter] = String(seconds) }
        if problem.status == 401 { self.fields[.wwwAuthenticate] = "Bearer" }
        if !problem.allowed.isEmpty { self.fields[.allow] = problem.allowed.joined(separator: ", ") }
        // What is left of a request nobody will read is not worth reading either.
        if problem.kind.endsConnection { self.fields[.connection] = "close" }
    }
}

extension ProblemKind {
    /// The rest of the request is not read, so nothing more can come over this connection.
    var endsConnection: Bool {
        switch self {
        case .bodyTooLarge, .bodyTimeout, .headerTooLarge, .noRoom: true
        case .badTarget, .badHeader, .badBody, .badField, .badRequest, .unauthorized, .wrongPrincipal, .notYours,
            .forbidden, .registrationClosed, .notFound, .unknownDevice, .methodNotAllowed, .notAcceptable, .conflict,
            .userExists, .preconditionFailed, .targetTooLong, .unsupportedMediaType, .tooManyRequests,
            .tooManyInFlight, .tooManyStreams, .internalError, .methodNotImplemented, .notObservable, .deviceAnswer,
            .badDeviceAnswer, .outcomeUnknown, .offline, .moving, .deviceBusy, .overloaded, .unavailable,
            .routesUnavailable, .noAnswer, .notStored, .keyInUse, .keyReused, .tooManyKeys, .keysUnavailable,
            .signedOut:
            false
        }
    }
}
