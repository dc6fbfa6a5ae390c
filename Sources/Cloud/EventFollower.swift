/// Notices which owners' logs have grown, by one look at the end of each, however many want to know.
package struct EventFollower: Sendable {
    /// How many logs are looked at at the same time.
    private static let atOnce = 64

    private let log: any EventHistory
    private var ends: [UserID: EventLogID] = [:]

    package init(_ log: any EventHistory) {
        self.log = log
    }

    /// Looks at each owner's log once.
    /// - Parameter grown: is told of a log that is another one than it was at the last look, and where it ended then:
    ///   nil if that look failed, or was none. Says whether that was of use; if not, it is told again.
    package mutating func look(
        at owners: [UserID], grown: @escaping @Sendable (UserID, EventLogID?) async -> Bool
    ) async {
        var ends: [UserID: EventLogID] = [:]
        await withTaskGroup(of: (UserID, EventLogID?).self) { group in
            for (index, owner) in owners.enumerated() {
                if index >= Self.atOnce, let (owner, end) = await group.next() { ends[owner] = end }
                let (log, known) = (self.log, self.ends[owner])
                group.addTask {
                    guard let end = try? await log.last(of: owner) else { return (owner, nil) }
                    if end == known { return (owner, end) }
                    return (owner, await grown(owner, known) ? end : nil)
                }
            }
            for await (owner, end) in group { ends[owner] = end }
        }
        self.ends = ends
    }
}
