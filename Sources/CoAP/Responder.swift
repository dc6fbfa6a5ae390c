/// The one seam between the parts of the gateway: something that answers a CoAP request, in this process or across
/// a connection, without the caller knowing which.
///
/// A responder calls `answer` **exactly once**, on any thread, and soon after the request's `Deadline` at the
/// latest. It never throws: failure is a response like any other.
package protocol Responder: Sendable {
    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void)

    /// Answers a GET that registers (Observe 0), and goes on telling what changes (RFC 7641 §3.1).
    ///
    /// `event` is called one at a time, on any thread; the first comes as soon as an answer to `respond` would. Unless
    /// it is cancelled, an observation ends with exactly one `ended`. What cannot be observed is answered once: its
    /// first event is its end, which is how a server says so (RFC 7641 §4.1).
    func observe(_ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void) -> ObservationHandle
}

extension Responder {
    package func observe(
        _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        var plain = request
        plain.options.observe = nil
        self.respond(to: plain) { event(.ended($0)) }
        return ObservationHandle {}
    }

    /// The same for straight-line code. Cancelling the task does not withdraw the request: what was sent to a device
    /// cannot be called back, and its token stays taken until the answer or the deadline.
    package func respond(to request: Request) async -> Response {
        await withCheckedContinuation { continuation in
            self.respond(to: request) { continuation.resume(returning: $0) }
        }
    }
}
