/// The one seam between the parts of the gateway: something that answers a CoAP request, in this process or across
/// a connection, without the caller knowing which.
///
/// A responder calls `answer` **exactly once**, on any thread, and soon after the request's `Deadline` at the
/// latest. It never throws: failure is a response like any other.
package protocol Responder: Sendable {
    func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void)
}

extension Responder {
    /// The same for straight-line code. Cancelling the task does not withdraw the request: what was sent to a device
    /// cannot be called back, and its token stays taken until the answer or the deadline.
    package func respond(to request: Request) async -> Response {
        await withCheckedContinuation { continuation in
            self.respond(to: request) { continuation.resume(returning: $0) }
        }
    }
}
