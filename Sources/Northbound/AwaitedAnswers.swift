import CoAP
import Synchronization

/// Requests that wait for their answer, and until when.
///
/// Whoever is asked knows the deadline and answers by then, so this is only for when it does not, and need not be
/// exact: all are looked through every now and then. A timer for each request would cost more than the rest of the
/// waiting: to cancel it, the event loop looks through those of all connections.
final class AwaitedAnswers: Sendable {
    static let period: Duration = .milliseconds(250)

    private struct Waiting: Sendable {
        let until: ContinuousClock.Instant
        let continuation: CheckedContinuation<Response?, Never>
    }

    private struct State: Sendable {
        var next: UInt64 = 0
        var waiting: [UInt64: Waiting] = [:]
    }

    private let state = Mutex(State())

    /// The answer, nil when there is none shortly after the deadline. A later one falls to the ground: nobody waits for
    /// it any more, least of all the next request.
    func answer(
        to request: Request, from responder: any Responder, until deadline: ContinuousClock.Instant
    ) async -> Response? {
        await withCheckedContinuation { continuation in
            let id = self.state.withLock { state in
                state.next += 1
                state.waiting[state.next] = Waiting(until: deadline, continuation: continuation)
                return state.next
            }
            responder.respond(to: request) { answer in
                self.state.withLock { $0.waiting.removeValue(forKey: id) }?.continuation.resume(returning: answer)
            }
        }
    }

    /// Gives up on those whose time is over, until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.period)
            let now = ContinuousClock.now
            let late = self.state.withLock { state in
                let late = state.waiting.filter { $0.value.until <= now }
                for id in late.keys { state.waiting[id] = nil }
                return late.values
            }
            for waiting in late { waiting.continuation.resume(returning: nil) }
        }
    }
}
