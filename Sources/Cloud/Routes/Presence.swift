/// Whether a device can be reached.
package enum Presence: Hashable, Sendable {
    case online(since: Timestamp)
    /// Since when is known only for devices that left a short while ago.
    case offline(since: Timestamp?)
    /// Whoever knows cannot be asked. Never guessed.
    case unknown
}

extension Presence {
    /// Never online once the lease of the pod has lapsed.
    package init(_ found: FoundRoute?) {
        guard let found else {
            self = .offline(since: nil)
            return
        }
        switch (found.route.state, found.lease) {
        case (.live, .held), (.moving, .held): self = .online(since: found.route.since)
        case (.left, _): self = .offline(since: found.route.since)
        case (.live, .lapsed), (.live, .gone), (.moving, .lapsed), (.moving, .gone): self = .offline(since: nil)
        }
    }
}

/// Tells whether devices are online.
package protocol PresenceReader: Sendable {
    func presence(of devices: [DeviceID]) async -> [DeviceID: Presence]
}
