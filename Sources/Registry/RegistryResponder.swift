package import Cloud
package import CoAP
package import Logging
import OCF
import ServiceLifecycle
package import ServiceShell

/// How a registry behaves, besides what `Identity` is told.
package struct RegistryConfiguration: Hashable, Sendable {
    /// One of the two queues and its workers.
    package struct Lane: Hashable, Sendable {
        /// Requests that may wait for a worker; more get 5.03.
        package var queueCapacity: Int
        /// Requests in work at once.
        package var workers: Int

        package init(queueCapacity: Int = 1024, workers: Int) {
            self.queueCapacity = queueCapacity
            self.workers = workers
        }
    }

    /// Sign-up and sign-off, sign-in, refresh, and the question who stands behind a token.
    package var identity: Lane
    /// Everything else. Fewer workers than the other's: both wait for one store.
    package var directory: Lane
    /// Where devices shall sign in instead of here; nil: nothing is said.
    package var redirectURI: String?

    package init(
        identity: Lane = Lane(workers: 32), directory: Lane = Lane(workers: 16), redirectURI: String? = nil
    ) {
        self.identity = identity
        self.directory = directory
        self.redirectURI = redirectURI
    }

    /// For a store with so many connections: lists never hold all of them, so that a sign-in finds one free however
    /// slow the lists are.
    package init(storeConnections: Int, redirectURI: String? = nil) {
        self.init(redirectURI: redirectURI)
        let left = storeConnections - max(1, storeConnections / 4)
        self.directory.workers = max(1, min(self.directory.workers, left))
    }
}

/// The registry: owner of account, session, tokenrefresh, rd, res and provisioning, as a CoAP server without a socket.
///
/// Whose session a request came in on is in its internal options `sessionUser` and `sessionDevice`; without them nobody
/// is signed in. That a token behind a session has run out or was revoked is for the connection to notice.
///
/// Answers to `oic/sec/session` carry `sessionUser`, `sessionDevice`, `sessionKind`, `sessionFamily`, `sessionExpiry`
/// and `sequence` if they are a sign-in, and none of them if they are a sign-out; 2.02 to `oic/sec/account` carries a
/// `sessionDevice` for each device that is gone. Connections strip them.
///
/// Identity and directory wait in queues of their own, each with its workers. Lists longer than 64 KiB are given page
/// by page: an answer with the option `page` has a next one, which is asked for with that option.
///
/// It works while `run()` does; before that requests wait, after it they get 5.03.
package final class RegistryResponder: Responder, Service {
    private let resources: [Resource]
    private let desk: Desk
    private let metrics: RegistryMetrics
    private let identity: Dispatcher
    private let directory: Dispatcher
    private let feed: ChangeFeed

    /// - Parameters:
    ///   - accessLog: labelled `registry.access`.
    ///   - tokenCache: where other programs look for who stands behind a token; written after each use of one.
    ///   - nudge: tells other registries of changes, and this one of theirs.
    ///   - clock: what programs that follow the changes are told the time by.
    ///   - endSessions: is told, after the commit, whose sessions must end; must return at once. A session that
    ///     signs itself off is among them: it must be left its connection until it has the answer.
    package init(
        identity: Identity,
        directory: Directory,
        configuration: RegistryConfiguration = RegistryConfiguration(),
        tokenCache: (any TokenCache)? = nil,
        nudge: (any Nudge)? = nil,
        clock: any WallClock = SystemWallClock(),
        accessLog: AccessLog,
        logger: Logger,
        endSessions: @escaping @Sendable ([DeviceID]) -> Void = { _ in },
    ) {
        let feed = ChangeFeed(log: identity.changeLog, nudge: nudge)
        var identity = identity
        identity.recorded = { feed.committed() }
        let metrics = RegistryMetrics()
        let resources = Handlers(
            identity: identity, directory: directory, redirectURI: configuration.redirectURI,
            endSessions: { if !$0.isEmpty { endSessions($0) } }, tokenCache: tokenCache, feed: feed, clock: clock
        ).resources
        let desk = Desk(resources: resources, metrics: metrics, accessLog: accessLog, logger: logger)
        self.resources = resources
        self.desk = desk
        self.metrics = metrics
        self.feed = feed
        self.identity = Dispatcher(
            capacity: configuration.identity.queueCapacity, workers: configuration.identity.workers,
            handler: desk.answer)
        self.directory = Dispatcher(
            capacity: configuration.directory.queueCapacity, workers: configuration.directory.workers,
            handler: desk.answer)
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        switch self.desk.lane(of: request) {
        case .identity: self.identity.submit(request, answer: answer)
        case .directory: self.directory.submit(request, answer: answer)
        case nil: self.desk.hold(request, answer: answer)
        }
    }

    package func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.feed.run() }
            group.addTask { await self.directory.run() }
            group.addTask {
                await cancelWhenGracefulShutdown { await self.measure() }
            }
            group.addTask { await self.identity.run() }
        }
    }

    /// Looks at the queues once a second.
    private func measure() async {
        while !Task.isCancelled {
            self.metrics.record(waiting: self.identity.queueLength, in: .identity)
            self.metrics.record(waiting: self.directory.queueLength, in: .directory)
            self.metrics.record(held: self.feed.waiting)
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// The patterns of all resources.
    package var patterns: [String] { self.resources.map(\.pattern) }

    /// Every method of every resource, as `POST oic/sec/account`.
    package var operations: [String] {
        self.resources.flatMap { resource in
            resource.taken.split(separator: ", ").map { "\($0) \(resource.pattern)" }
        }
    }
}
