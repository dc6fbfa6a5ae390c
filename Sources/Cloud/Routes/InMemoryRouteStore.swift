import Synchronization

/// The routes of one process, or of several pods within one process. The rules are those of the shared store; it has no
/// connection to lose, and wakes who waits at once.
package final class InMemoryRouteStore: RouteStore {
    fileprivate struct Entry {
        var route: Route
        /// When the counting of takeovers began.
        var takeoversSince: Timestamp
        var contestedUntil: Timestamp?
        /// When a pod last asked the device to go elsewhere.
        var moved: Timestamp?
    }

    fileprivate enum Lease {
        case renewed(Timestamp, Pod, PodLoad, since: Timestamp)
        case resigned
    }

    fileprivate struct State {
        var entries: [DeviceID: Entry] = [:]
        var floor: UInt64 = 0
        /// Devices that left, oldest first: so many are looked at with each change that none stays for long.
        var left: [(di: DeviceID, since: Timestamp, epoch: UInt64)] = []
        var leftHead = 0
        /// Pods that renew a lease. One that has not begun to counts as alive, unlike in Redis: there is but this
        /// process, and its first device may be quicker than its first renewal.
        var leases: [String: Lease] = [:]
        var waiting: [DeviceID: Set<String>] = [:]
        var listeners: [String: @Sendable (Route) -> Void] = [:]
    }

    private let clock: any WallClock
    private let state = Mutex(State())

    package init(clock: any WallClock) {
        self.clock = clock
    }

    package func claim(
        _ di: DeviceID, uid: UserID, pod: Pod, floor: UInt64, replacing: UInt64?,
        completion: @escaping Completion<RouteClaimOutcome>
    ) {
        let now = self.clock.now()
        let (outcome, woken) = self.state.withLock { state in
            state.forgetLeft(now: now)
            let old = state.entries[di]
            let displaced = old.flatMap { $0.route.state == .left ? nil : $0.route }
            if let displaced, let until = old?.contestedUntil, until > now, replacing != displaced.epoch {
                return (RouteClaimOutcome.contested(holder: displaced), [@Sendable (Route) -> Void]())
            }
            let microseconds = UInt64(clamping: now.milliseconds.multipliedReportingOverflow(by: 1000).partialValue)
            let epoch = max((old?.route.epoch ?? 0) + 1, state.floor + 1, floor + 1, microseconds)
            state.floor = epoch
            var takeovers = 0
            var takeoversSince = now
            if let old, now - old.takeoversSince < RouteTimes.takeoverWindow {
                takeovers = old.route.takeovers
                takeoversSince = old.takeoversSince
            }
            if displaced != nil { takeovers += 1 }
            let contestedUntil = takeovers >= RouteTimes.contestedAt ? now + RouteTimes.contestedFor : nil
            let route = Route(
                di: di, uid: uid, pod: pod, epoch: epoch, state: .live, since: now, takeovers: takeovers)
            state.entries[di] = Entry(
                route: route, takeoversSince: takeoversSince, contestedUntil: contestedUntil, moved: old?.moved)
            let claim = RouteClaim(route: route, displaced: displaced, movedAgo: old?.moved.map { now - $0 })
            return (.claimed(claim), state.wake(di))
        }
        if case .claimed(let claim) = outcome { woken.forEach { $0(claim.route) } }
        completion(.success(outcome))
    }

    package func assert(
        _ di: DeviceID, uid: UserID, pod: Pod, epoch: UInt64, completion: @escaping Completion<RouteAssertion>
    ) {
        let now = self.clock.now()
        let (assertion, route, woken) = self.state.withLock {
            state -> (RouteAssertion, Route, [@Sendable (Route) -> Void]) in
            state.forgetLeft(now: now)
            let old = state.entries[di]?.route
            if let old {
                if old.epoch == epoch, old.pod.name == pod.name { return (.ours(displaced: nil), old, []) }
                // Byte by byte, as every store can compare.
                let isGreater = pod.name.utf8.lexicographicallyPrecedes(old.pod.name.utf8)
                if old.epoch > epoch || (old.epoch == epoch && isGreater) { return (.superseded(by: old), old, []) }
            }
            let route = Route(di: di, uid: uid, pod: pod, epoch: epoch, state: .live, since: now)
            state.floor = max(state.floor, epoch)
            state.entries[di] = Entry(route: route, takeoversSince: now, moved: state.entries[di]?.moved)
            return (.ours(displaced: old.flatMap { $0.state == .left ? nil : $0 }), route, state.wake(di))
        }
        woken.forEach { $0(route) }
        completion(.success(assertion))
    }

    package func mark(_ di: DeviceID, pod: Pod, epoch: UInt64, as newState: Route.State) {
        let now = self.clock.now()
        self.state.withLock { state in
            state.forgetLeft(now: now)
            guard var entry = state.entries[di], entry.route.pod == pod, entry.route.epoch == epoch,
                entry.route.state != newState
            else { return }
            entry.route.state = newState
            entry.route.since = now
            if newState == .moving { entry.moved = now }
            state.entries[di] = entry
            if newState == .left {
                state.left.append((di, now, epoch))
            }
        }
    }

    package func drop(_ di: DeviceID, pod: Pod, epoch: UInt64) {
        self.state.withLock { state in
            guard let route = state.entries[di]?.route, route.pod == pod, route.epoch == epoch else { return }
            state.entries[di] = nil
        }
    }

    package func find(_ di: DeviceID, completion: @escaping Completion<FoundRoute?>) {
        completion(.success(self.found(di)))
    }

    package func wait(for di: DeviceID, edge: String, completion: @escaping Completion<FoundRoute?>) {
        let now = self.clock.now()
        let found = self.state.withLock { state in
            state.forgetLeft(now: now)
            let found = state.found(di, now: now)
            if found?.isLive != true { state.waiting[di, default: []].insert(edge) }
            return found
        }
        completion(.success(found))
    }

    package func listen(as edge: String, heard: @escaping @Sendable (Route) -> Void) {
        self.state.withLock { $0.listeners[edge] = heard }
    }

    package func renew(_ pod: Pod, load: PodLoad, completion: @escaping Completion<LeaseRenewal>) {
        let now = self.clock.now()
        let hadLapsed = self.state.withLock { state in
            defer { state.leases[pod.name] = .renewed(now, pod, load, since: now - load.age) }
            guard case .renewed(let last, _, _, _)? = state.leases[pod.name] else { return true }
            return now - last >= RouteTimes.lease
        }
        completion(.success(LeaseRenewal(connection: 1, hadLapsed: hadLapsed, generation: "memory")))
    }

    package func resign(_ pod: Pod) {
        self.state.withLock { $0.leases[pod.name] = .resigned }
    }

    package func lease(of pod: Pod, completion: @escaping Completion<PodLease>) {
        let now = self.clock.now()
        completion(.success(self.state.withLock { $0.lease(of: pod, now: now) }))
    }

    package func leases(completion: @escaping Completion<[LeasedPod]>) {
        let now = self.clock.now()
        let pods = self.state.withLock { state in
            state.leases.values.compactMap { lease -> LeasedPod? in
                guard case .renewed(let last, let pod, let load, let since) = lease, now - last < RouteTimes.lease
                else { return nil }
                return LeasedPod(
                    pod: pod, sessions: load.sessions, isDraining: load.isDraining, age: now - since,
                    countAge: now - last, endpoints: load.endpoints)
            }
        }
        completion(.success(pods.sorted { $0.pod.name < $1.pod.name }))
    }

    package func presence(of devices: [DeviceID]) async -> [DeviceID: Presence] {
        var result: [DeviceID: Presence] = [:]
        for di in devices {
            result[di] = Presence(self.found(di))
        }
        return result
    }

    private func found(_ di: DeviceID) -> FoundRoute? {
        let now = self.clock.now()
        return self.state.withLock { state in
            state.forgetLeft(now: now)
            return state.found(di, now: now)
        }
    }
}

extension InMemoryRouteStore.State {
    fileprivate func found(_ di: DeviceID, now: Timestamp) -> FoundRoute? {
        guard let entry = self.entries[di] else { return nil }
        let route = entry.route
        let age = now - route.since
        guard route.state != .left || age < RouteTimes.leftLifetime else { return nil }
        return FoundRoute(
            route: route, lease: self.lease(of: route.pod, now: now), age: age,
            askedToGo: entry.moved.map { route.since - $0 })
    }

    fileprivate func lease(of pod: Pod, now: Timestamp) -> PodLease {
        switch self.leases[pod.name] {
        case .resigned: return .gone
        case .renewed(let last, _, _, _) where now - last >= RouteTimes.lease:
            return .lapsed(for: now - last - RouteTimes.lease)
        case .renewed, nil: return .held
        }
    }

    /// Who waits for the device, and does no longer.
    fileprivate mutating func wake(_ di: DeviceID) -> [@Sendable (Route) -> Void] {
        (self.waiting.removeValue(forKey: di) ?? []).compactMap { self.listeners[$0] }
    }

    /// Forgets devices whose time is over, a few at a time.
    mutating func forgetLeft(now: Timestamp) {
        var looked = 0
        while looked < 8, self.leftHead < self.left.count {
            let (di, since, epoch) = self.left[self.leftHead]
            guard now - since >= RouteTimes.leftLifetime else { break }
            // Left, and not back meanwhile to leave again.
            if let route = self.entries[di]?.route, route.epoch == epoch, route.state == .left, route.since == since {
                self.entries[di] = nil
            }
            self.leftHead += 1
            looked += 1
        }
        if self.leftHead > 1024, self.leftHead * 2 > self.left.count {
            self.left.removeFirst(self.leftHead)
            self.leftHead = 0
        }
    }
}
