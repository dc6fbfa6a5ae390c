import Synchronization

/// The routes of one process that is its own only pod.
package final class InMemoryRouteStore: RouteStore {
    /// How long a device that left is remembered.
    package static let leftLifetime: Duration = .seconds(60)
    /// Takeovers are counted over this time.
    package static let takeoverWindow: Duration = .seconds(60)

    fileprivate struct Entry {
        var route: Route
        /// When the counting of takeovers began.
        var takeoversSince: Timestamp
    }

    fileprivate struct State {
        var entries: [DeviceID: Entry] = [:]
        var floor: UInt64 = 0
        /// Devices that left, oldest first: so many are looked at with each change that none stays for long.
        var left: [(di: DeviceID, epoch: UInt64, until: Timestamp)] = []
        var leftHead = 0
    }

    private let clock: any WallClock
    private let state = Mutex(State())

    package init(clock: any WallClock) {
        self.clock = clock
    }

    package func claim(
        _ di: DeviceID, uid: UserID, pod: String, floor: UInt64,
        completion: @escaping @Sendable (Result<RouteClaim, RouteStoreUnavailable>) -> Void
    ) {
        let now = self.clock.now()
        let claim = self.state.withLock { state in
            state.forgetLeft(now: now)
            let old = state.entries[di]
            let microseconds = UInt64(clamping: now.milliseconds.multipliedReportingOverflow(by: 1000).partialValue)
            let epoch = max((old?.route.epoch ?? 0) + 1, state.floor + 1, floor + 1, microseconds)
            state.floor = epoch
            let displaced = old.flatMap { $0.route.state == .left ? nil : $0.route }
            var takeovers = 0
            var takeoversSince = now
            if let old, now - old.takeoversSince < Self.takeoverWindow {
                takeovers = old.route.takeovers
                takeoversSince = old.takeoversSince
            }
            if displaced != nil { takeovers += 1 }
            let route = Route(
                di: di, uid: uid, pod: pod, epoch: epoch, state: .live, since: now, takeovers: takeovers)
            state.entries[di] = Entry(route: route, takeoversSince: takeoversSince)
            return RouteClaim(route: route, displaced: displaced)
        }
        completion(.success(claim))
    }

    package func mark(_ di: DeviceID, pod: String, epoch: UInt64, as newState: Route.State) {
        let now = self.clock.now()
        self.state.withLock { state in
            state.forgetLeft(now: now)
            guard var entry = state.entries[di], entry.route.pod == pod, entry.route.epoch == epoch,
                entry.route.state != newState
            else { return }
            entry.route.state = newState
            entry.route.since = now
            state.entries[di] = entry
            if newState == .left {
                state.left.append((di, epoch, now + Self.leftLifetime))
            }
        }
    }

    package func drop(_ di: DeviceID, pod: String, epoch: UInt64) {
        self.state.withLock { state in
            guard let route = state.entries[di]?.route, route.pod == pod, route.epoch == epoch else { return }
            state.entries[di] = nil
        }
    }

    package func route(
        of di: DeviceID, completion: @escaping @Sendable (Result<Route?, RouteStoreUnavailable>) -> Void
    ) {
        completion(.success(self.find(di)))
    }

    package func presence(of devices: [DeviceID]) async -> [DeviceID: Presence] {
        var result: [DeviceID: Presence] = [:]
        for di in devices {
            guard let route = self.find(di) else {
                result[di] = .offline(since: nil)
                continue
            }
            switch route.state {
            case .live, .moving: result[di] = .online(since: route.since)
            case .left: result[di] = .offline(since: route.since)
            }
        }
        return result
    }

    private func find(_ di: DeviceID) -> Route? {
        let now = self.clock.now()
        return self.state.withLock { state in
            state.forgetLeft(now: now)
            guard let route = state.entries[di]?.route else { return nil }
            return route.state == .left && now - route.since >= Self.leftLifetime ? nil : route
        }
    }
}

extension InMemoryRouteStore.State {
    /// Forgets devices whose time is over, a few at a time.
    mutating func forgetLeft(now: Timestamp) {
        var looked = 0
        while looked < 8, self.leftHead < self.left.count, self.left[self.leftHead].until <= now {
            let (di, epoch, _) = self.left[self.leftHead]
            if let route = self.entries[di]?.route, route.epoch == epoch, route.state == .left {
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
