import NIOCore

/// Runs the tasks of connections on the event loop that reads and writes them: a request that comes in on it goes on
/// there at once, where the default executor would be another thread that has to be woken first, and the loop again for
/// the answer.
///
/// What a request computes is bounded by what it may bring along. What has no end, such as an event stream, belongs on
/// the default executor, and so does whatever makes its thread wait.
final class LoopTasks: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.eventLoop.execute {
            job.runSynchronously(on: self.asUnownedTaskExecutor())
        }
    }
}
