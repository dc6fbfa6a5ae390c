import Cloud
import CoAP
import HTTPTypes
import NIOCore
import ServiceShell

// Requests that must not be delivered twice (`Idempotency-Key`).
extension NorthboundResponder {
    private static let field = fieldName("Idempotency-Key")
    /// Says that the answer is the one that was given before.
    private static let replayed = fieldName("Idempotent-Replayed")

    /// The request as its client named it; nil if he did not, and where asking again does no harm.
    static func keyed(_ scope: RequestScope, body: ByteBuffer) throws(Problem) -> KeyedRequest? {
        let values = scope.fields[values: Self.field]
        guard let first = values.first, scope.method != .get, scope.method != .head else { return nil }
        guard values.count == 1 else { throw .header("Idempotency-Key", "stands there twice") }
        // A string of RFC 9651 has quotes; most clients leave them out.
        let isQuoted = first.count >= 2 && first.hasPrefix("\"") && first.hasSuffix("\"")
        let key = isQuoted ? String(first.dropFirst().dropLast()) : first
        guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .header("Idempotency-Key", "has not 1 to 255 visible ASCII characters")
        }
        // In none of these stands a zero.
        let head =
            [scope.method.rawValue, scope.fields[.contentType] ?? ""] + scope.target.segments
            + ["?"] + scope.target.queries
        return KeyedRequest(
            key, of: try scope.authenticated(),
            content: Array(head.joined(separator: "\0").utf8) + [0] + Array(body.readableBytesView))
    }

    /// Answers the request once: the first with this key is delivered, and all get what it got.
    func once(
        _ request: KeyedRequest, _ scope: inout RequestScope,
        deliver: (inout RequestScope) async throws -> HTTPAnswer
    ) async throws -> HTTPAnswer {
        switch try await self.standing(of: request, scope) {
        case .first: break
        case .running: throw Problem(.keyInUse, retryAfter: 1)
        case .different: throw Problem(.keyReused, field: "Idempotency-Key")
        case .tooMany: throw Problem(.tooManyKeys, retryAfter: 60)
        case .unknown: throw Problem(.outcomeUnknown)
        case .answered(let answer):
            var again = HTTPAnswer(answer)
            again.fields[Self.replayed] = "true"
            return again
        }
        let answer: HTTPAnswer
        do {
            answer = try await deliver(&scope)
        } catch let problem as Problem {
            switch scope.delivery {
            case .undelivered: await self.keys.end(request, .undelivered)
            case .unknown: await self.keys.end(request, .unknown)
            default: await self.keys.end(request, .answered(KeyedAnswer(HTTPAnswer(problem, requestID: scope.id))))
            }
            throw problem
        } catch {
            await self.keys.end(request, .unknown)
            throw error
        }
        await self.keys.end(request, .answered(KeyedAnswer(answer)))
        return answer
    }

    private func standing(of request: KeyedRequest, _ scope: RequestScope) async throws(Problem) -> KeyedStanding {
        do {
            return try await self.keys.begin(request, limit: scope.remaining + Self.patience + .seconds(1))
        } catch {
            throw Problem(.keysUnavailable, retryAfter: 5)
        }
    }
}

extension KeyedAnswer {
    fileprivate init(_ answer: HTTPAnswer) {
        self.init(
            status: answer.status, fields: answer.fields.map { Field(name: $0.name.rawName, value: $0.value) },
            body: Array(answer.body.readableBytesView))
    }
}

extension HTTPAnswer {
    fileprivate init(_ answer: KeyedAnswer) {
        self.init(status: answer.status, body: ByteBuffer(bytes: answer.body))
        for field in answer.fields {
            guard let name = HTTPField.Name(field.name) else { continue }
            self.fields.append(HTTPField(name: name, value: field.value))
        }
    }
}
