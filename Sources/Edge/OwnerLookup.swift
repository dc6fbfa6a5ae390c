package import Cloud

/// Who owns a device.
package enum Ownership: Hashable, Sendable {
    case owned(by: UserID)
    /// No device of that name was ever signed up, or it was deleted.
    case unknownDevice
    /// Whoever knows cannot be asked.
    case unavailable
}

/// Asks who owns a device: needed only to say why a request did not reach it.
package protocol OwnerLookup: Sendable {
    /// `answer` is called exactly once.
    func owner(of di: DeviceID, requestID: String?, answer: @escaping @Sendable (Ownership) -> Void)
}
