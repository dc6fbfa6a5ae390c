/// Events behind one place of an owner's log.
package struct EventPage: Hashable, Sendable {
    /// Oldest first. There may be more.
    package var events: [LoggedEvent]
    /// Events between the place and these are gone, or the place is not of this log.
    package var gap: Bool
    /// Where to read on: the last that was looked at, also if it is not shown.
    package var last: EventLogID

    package init(events: [LoggedEvent], gap: Bool, last: EventLogID) {
        self.events = events
        self.gap = gap
        self.last = last
    }
}

/// The recent events of each owner, bounded in number and age, and read on and on.
///
/// The numbers of an owner's events follow each other without a hole, so that a reader sees what it has missed.
package protocol EventHistory: Sendable {
    /// What the log does not take is a gap, as soon as the log can be told.
    func append(_ event: OwnerEvent, of uid: UserID)
    /// Where the log ends now.
    func last(of uid: UserID) async throws(RouteStoreUnavailable) -> EventLogID
    /// Events after a place. A place that this log does not know is a gap, and is read on from the log's end.
    func read(of uid: UserID, after place: EventLogID, limit: Int) async throws(RouteStoreUnavailable) -> EventPage
    /// Forgets the owner: another of the same name must not read what was his.
    func forget(_ uid: UserID)
    /// Is called with the owner of each new event, if the log knows at once; must return at once.
    func listen(_ heard: @escaping @Sendable (UserID) -> Void)
}

extension EventHistory {
    package func listen(_ heard: @escaping @Sendable (UserID) -> Void) {}
}
