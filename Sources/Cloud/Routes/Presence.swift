/// Whether a device can be reached now.
package enum Presence: Sendable {
    case online(since: Timestamp)
    case offline(since: Timestamp?)
    case unknown
}

package protocol PresenceReader: Sendable {
    func presence(of devices: [DeviceID]) async -> [DeviceID: Presence]
}
