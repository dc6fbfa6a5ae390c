import NIOCore
import NIOPosix

/// How a run waits: some time, or until something is so.
enum Patience {
    /// A phase lasts so long.
    static func pass(_ time: Duration) async throws {
        let timer = MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: TimeAmount(time)) {}
        try await withTaskCancellationHandler {
            try await timer.futureResult.get()
        } onCancel: {
            timer.cancel()
        }
    }

    /// Looks five times a second, until it is so.
    /// - Returns: how long it took.
    /// - Throws: ``RunError`` if it was not so in time.
    @discardableResult
    static func until(
        _ what: String, within patience: Duration, _ isSo: () async throws -> Bool
    ) async throws -> Duration {
        let begun = ContinuousClock.now
        while try await !isSo() {
            guard ContinuousClock.now - begun < patience else {
                throw RunError("Not within \(patience): \(what). The logs of all processes are in the run's folder.")
            }
            try await self.pass(.milliseconds(200))
        }
        return ContinuousClock.now - begun
    }
}
