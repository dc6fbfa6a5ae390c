package import Cloud
package import Logging
import OCF
import ServiceLifecycle
import Synchronization

/// Follows the change log of a registry in this process. From the moment a change is committed, before whoever made it
/// has the answer, the cache answers nothing until it knows of that change.
package final class ChangeReader: Service {
    private let log: ChangeLog
    private let cache: IdentityCache
    private let clock: any WallClock
    private let logger: Logger
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    /// - Parameter nudge: is told by the registry of each commit to the log, at once.
    package init(
        _ log: ChangeLog, nudge: any Nudge, cache: IdentityCache, clock: any WallClock = SystemWallClock(),
        logger: Logger
    ) {
        self.log = log
        self.cache = cache
        self.clock = clock
        self.logger = logger
        (self.signals, self.signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        nudge.listen(to: .changes) { [cache, signal] in
            cache.announce()
            signal.yield()
        }
    }

    package func run() async {
        await cancelWhenGracefulShutdown { await self.follow() }
    }

    private func follow() async {
        var machine = FollowerMachine()
        // Where the log stands now.
        self.signal.yield()
        for await _ in self.signals {
            let announced = self.cache.announced
            do {
                let limit = RegistryProtocol.maximumChanges
                let page = try await self.log.read(after: machine.position, limit: limit)
                self.read(page, &machine)
                // A full page may not be the last.
                if page.changes.count < limit { self.cache.caughtUp(to: announced) } else { self.signal.yield() }
            } catch {
                let (wait, complain) = machine.failed()
                if complain {
                    self.logger.info("cannot read the change log: trying on", metadata: ["error": "\(error)"])
                }
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: wait)
                self.signal.yield()
            }
        }
    }

    private func read(_ page: ChangePage, _ machine: inout FollowerMachine) {
        let now = self.clock.now()
        let answer = ChangesAnswer(last: page.last, gap: page.gap, changes: page.changes, now: now)
        for action in machine.answered(answer) { self.cache.learn(action, machine) }
        self.cache.heard(registryTime: now)
    }
}
