package import CoAP
import Synchronization

/// Answers for somebody who is not there yet: a port is taken before what is behind it can be had.
package final class LateResponder: Responder {
    private let responder = Mutex<(any Responder)?>(nil)
    private let waiting: String
    /// What callers are told to wait, in seconds.
    private static let comeBackAfter: UInt32 = 2

    /// - Parameter waiting: what callers are told until then.
    package init(waiting: String) {
        self.waiting = waiting
    }

    /// From now on `responder` answers.
    package func becomes(_ responder: any Responder) {
        self.responder.withLock { $0 = responder }
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        if let responder = self.responder.withLock({ $0 }) {
            responder.respond(to: request, answer: answer)
        } else {
            answer(self.notYet)
        }
    }

    package func observe(
        _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        if let responder = self.responder.withLock({ $0 }) { return responder.observe(request, event: event) }
        event(.ended(self.notYet))
        return ObservationHandle {}
    }

    private var notYet: Response {
        var response = Response(.serviceUnavailable, diagnostic: self.waiting)
        response.options.maxAge = Self.comeBackAfter
        // It is not the answer of whoever is meant, and another replica may have one.
        response.options.undelivered = .unreachable
        return response
    }
}
