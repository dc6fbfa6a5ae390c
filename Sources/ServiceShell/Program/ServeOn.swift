package import Logging
import ServiceLifecycle
import Synchronization

/// Lets a program serve on for a while once it is to stop: it is not ready any more, and whoever sends it work hears of
/// that late. It stands last among the services, so that all others run on until then.
package final class ServeOn: Service {
    private let time: Duration
    private let readiness: Readiness
    private let hurry: Hurry
    private let logger: Logger
    private let begin: @Sendable () -> Void
    private let finish: @Sendable () async -> Void
    private let phase = Mutex<String?>(nil)

    /// - Parameters:
    ///   - time: how long; zero: not at all, and nothing else is done.
    ///   - hurry: ends it at once.
    ///   - begin: called when the program is not ready any more.
    ///   - finish: called when nobody new is expected.
    package init(
        for time: Duration, readiness: Readiness, hurry: Hurry, logger: Logger,
        begin: @escaping @Sendable () -> Void = {}, finish: @escaping @Sendable () async -> Void = {}
    ) {
        self.time = time
        self.readiness = readiness
        self.hurry = hurry
        self.logger = logger
        self.begin = begin
        self.finish = finish
    }

    /// How far it is; nil before it began.
    package var status: DrainStatus? { self.phase.withLock { $0 }.map { DrainStatus(phase: $0) } }

    package func run() async throws {
        try? await gracefulShutdown()
        guard self.time > .zero else { return }
        await self.hurry.cancels {
            self.phase.withLock { $0 = "serving" }
            self.readiness.fail("draining", "this process stops, and still serves")
            self.logger.info("draining: this process is not ready any more, and serves on")
            self.begin()
            // A cancelled sleep ends at once.
            try? await Task.sleep(for: self.time)
            guard !Task.isCancelled else { return self.logger.info("draining cut short") }
            self.phase.withLock { $0 = "finishing" }
            self.logger.info("draining: what is in progress is finished")
            await self.finish()
            self.logger.info("drained")
        }
    }
}
