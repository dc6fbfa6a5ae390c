import Cloud
import ServiceLifecycle

/// Notices that logs have grown: at once where the log says so, and else by one look at each owner's log a period,
/// however many streams the owner has.
struct EventFeed: Sendable {
    /// How many logs are looked at at the same time.
    private static let atOnce = 64

    let log: any EventHistory
    let streams: OpenStreams
    let period: Duration

    func run() async {
        let streams = self.streams
        self.log.listen { streams.hear($0) }
        await cancelWhenGracefulShutdown {
            var known: [UserID: EventLogID] = [:]
            while !Task.isCancelled {
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: self.period)
                known = await self.look(known)
            }
        }
    }

    /// - Returns: where the logs of all owners end now; those that could not be read are left out.
    private func look(_ known: [UserID: EventLogID]) async -> [UserID: EventLogID] {
        var ends: [UserID: EventLogID] = [:]
        var owners = self.streams.owners[...]
        while !owners.isEmpty, !Task.isCancelled {
            let batch = owners.prefix(Self.atOnce)
            owners = owners.dropFirst(batch.count)
            await withTaskGroup(of: (UserID, EventLogID?).self) { group in
                for owner in batch {
                    group.addTask { (owner, try? await self.log.last(of: owner)) }
                }
                for await (owner, end) in group {
                    guard let end else { continue }
                    ends[owner] = end
                    if known[owner] != end { self.streams.hear(owner) }
                }
            }
        }
        return ends
    }
}
