import Cloud
import CoAP
import Synchronization

/// Tells connections of this pod that the links of an owner may have changed: at once where it happened on this pod,
/// else from the owner's event log, which is looked at while somebody observes.
package final class LinksWatch: Sendable {
    private struct Owner {
        /// The last event that was seen.
        var last: String?
        /// Whether nothing can have been missed since the last look.
        var isCurrent = false
        var subscribers: [UInt64: @Sendable () -> Void] = [:]
    }

    private struct State {
        var owners: [UserID: Owner] = [:]
        var subscribers = 0
        var next: UInt64 = 0
    }

    /// How often the logs are looked at.
    package static let period: Duration = .seconds(1)
    static let maximumOwners = 1000
    static let maximumSubscribers = 10_000
    /// How many logs are looked at side by side.
    private static let width = 16

    private let events: (any EventLog)?
    private let state = Mutex(State())

    init(events: (any EventLog)?) {
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
            state.owners[uid, default: Owner()].subscribers[state.next] = changed
            return state.next
        }
        guard let number else { return nil }
        return ObservationHandle { self.unsubscribe(number, from: uid) }
    }

    private func unsubscribe(_ number: UInt64, from uid: UserID) {
        self.state.withLock { state in
            guard state.owners[uid]?.subscribers.removeValue(forKey: number) != nil else { return }
            state.subscribers -= 1
            if state.owners[uid]?.subscribers.isEmpty == true { state.owners[uid] = nil }
        }
    }

    /// Something was published or unpublished on this pod.
    func changed(_ uid: UserID) {
        let subscribers = self.state.withLock { Array(($0.owners[uid]?.subscribers ?? [:]).values) }
        for subscriber in subscribers { subscriber() }
    }

    // MARK: The event logs

    /// Looks until it is cancelled.
    func run() async {
        guard self.events != nil else { return }
        while !Task.isCancelled {
            await self.look()
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.period)
        }
    }

    /// Looks once at the log of every owner somebody watches.
    func look() async {
        let owners = self.state.withLock { Array($0.owners.keys) }
        await withTaskGroup(of: Void.self) { tasks in
            for (index, uid) in owners.enumerated() {
                if index >= Self.width { await tasks.next() }
                tasks.addTask { await self.look(at: uid) }
            }
        }
    }

    private func look(at uid: UserID) async {
        guard let events = self.events, let last = self.state.withLock({ $0.owners[uid].map(\.last) }) else { return }
        do {
            let found = try await events.events(of: uid, after: last, limit: EventLogLimits.perOwner)
            let isNews = self.state.withLock { state in
                // The first look finds what is old; but something may have happened between a subscriber's first
                // answer and this look. The same after a look that failed.
                let isNews = state.owners[uid]?.isCurrent == false || found.contains { $0.event.kind.changesLinks }
                state.owners[uid]?.isCurrent = true
                if let newest = found.last?.id { state.owners[uid]?.last = newest }
                return isNews
            }
            if isNews { self.changed(uid) }
        } catch {
            self.state.withLock { $0.owners[uid]?.isCurrent = false }
        }
    }
}

extension OwnerEvent.Kind {
    /// Whether the owner's list of links may be another one after it.
    fileprivate var changesLinks: Bool {
        switch self {
        case .linksPublished, .linksUnpublished, .deviceDeleted: true
        case .tokenReuse, .deviceContested, .deviceSignedIn, .deviceSignedOut: false
        }
    }
}
