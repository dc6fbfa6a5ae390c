import Cloud
import CoAP
import Synchronization

/// Tells connections of this pod that the links of an owner may have changed: at once where it happened on this pod,
/// else from the owner's event log, which is looked at while somebody observes.
package final class LinksWatch: Sendable {
    private struct State {
        var owners: [UserID: [UInt64: @Sendable () -> Void]] = [:]
        var subscribers = 0
        var next: UInt64 = 0
    }

    /// How often the logs are looked at.
    package static let period: Duration = .seconds(1)
    static let maximumOwners = 1000
    static let maximumSubscribers = 10_000
    /// How many new events are looked through: of more, one will be of links.
    private static let pageSize = 100

    private let events: (any EventHistory)?
    private let state = Mutex(State())

    init(events: (any EventHistory)?) {
        self.events = events
    }

    /// How many owners somebody watches.
    var count: Int { self.state.withLock { $0.owners.count } }

    /// - Parameter changed: called on any thread.
    /// - Returns: the way to end it; nil if too much is watched.
    func subscribe(to uid: UserID, changed: @escaping @Sendable () -> Void) -> ObservationHandle? {
        let number: UInt64? = self.state.withLock { state in
            guard state.subscribers < Self.maximumSubscribers,
                state.owners[uid] != nil || state.owners.count < Self.maximumOwners
            else { return nil }
            state.next += 1
            state.subscribers += 1
            state.owners[uid, default: [:]][state.next] = changed
            return state.next
        }
        guard let number else { return nil }
        return ObservationHandle { self.unsubscribe(number, from: uid) }
    }

    private func unsubscribe(_ number: UInt64, from uid: UserID) {
        self.state.withLock { state in
            guard state.owners[uid]?.removeValue(forKey: number) != nil else { return }
            state.subscribers -= 1
            if state.owners[uid]?.isEmpty == true { state.owners[uid] = nil }
        }
    }

    /// Something was published or unpublished on this pod.
    func changed(_ uid: UserID) {
        let subscribers = self.state.withLock { Array(($0.owners[uid] ?? [:]).values) }
        for subscriber in subscribers { subscriber() }
    }

    // MARK: The event logs

    /// Looks until it is cancelled.
    func run() async {
        guard let events = self.events else { return }
        var follower = EventFollower(events)
        while !Task.isCancelled {
            await self.look(&follower, events)
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.period)
        }
    }

    /// Looks once at the log of every owner somebody watches.
    func look(_ follower: inout EventFollower, _ events: any EventHistory) async {
        await follower.look(at: self.state.withLock { Array($0.owners.keys) }) { uid, last in
            do {
                // Something may have happened between a subscriber's first answer and the first look.
                if let last {
                    let page = try await events.read(of: uid, after: last, limit: Self.pageSize)
                    let isRead = !page.gap && page.events.count < Self.pageSize
                    if isRead, !page.events.contains(where: { $0.event.kind.changesLinks }) { return true }
                }
                self.changed(uid)
                return true
            } catch {
                return false
            }
        }
    }
}

extension OwnerEvent.Kind {
    /// Whether the owner's list of links may be another one after it.
    fileprivate var changesLinks: Bool {
        switch self {
        case .linksPublished, .linksChanged, .linksUnpublished, .deviceDeleted: true
        case .tokenReuse, .deviceContested, .deviceSignedIn, .deviceSignedOut: false
        }
    }
}
