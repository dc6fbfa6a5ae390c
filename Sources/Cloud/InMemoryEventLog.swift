import Synchronization

/// The events of one process: a ring for each owner. Of too many owners, who had no event for longest is forgotten.
package final class InMemoryEventLog: EventLog {
    package static let maximumOwners = 1000

    private struct Ring {
        var events: [LoggedEvent] = []
        /// Where the oldest is, once the ring is full.
        var start = 0
        var last = EventLogID(milliseconds: 0)

        var ordered: [LoggedEvent] { Array(self.events[self.start...] + self.events[..<self.start]) }
    }

    private let clock: any WallClock
    private let perOwner: Int
    private let maximumOwners: Int
    private let rings = Mutex<[UserID: Ring]>([:])

    package init(
        clock: any WallClock, perOwner: Int = EventLogLimits.perOwner,
        maximumOwners: Int = InMemoryEventLog.maximumOwners
    ) {
        self.clock = clock
        self.perOwner = max(1, perOwner)
        self.maximumOwners = max(1, maximumOwners)
    }

    package func append(_ event: OwnerEvent, of uid: UserID) {
        var event = event
        event.text = EventLogLimits.cut(event.text)
        let now = EventLogID(milliseconds: UInt64(max(0, self.clock.now().milliseconds)))
        self.rings.withLock { rings in
            if rings[uid] == nil, rings.count >= self.maximumOwners,
                let quietest = rings.min(by: { $0.value.last < $1.value.last })
            {
                rings[quietest.key] = nil
            }
            var ring = rings.removeValue(forKey: uid) ?? Ring()
            ring.last = max(now, ring.last.next)
            let logged = LoggedEvent(id: ring.last.text, event: event)
            if ring.events.count < self.perOwner {
                ring.events.append(logged)
            } else {
                ring.events[ring.start] = logged
                ring.start = (ring.start + 1) % self.perOwner
            }
            rings[uid] = ring
        }
    }

    package func events(
        of uid: UserID, after id: String?, limit: Int
    ) async throws(RouteStoreUnavailable) -> [LoggedEvent] {
        let oldest = EventLogID(
            milliseconds: UInt64(max(0, (self.clock.now() - EventLogLimits.age).milliseconds)))
        let start = max(oldest, id.flatMap { EventLogID($0) }?.next ?? oldest)
        let events = self.rings.withLock { $0[uid]?.ordered ?? [] }
        let wanted = events.lazy.filter { EventLogID($0.id).map { $0 >= start } ?? false }
        return Array(wanted.prefix(min(max(limit, 1), EventLogLimits.perOwner)))
    }
}
