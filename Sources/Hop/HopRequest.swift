import CoAP
import NIOCore

/// A request on its way over a connection between programs.
struct HopRequest: Sendable {
    let request: Request
    let deadline: NIODeadline
    let size: Int
    /// Set if it registers: then `answer` is how it ends, with which it never begins.
    var observation: NIOLoopBoundBox<HopObservation>?
    /// Called exactly once.
    let answer: @Sendable (Response) -> Void
}
