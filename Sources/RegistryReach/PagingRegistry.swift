import CBOR
package import CoAP
import NIOCore
import OCF
import Synchronization

/// The registry for those who want one answer: what it gives page by page is joined, within the request's deadline.
package final class PagingRegistry: Responder {
    package struct Limits: Hashable, Sendable {
        /// What all pages of one answer may have, in bytes of payload.
        package var bytes: Int
        /// How many links or devices one answer may have.
        package var items: Int
        /// How many pages one answer may have: some may be empty.
        package var pages: Int
        /// How many answers may be joined at once.
        package var joins: Int

        package init(bytes: Int = 8 << 20, items: Int = 10_000, pages: Int = 1024, joins: Int = 32) {
            self.bytes = bytes
            self.items = items
            self.pages = pages
            self.joins = joins
        }
    }

    /// One answer while its pages come in.
    private struct Join: Sendable {
        let request: Request
        let started: ContinuousClock.Instant
        let answer: @Sendable (Response) -> Void
        var joined = JoinedPages()
        var bytes = 0
        var pages = 0
    }

    private let transport: any Responder
    private let limits: Limits
    private let joins = Mutex(0)

    package init(_ transport: any Responder, limits: Limits = Limits()) {
        self.transport = transport
        self.limits = limits
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let started = ContinuousClock.now
        self.transport.respond(to: request) { response in
            guard response.options.page != nil else { return answer(response) }
            let isAllowed = self.joins.withLock { joins in
                guard joins < self.limits.joins else { return false }
                joins += 1
                return true
            }
            guard isAllowed else {
                return answer(
                    Response(
                        .serviceUnavailable, diagnostic: "too many long lists are being read: try again", maxAge: 1))
            }
            let join = Join(request: request, started: started) { response in
                self.joins.withLock { $0 -= 1 }
                answer(response)
            }
            self.add(response, to: join)
        }
    }

    private func add(_ response: Response, to join: Join) {
        guard response.code == .content else { return join.answer(response) }
        var join = join
        join.pages += 1
        join.bytes += response.payload?.readableBytes ?? 0
        guard let page = try? response.item(), join.joined.add(page), join.pages <= self.limits.pages else {
            return join.answer(
                Response(.badGateway, diagnostic: "a page of the registry cannot be read: see its version and log"))
        }
        guard join.bytes <= self.limits.bytes, join.joined.count <= self.limits.items else {
            var refusal = Response(
                .requestEntityTooLarge,
                diagnostic:
                    "there are more than \(self.limits.items) links, or \(self.limits.bytes >> 20) MiB of them: "
                    + "ask for some devices with di=…")
            refusal.options.errorField = "di"
            return join.answer(refusal)
        }
        guard let cursor = response.options.page else {
            guard let negotiation = try? Negotiation(join.request) else { return join.answer(response) }
            return join.answer(negotiation.response(.content, join.joined.item))
        }
        guard var next = join.request.later(by: ContinuousClock.now - join.started) else {
            return join.answer(.late)
        }
        next.options.page = cursor
        self.transport.respond(to: next) { [join] response in self.add(response, to: join) }
    }
}
