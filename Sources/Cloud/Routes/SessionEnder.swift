/// Ends live sessions of devices and clients whose right was taken away.
package protocol SessionEnder: Sendable {
    /// - Parameter reason: what the device is told and the log says.
    func end(_ devices: [DeviceID], reason: String) async
    /// Ends every session that the change took the right from.
    func end(_ change: Change) async
}

extension SessionEnder {
    /// What can be done by device alone; who keeps sessions knows users and families too.
    package func end(_ change: Change) async {
        switch change.kind {
        case .device, .client:
            await self.end([DeviceID(stored: change.subject)], reason: change.kind.endReason)
        case .user, .mediator, .family:
            break
        }
    }
}

extension Change.Kind {
    /// What a device is told whose session ends for it.
    package var endReason: String {
        switch self {
        case .user: "the user was removed"
        case .mediator: "the mediator was removed"
        case .client, .device: "the registration was deleted or replaced: sign up again"
        case .family: "the login was taken back: sign in with a new token, or sign up again"
        }
    }
}
