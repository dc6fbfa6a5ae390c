import CBOR
import Cloud
import CoAP
import OCF

/// The change log, and whether logins still stand: for programs that keep sessions or copies.
extension Handlers {
    /// Held until there are changes; does not take a worker.
    @Sendable func changes(_ exchange: Exchange, reply: @escaping @Sendable (Reply) -> Void) throws {
        let request = try ChangesRequest(exchange.request.options)
        let deadline = exchange.request.options.deadlineMilliseconds.map { Duration.milliseconds($0) }
        let clock = self.clock
        self.feed.wait(after: request.after, for: min(request.wait, deadline ?? request.wait)) { outcome in
            reply(Self.reply(outcome, exchange.negotiation, now: clock.now()))
        }
    }

    private static func reply(
        _ outcome: ChangeWaiters.Outcome, _ negotiation: Negotiation, now: Timestamp
    ) -> Reply {
        switch outcome {
        case .page(let page):
            let answer = ChangesAnswer(last: page.last, gap: page.gap, changes: page.changes, now: now)
            return Reply(
                negotiation.response(.content, answer.item), isRoutine: page.changes.isEmpty && !page.gap)
        case .unavailable: return Reply(Self.refusal("the change log cannot be read: try again"))
        case .full: return Reply(Self.refusal("too many programs wait for changes: try again"))
        case .ended: return Reply(Self.refusal("the registry is shutting down: ask another"))
        }
    }

    private static func refusal(_ text: String) -> Response {
        Response(.serviceUnavailable, diagnostic: text, maxAge: 1)
    }

    /// Which logins are over.
    @Sendable func logins(_ exchange: Exchange) async throws -> Reply {
        let request = try LoginsRequest(Negotiation.payload(of: exchange.request))
        let gone = try await self.identity.gone(among: request.logins)
        return Reply(exchange.negotiation.response(.content, GoneLogins(gone).item))
    }
}
