/// Whether a device can be reached.
package enum Presence: Hashable, Sendable {
    case online(since: Timestamp)
    /// Since when is known only for devices that left a short while ago.
    case offline(since: Timestamp?)
    /// Whoever knows cannot be asked. Never guessed.
    case unknown
}

/// Tells whether devices are online.
package protocol PresenceReader: Sendable {
    func presence(of devices: [DeviceID]) async -> [DeviceID: Presence]
}
