import CBOR
import CoAP
import HTTPTypes
import OCF
import Testing

@testable import Northbound

@Suite("Problems")
struct ProblemTests {
    @Test(
        "Every answer of the registry has its problem: transient ones are 503, never a refusal",
        arguments: [
            (Code.badRequest, 400, "bad-request"), (.unauthorized, 401, "unauthorized"), (.forbidden, 403, "forbidden"),
            (.notFound, 404, "not-found"), (.conflict, 409, "conflict"), (.tooManyRequests, 429, "too-many-requests"),
            (.serviceUnavailable, 503, "unavailable"), (.badGateway, 503, "unavailable"),
            (.gatewayTimeout, 504, "no-answer"), (.internalServerError, 500, "internal"), (.content, 500, "internal"),
        ])
    func registry(code: Code, status: Int, slug: String) {
        let problem = Problem(registry: RegistryError(code, "what happened"))
        #expect(problem.status == status)
        #expect(problem.kind.slug == slug)
    }

    @Test("The registry's field and wait are passed on; a request it never got is 503 whatever the code")
    func details() {
        let field = Problem(registry: RegistryError(.badRequest, "di is empty", field: "di"))
        #expect(field.kind == .badField)
        #expect(field.field == "di")
        #expect(field.detail == "The field di is empty.")
        let other = Problem(registry: RegistryError(.conflict, "the id x1 is taken", field: "di"))
        #expect(other.detail == "The id x1 is taken.")
        let wait = Problem(registry: RegistryError(.tooManyRequests, "slower", retryAfter: .milliseconds(1500)))
        #expect(wait.retryAfter == 2)
        let lost = Problem(registry: RegistryError(.notFound, "?", undelivered: .late))
        #expect(lost.kind == .unavailable)
        #expect(lost.retryAfter == 5)
    }

    @Test("What the registry says of its own inside is not passed on")
    func internals() {
        for code in [Code.serviceUnavailable, .badGateway, .internalServerError] {
            #expect(!Problem(registry: RegistryError(code, "table users is locked")).detail.contains("table"))
        }
    }

    @Test("RFC 9457 §3: a problem is a JSON object with type, title, status, detail and the request's id")
    func rendering() throws {
        let problem = Problem(.offline, retryAfter: 10)
        let answer = HTTPAnswer(problem, requestID: "r-1")
        let item = try JSONCoding.decode(answer.body)
        #expect(item["type"] == "/errors#offline")
        #expect(item["title"] == .text(ProblemKind.offline.title))
        #expect(item["status"] == 503)
        #expect(item["detail"]?.string?.isEmpty == false)
        #expect(item["request_id"] == "r-1")
        #expect(item["field"] == nil)
        #expect(answer.fields[.contentType] == "application/problem+json")
        #expect(answer.fields[.retryAfter] == "10")
    }

    @Test("RFC 9110 §15.5.2: 401 always has WWW-Authenticate, 405 always Allow")
    func requiredFields() {
        #expect(HTTPAnswer(Problem(.unauthorized), requestID: "x").fields[.wwwAuthenticate] == "Bearer")
        let other = HTTPAnswer(Problem(.methodNotAllowed, allowed: ["GET", "HEAD"]), requestID: "x")
        #expect(other.fields[.allow] == "GET, HEAD")
    }
}
