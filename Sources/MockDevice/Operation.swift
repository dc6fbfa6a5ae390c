package import CoAP

/// What the device asks of a cloud (OCF CNC).
package enum Operation: String, Sendable, Hashable, CaseIterable {
    case register
    case session
    case refresh
    case signOut = "signout"
    case publish
    case unpublish
}

/// How an operation ended; what it said on the way went out as events.
package enum Outcome: Sendable, Hashable {
    case done
    /// The cloud said no.
    case refused(Code)
    /// No connection, no answer, or one that makes no sense.
    case failed
    /// Something is missing here; nothing was sent.
    case impossible
    /// The device is not running.
    case stopped
}
