import CoAP
import NIOCore
import ServiceLifecycle
import Synchronization

/// Where requests cross from event loops into tasks: a bounded queue, and a fixed number of workers.
///
/// Whoever hands a request in gets exactly one answer: from the handler, or 5.03 when the queue is full, the deadline
/// passed before a worker was free, or the dispatcher ended. What was too late or refused was never acted on.
final class Dispatcher: Service {
    private struct Job: Sendable {
        let request: Request
        let deadline: ContinuousClock.Instant?
        let answer: @Sendable (Response) -> Void
    }

    private struct State {
        var queue = CircularBuffer<Job>()
        var idle: [CheckedContinuation<Job?, Never>] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let capacity: Int
    private let workers: Int
    private let handler: @Sendable (Request) async -> Response

    /// - Parameters:
    ///   - capacity: requests that may wait.
    ///   - workers: requests in work at once.
    init(capacity: Int, workers: Int, handler: @escaping @Sendable (Request) async -> Response) {
        self.capacity = capacity
        self.workers = workers
        self.handler = handler
    }

    /// Requests that wait for a worker.
    var queueLength: Int { self.state.withLock { $0.queue.count } }

    func submit(_ request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let deadline = request.options.deadlineMilliseconds.map { ContinuousClock.now + .milliseconds($0) }
        let job = Job(request: request, deadline: deadline, answer: answer)
        enum Decision {
            case hand(to: CheckedContinuation<Job?, Never>)
            case queued
            case full
            case closed
        }
        let decision: Decision = self.state.withLock { state in
            if state.isClosed { return .closed }
            if let worker = state.idle.popLast() { return .hand(to: worker) }
            guard state.queue.count < self.capacity else { return .full }
            state.queue.append(job)
            return .queued
        }
        switch decision {
        case .hand(let worker): worker.resume(returning: job)
        case .queued: break
        case .full: answer(Self.refusal("the registry has too many requests waiting: try again", .queueFull))
        case .closed: answer(Self.refusal("the registry is shutting down: try again", .queueFull))
        }
    }

    /// Works until the service is shut down: gracefully, then what waits is still answered; by cancellation, then it
    /// gets 5.03.
    func run() async {
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await withDiscardingTaskGroup { group in
                    for _ in 0..<self.workers {
                        group.addTask { await self.work() }
                    }
                }
            } onGracefulShutdown: {
                self.close(answeringQueued: false)
            }
        } onCancel: {
            self.close(answeringQueued: true)
        }
        self.close(answeringQueued: true)
    }

    private func work() async {
        while let job = await self.next() {
            if let deadline = job.deadline, ContinuousClock.now >= deadline {
                job.answer(Self.refusal("the deadline passed before the registry could look: try again", .late))
            } else {
                job.answer(await self.handler(job.request))
            }
        }
    }

    private func next() async -> Job? {
        await withCheckedContinuation { continuation in
            let next: Job?? = self.state.withLock { state in
                if let job = state.queue.popFirst() { return job }
                if state.isClosed { return .some(nil) }
                state.idle.append(continuation)
                return nil
            }
            if let next { continuation.resume(returning: next) }
        }
    }

    private func close(answeringQueued: Bool) {
        let (idle, waiting) = self.state.withLock { state in
            state.isClosed = true
            let idle = state.idle
            state.idle = []
            let waiting = answeringQueued ? Array(state.queue) : []
            if answeringQueued { state.queue.removeAll() }
            return (idle, waiting)
        }
        for worker in idle {
            worker.resume(returning: nil)
        }
        for job in waiting {
            job.answer(Self.refusal("the registry is shutting down: try again", .queueFull))
        }
    }

    private static func refusal(_ diagnostic: String, _ reason: Undelivered) -> Response {
        var response = Response(.serviceUnavailable, diagnostic: diagnostic, maxAge: 1)
        response.options.undelivered = reason
        return response
    }
}
