package import Cloud
import CoAPTransport
package import Edge
package import Logging
package import NIOCore
import ServiceLifecycle
import ServiceShell
import Synchronization

/// Keeps the store's routes in step with the sessions of this pod, and other pods' sessions in step with these routes.
///
/// Signs devices in under an epoch (`claim`), renews the pod's lease, asserts each route from time to time, tells other
/// pods what they have lost, and fences the pod after a pause. What has to be done when is decided by `RouteClaiming`,
/// `RouteSweep` and `TakeoverNotices`; the truth about who is connected is the session table.
package final class RouteKeeper: Service {
    struct State {
        var sweep = RouteSweep()
        var notices = TakeoverNotices()
        /// The revision of the fence when the store was last asked for the lease.
        var renewalRevision: UInt64 = 0
        /// Who goes on once a notice is acknowledged, or cannot be.
        var waiters: [TakeoverNotices.Key: [@Sendable () -> Void]] = [:]
        /// Devices whose route is being asserted out of turn.
        var wanted: Set<DeviceID> = []
        /// When an owner was told last that a device is contested.
        var contested: [DeviceID: NIODeadline] = [:]
        var isDraining = false
        /// Where devices that are asked to go had better go.
        var alternatives = AlternativePods()
        /// Are told of sessions that begin.
        var listeners: [@Sendable (MovableSession) -> Void] = []
    }

    /// How often it looks what is due.
    static let period: Duration = .milliseconds(100)

    package let routes: any RouteStore
    package let sessions: SessionTable
    /// This process.
    package let pod: Pod
    private let endpoints: PublicEndpoints
    let pods: (any PodDelivery)?
    let events: (any EventHistory)?
    let clock: any WallClock
    let metrics: CoAPInterfaceMetrics
    let logger: Logger
    let epochs: EpochSource
    let fence = PauseFence()
    /// Where connections learn that the links of an owner may have changed.
    let linksWatch: LinksWatch
    let onPause: @Sendable (TimeAmount) -> Void
    private let started = NIODeadline.now()
    let state = Mutex(State())

    /// - Parameters:
    ///   - endpoints: where devices reach this pod alone, for others to tell them.
    ///   - pods: reaches other pods; nil where there are none.
    ///   - events: where owners learn what becomes of their devices.
    ///   - onPause: closes what may be out of date after the pod slept: connections between programs, pending calls.
    package init(
        routes: any RouteStore, sessions: SessionTable, pod: Pod, endpoints: PublicEndpoints = PublicEndpoints(),
        pods: (any PodDelivery)? = nil,
        events: (any EventHistory)? = nil, clock: any WallClock = SystemWallClock(),
        metrics: CoAPInterfaceMetrics = CoAPInterfaceMetrics(), logger: Logger,
        onPause: @escaping @Sendable (TimeAmount) -> Void = { _ in }
    ) {
        self.routes = routes
        self.sessions = sessions
        self.pod = pod
        self.endpoints = endpoints
        self.pods = pods
        self.events = events
        self.linksWatch = LinksWatch(events: events)
        self.clock = clock
        self.metrics = metrics
        self.logger = logger
        self.epochs = EpochSource(clock: clock)
        self.onPause = onPause
    }

    /// Looks after leases, assertions and notices until the shutdown; then gives the lease back.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            async let watch: Void = self.linksWatch.run()
            while !Task.isCancelled {
                self.tick(now: .now())
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: Self.period)
            }
            await watch
        }
        self.routes.resign(self.pod)
    }

    func tick(now: NIODeadline) {
        let sessions = self.sessions.count
        let (work, due, isOvergrown, renewalRevision) = self.state.withLock { state in
            (
                state.sweep.tick(now: now), state.notices.due(now: now), state.sweep.isOvergrown(sessions: sessions),
                state.renewalRevision
            )
        }
        if work.isStoreSilent {
            // A store that was asked before this process slept may well have answered: it was not heard. It has to be
            // asked again before the pod goes by its own table.
            self.storeFailed("no answer to the renewal of the lease", since: renewalRevision)
        }
        if work.renews { self.renew(sessions: sessions) }
        for entry in work.urgent { self.assert(entry, isUrgent: true) }
        for entry in work.regular {
            if self.isCurrent(entry) { self.state.withLock { $0.sweep.requeue(entry) } }
            self.assert(entry)
        }
        if isOvergrown {
            let current = Dictionary(
                self.sessions.handles().map { ($0.session.di, $0.session.epoch) }, uniquingKeysWith: max)
            self.state.withLock { $0.sweep.shrink { current[$0.di] == $0.epoch } }
        }
        for delivery in due.send { self.send(delivery) }
        for key in due.expired {
            self.metrics.noticed(.expired)
            self.logger.warning(
                "takeover not acknowledged",
                metadata: .init([.deviceID: key.di.text, .podAddress: key.pod.address, .podName: key.pod.name]))
            self.noticeOver(key)
        }
    }

    // MARK: The lease

    private func renew(sessions: Int) {
        let fenceRevision = self.fence.revision
        let isDraining = self.state.withLock { state in
            state.renewalRevision = fenceRevision
            return state.isDraining
        }
        let load = PodLoad(
            sessions: sessions, isDraining: isDraining, age: Duration(NIODeadline.now() - self.started),
            endpoints: self.endpoints.all)
        self.routes.renew(self.pod, load: load) { result in
            switch result {
            case .success(let renewal):
                guard self.state.withLock({ $0.sweep.renewed(renewal) }) else { return }
                self.assertAll()
            case .failure(let error):
                self.state.withLock { $0.sweep.renewalFailed(now: .now()) }
                self.storeFailed(error.reason, since: fenceRevision)
            }
        }
    }

    /// From here on the lease says that this pod drains.
    /// - Parameter arrived: is told of each session that begins nevertheless, on any thread.
    func beginDraining(arrived: @escaping @Sendable (MovableSession) -> Void) {
        self.state.withLock { state in
            state.isDraining = true
            state.listeners.append(arrived)
            state.sweep.renewsNow()
        }
    }

    /// What the store has of all pods.
    func looked(at pods: [LeasedPod]) {
        let alternatives = AlternativePods(pods, own: self.pod.name)
        self.state.withLock { $0.alternatives = alternatives }
    }

    /// Where a device had better go that came by this scheme; nil: wherever the balancer in front puts it.
    func alternativeAddress(for scheme: URIScheme) -> String? {
        let alternatives = self.state.withLock { $0.alternatives }
        var random = SystemRandomNumberGenerator()
        return alternatives.address(for: scheme, random: &random)
    }

    /// - Parameter began: is told of each session that begins, on any thread.
    func onSession(_ began: @escaping @Sendable (MovableSession) -> Void) {
        self.state.withLock { $0.listeners.append(began) }
    }

    private func assertAll() {
        let entries = self.sessions.handles().map { RouteSweep.Entry(di: $0.session.di, epoch: $0.session.epoch) }
        self.state.withLock { $0.sweep.assertAll(entries) }
    }

    /// The store was asked at this revision of the fence and cannot answer: the pod goes by what it knows.
    func storeFailed(_ reason: String, since revision: UInt64) {
        self.logger.debug("routes not reachable", metadata: .init([.error: reason]))
        self.fence.lift(through: revision)
    }

    // MARK: Assertions

    private func isCurrent(_ entry: RouteSweep.Entry) -> Bool {
        self.sessions.find(entry.di)?.session.epoch == entry.epoch
    }

    /// Asserts one route now, out of turn; if it is being asserted, or too much is, that must do.
    func assertNow(_ di: DeviceID) {
        guard let session = self.sessions.find(di)?.session else { return }
        let starts = self.state.withLock { state in
            guard !state.wanted.contains(di), state.sweep.startsNow() else { return false }
            state.wanted.insert(di)
            return true
        }
        guard starts else { return }
        self.assert(RouteSweep.Entry(di: di, epoch: session.epoch))
    }

    /// - Parameter isUrgent: the store may have lost everything, and not only the route.
    private func assert(_ entry: RouteSweep.Entry, isUrgent: Bool = false, isRepeat: Bool = false) {
        guard let handle = self.sessions.find(entry.di), handle.session.epoch == entry.epoch else {
            return self.assertionOver(entry)
        }
        let session = handle.session
        let fenceRevision = self.fence.revision
        self.routes.assert(session.di, uid: session.uid, pod: self.pod, epoch: session.epoch) { result in
            switch result {
            case .success(.ours(let displaced)):
                self.assertionOver(entry)
                if isUrgent { handle.connection.onLoop { $0.keepStatesAgain() } }
                if fenceRevision > 0 { handle.connection.onLoop { $0.confirm(session, at: fenceRevision) } }
                self.metrics.asserted(displaced == nil ? .ours : .displaced)
                if let displaced, displaced.pod != self.pod {
                    self.tell(displaced.pod, of: session.di, epoch: session.epoch)
                }
            case .success(.superseded(let winner)):
                self.epochs.observe(winner.epoch)
                self.lost(entry, to: winner, isUrgent: isUrgent, isRepeat: isRepeat)
            case .failure(let error):
                self.state.withLock { state in
                    state.wanted.remove(entry.di)
                    state.sweep.unanswered(entry)
                }
                self.metrics.asserted(.unavailable)
                self.storeFailed(error.reason, since: fenceRevision)
            }
        }
    }

    private func assertionOver(_ entry: RouteSweep.Entry) {
        self.state.withLock { state in
            state.wanted.remove(entry.di)
            state.sweep.answered()
        }
    }

    private func lost(_ entry: RouteSweep.Entry, to winner: Route, isUrgent: Bool, isRepeat: Bool) {
        guard winner.pod == self.pod else {
            self.assertionOver(entry)
            self.metrics.asserted(.superseded)
            let by = (epoch: winner.epoch, pod: winner.pod.name)
            return self.sessions.supersede(entry.di, by: by, pod: self.pod.name) { _ in }
        }
        // A claim of this very pod. Either its session is about to begin, or it was answered when nobody waited for it
        // any more: then it is in the way of the session there is.
        guard !isRepeat, !self.sessions.isClaiming(entry.di), self.isCurrent(entry) else {
            self.assertionOver(entry)
            return self.state.withLock { $0.sweep.retry(entry) }
        }
        self.routes.drop(entry.di, pod: self.pod, epoch: winner.epoch)
        self.assert(entry, isUrgent: isUrgent, isRepeat: true)
    }

    // MARK: Pauses

    /// An event loop slept for so long that another pod may have taken over any session: none is written to until the
    /// store has confirmed it, or proves unreachable. To be called before anything that was read or queued meanwhile is
    /// acted on.
    package func paused(_ gap: TimeAmount) {
        self.fence.raise()
        for handle in self.sessions.handles() {
            handle.connection.onLoop { $0.withdrawQueued() }
        }
        self.onPause(gap)
        self.metrics.paused()
        self.logger.warning(
            "this process slept: sessions are confirmed anew",
            metadata: .init([.durationMilliseconds: "\(gap.nanoseconds / 1_000_000)"]))
        self.assertAll()
    }
}
