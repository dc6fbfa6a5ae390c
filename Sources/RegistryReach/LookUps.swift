import Synchronization

/// Where lookups in a shared cache cross from event loops into tasks: a bounded queue and a fixed number of workers.
/// What does not fit, or comes when nobody works, is skipped at once; nothing waits for a cache.
final class LookUps: Sendable {
    struct Job: Sendable {
        let run: @Sendable () async -> Void
        /// Called instead of `run` when there is no worker any more.
        let skip: @Sendable () -> Void
    }

    private struct State {
        var queue: [Job] = []
        var idle: [CheckedContinuation<Job?, Never>] = []
        var isOpen = false
    }

    private let state = Mutex(State())
    private let capacity: Int
    private let workers: Int

    init(capacity: Int = 1024, workers: Int = 64) {
        self.capacity = capacity
        self.workers = workers
    }

    /// - Returns: false if the job was not taken: neither of its closures is called.
    func submit(_ job: Job) -> Bool {
        let (isTaken, worker) = self.state.withLock { state -> (Bool, CheckedContinuation<Job?, Never>?) in
            guard state.isOpen else { return (false, nil) }
            if let worker = state.idle.popLast() { return (true, worker) }
            guard state.queue.count < self.capacity else { return (false, nil) }
            state.queue.append(job)
            return (true, nil)
        }
        worker?.resume(returning: job)
        return isTaken
    }

    /// Works until it is cancelled.
    func run() async {
        self.state.withLock { $0.isOpen = true }
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                for _ in 0..<self.workers {
                    group.addTask {
                        while let job = await self.next() { await job.run() }
                    }
                }
            }
        } onCancel: {
            self.close()
        }
        self.close()
    }

    private func next() async -> Job? {
        await withCheckedContinuation { continuation in
            let next: Job?? = self.state.withLock { state in
                guard state.isOpen else { return .some(nil) }
                guard state.queue.isEmpty else { return .some(state.queue.removeFirst()) }
                state.idle.append(continuation)
                return nil
            }
            if let next { continuation.resume(returning: next) }
        }
    }

    private func close() {
        let (idle, queue) = self.state.withLock { state in
            state.isOpen = false
            defer {
                state.idle = []
                state.queue = []
            }
            return (state.idle, state.queue)
        }
        for worker in idle { worker.resume(returning: nil) }
        for job in queue { job.skip() }
    }
}
