import Synchronization

/// The events of one process: a ring for each owner. Of too many owners, who had no event for longest is forgotten.
package final class InMemoryEventLog: EventHistory {
    package static let maximumOwners = 1000
    /// Owners of whom only is known how many events they had.
    package static let maximumEnds = 100_000

    private struct Ring {
        var events: [LoggedEvent] = []
        /// Where the oldest is, once the ring is full.
        var start = 0
        var last: EventLogID

        var ordered: [LoggedEvent] { Array(self.events[self.start...] + self.events[..<self.start]) }
    }

    private struct State {
        var rings: [UserID: Ring] = [:]
        /// Where the logs of owners ended whose events were forgotten, so that numbers go on.
        var ends: [UserID: EventLogID] = [:]
        /// Places before the first event of an owner are good from then on: earlier ones are of a log that was lost.
        var begun: UInt64
        var listener: (@Sendable (UserID) -> Void)?

        /// Of an owner without events: since when there are none, so that it can be told from a lost log's.
        func end(of uid: UserID) -> EventLogID {
            self.rings[uid]?.last ?? self.ends[uid] ?? EventLogID(milliseconds: self.begun)
        }

        /// Forgets the owner without news for longest.
        mutating func makeRoom(now: UInt64) {
            guard let quietest = self.rings.min(by: { $0.value.last < $1.value.last }) else { return }
            self.rings[quietest.key] = nil
            if self.ends.count >= InMemoryEventLog.maximumEnds {
                self.ends = [:]
                self.begun = max(self.begun, now)
            }
            self.ends[quietest.key] = quietest.value.last
        }
    }

    private let clock: any WallClock
    private let perOwner: Int
    private let maximumOwners: Int
    private let state: Mutex<State>

    package init(
        clock: any WallClock, perOwner: Int = EventLogLimits.perOwner,
        maximumOwners: Int = InMemoryEventLog.maximumOwners
    ) {
        self.clock = clock
        self.perOwner = max(1, perOwner)
        self.maximumOwners = max(1, maximumOwners)
        self.state = Mutex(State(begun: clock.now().eventMilliseconds))
    }

    package func append(_ event: OwnerEvent, of uid: UserID) {
        var event = event
        event.text = EventLogLimits.cut(event.text)
        let now = self.clock.now().eventMilliseconds
        let listener = self.state.withLock { state in
            if state.rings[uid] == nil, state.rings.count >= self.maximumOwners { state.makeRoom(now: now) }
            var ring = state.rings.removeValue(forKey: uid) ?? Ring(last: state.ends.removeValue(forKey: uid) ?? .start)
            ring.last = EventLogID(milliseconds: max(now, ring.last.milliseconds), number: ring.last.number + 1)
            let logged = LoggedEvent(id: ring.last.text, event: event)
            if ring.events.count < self.perOwner {
                ring.events.append(logged)
            } else {
                ring.events[ring.start] = logged
                ring.start = (ring.start + 1) % self.perOwner
            }
            state.rings[uid] = ring
            return state.listener
        }
        listener?(uid)
    }

    package func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID {
        self.state.withLock { $0.end(of: uid) }
    }

    package func read(
        of uid: UserID, after place: EventLogID, limit: Int
    ) async throws(RouteStoreUnavailable) -> EventPage {
        // Times may go back, numbers do not.
        let isStart = place.number == 0
        let (events, end, begun) = self.kept(uid, after: isStart ? .start : place, limit: limit)
        let isLost = isStart && place.milliseconds < begun
        if let first = events.first.flatMap({ EventLogID($0.id) }),
            let last = events.last.flatMap({ EventLogID($0.id) })
        {
            return EventPage(events: events, gap: isLost || !place.isFollowed(by: first), last: last)
        }
        return EventPage(events: [], gap: isLost || end.number != place.number, last: end)
    }

    private func kept(
        _ uid: UserID, after place: EventLogID, limit: Int
    ) -> (events: [LoggedEvent], end: EventLogID, begun: UInt64) {
        let oldest = EventLogID(milliseconds: (self.clock.now() - EventLogLimits.age).eventMilliseconds)
        let start = max(oldest, place.next)
        let (events, end, begun) = self.state.withLock { state in
            (state.rings[uid]?.ordered ?? [], state.end(of: uid), state.begun)
        }
        let wanted = events.lazy.filter { EventLogID($0.id).map { $0 >= start } ?? false }
        return (Array(wanted.prefix(min(max(limit, 1), EventLogLimits.perOwner))), end, begun)
    }

    package func forget(_ uid: UserID) {
        self.state.withLock { state in
            state.rings[uid] = nil
            state.ends[uid] = nil
        }
    }

    package func listen(_ heard: @escaping @Sendable (UserID) -> Void) {
        self.state.withLock { $0.listener = heard }
    }
}

extension Timestamp {
    var eventMilliseconds: UInt64 { UInt64(max(0, self.milliseconds)) }
}
