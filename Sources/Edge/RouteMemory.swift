package import Cloud
package import NIOCore
import Synchronization

/// The routes that were looked up a short while ago, so that the store stays off the hot path. They are hints: a pod
/// that has no such session says so, and the route is forgotten.
///
/// Two generations: a route that is used moves to the younger one, and when that is full the older one goes. So at most
/// `capacity` are kept, and those in use stay.
///
/// It also counts who is on a detour: requests that could not go by a remembered route, for as long as they have not
/// been sent. Meanwhile nobody else goes straight to the device, or they would overtake those.
package final class RouteMemory: Sendable {
    private struct Entry {
        var route: Route
        var until: NIODeadline
    }

    private struct State {
        var young: [DeviceID: Entry] = [:]
        var old: [DeviceID: Entry] = [:]
        var detours: [DeviceID: Int] = [:]
    }

    private let generation: Int
    private let lifetime: TimeAmount
    private let state = Mutex(State())

    package init(capacity: Int, lifetime: TimeAmount = .init(RouteTimes.edgeMemory)) {
        self.generation = max(1, capacity / 2)
        self.lifetime = lifetime
    }

    package var count: Int { self.state.withLock { $0.young.count + $0.old.count } }

    /// The route, unless it was looked up too long ago.
    package func route(of di: DeviceID, now: NIODeadline) -> Route? {
        let (route, forgotten) = self.state.withLock { self.recall(di, now: now, in: &$0) }
        // What went is freed here, outside the lock.
        withExtendedLifetime(forgotten) {}
        return route
    }

    private func recall(_ di: DeviceID, now: NIODeadline, in state: inout State) -> (Route?, [DeviceID: Entry]) {
        if let entry = state.young[di] { return (entry.until > now ? entry.route : nil, [:]) }
        guard let entry = state.old.removeValue(forKey: di) else { return (nil, [:]) }
        return (entry.until > now ? entry.route : nil, self.keep(entry, of: di, in: &state))
    }

    /// The route to send a request by, in the order of the calls; nil: it is on a detour from here on, and `rejoined`
    /// is to be called once it has been sent or answered.
    package func way(to di: DeviceID, now: NIODeadline) -> Route? {
        let (route, forgotten) = self.state.withLock { state in
            let recalled = state.detours[di] == nil ? self.recall(di, now: now, in: &state) : (nil, [:])
            if recalled.0 == nil { state.detours[di, default: 0] += 1 }
            return recalled
        }
        withExtendedLifetime(forgotten) {}
        return route
    }

    /// A request is on a detour.
    package func detour(_ di: DeviceID) {
        self.state.withLock { $0.detours[di, default: 0] += 1 }
    }

    /// A request that was on a detour has been sent or answered.
    package func rejoined(_ di: DeviceID) {
        self.state.withLock { state in
            guard let count = state.detours[di] else { return }
            state.detours[di] = count > 1 ? count - 1 : nil
        }
    }

    /// The route however old it is: for when nothing better can be had.
    package func lastKnown(_ di: DeviceID) -> Route? {
        self.state.withLock { ($0.young[di] ?? $0.old[di])?.route }
    }

    /// A route the store has given. An older one never takes the place of a newer one that still counts; once that does
    /// not, the store is right, whatever became of its clock.
    package func remember(_ route: Route, now: NIODeadline) {
        let forgotten = self.state.withLock { state -> [DeviceID: Entry] in
            if let known = state.young[route.di] ?? state.old[route.di], known.until > now,
                (known.route.epoch, known.route.pod.name) > (route.epoch, route.pod.name)
            {
                return [:]
            }
            state.old[route.di] = nil
            return self.keep(Entry(route: route, until: now + self.lifetime), of: route.di, in: &state)
        }
        withExtendedLifetime(forgotten) {}
    }

    /// The route leads nowhere. One that was learnt meanwhile stays.
    package func forget(_ di: DeviceID, pod: Pod, epoch: UInt64) {
        self.state.withLock { state in
            guard let route = (state.young[di] ?? state.old[di])?.route, route.pod == pod,
                epoch == 0 || route.epoch == epoch
            else { return }
            state.young[di] = nil
            state.old[di] = nil
        }
    }

    /// - Returns: the generation that went, if one had to.
    private func keep(_ entry: Entry, of di: DeviceID, in state: inout State) -> [DeviceID: Entry] {
        var forgotten: [DeviceID: Entry] = [:]
        if state.young.count >= self.generation, state.young[di] == nil {
            forgotten = state.old
            state.old = state.young
            state.young = [:]
        }
        state.young[di] = entry
        return forgotten
    }
}
