import CBOR
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTPTypes
import OCF

extension NorthboundResponder {
    /// The whole body, bounded. Called after admission only.
    ///
    /// - Throws: `bodyTooLarge`, `badRequest` for one that was cut short, `BodyTimeout`, and the parser's errors.
    func body(of scope: RequestScope) async throws -> ByteBuffer {
        let maximum = self.configuration.maximumBodyBytes
        let declared = scope.fields[.contentLength].map { Int($0) ?? .max }
        if let declared, declared > maximum { throw Self.tooLarge(maximum) }
        if scope.fields[.expect]?.lowercased() == "100-continue" {
            // RFC 9110 §10.1.1: the client waits for this word, which it gets only now that it may send.
            scope.channel.writeAndFlush(HTTPResponsePart.head(HTTPResponse(status: .continue)), promise: nil)
        }
        var whole = ByteBuffer()
        for try await var part in scope.body {
            guard whole.readableBytes + part.readableBytes <= maximum else { throw Self.tooLarge(maximum) }
            if whole.readableBytes == 0 { whole = part } else { whole.writeBuffer(&part) }
        }
        // A connection that ends early ends the body early: half a body must not become a command.
        guard declared == nil || declared == whole.readableBytes else {
            throw Problem(.badRequest, "The body is shorter than its Content-Length.")
        }
        return whole
    }

    private static func tooLarge(_ maximum: Int) -> Problem {
        Problem(.bodyTooLarge, "The body is larger than \(maximum) bytes.")
    }

    /// The body as one JSON object, whatever its Content-Type says: `curl -d` calls everything a form.
    func object(of scope: RequestScope) async throws -> DataItem {
        let bytes = try await self.body(of: scope)
        let item: DataItem
        do throws(JSONError) {
            item = try JSONCoding.decode(bytes)
        } catch {
            throw Problem(.badBody, "The body cannot be read: \(error).", field: "body")
        }
        guard case .map = item else {
            throw Problem(.badBody, "The body is \(item.kind), not an object.", field: "body")
        }
        return item
    }
}
