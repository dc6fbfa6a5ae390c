/// Where the session of a device is: a hint. The pod's own table of sessions is the truth.
package struct Route: Hashable, Sendable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        case live
        /// The pod has asked the device to go elsewhere.
        case moving
        /// The connection ended without a sign-out.
        case left
    }

    package let di: DeviceID
    package let uid: UserID
    /// `{pod name}.{random boot id}`: a restarted process is another pod.
    package let pod: String
    /// Grows with each sign-in of the device; below 2^53.
    package let epoch: UInt64
    package var state: State
    /// When `state` began.
    package var since: Timestamp
    /// How often a sign-in took the place of a living session within the last minute.
    package var takeovers: Int
}

/// What a sign-in gets.
package struct RouteClaim: Hashable, Sendable {
    package let route: Route
    /// The session that was live until now.
    package let displaced: Route?
}

/// Why the routes could not be asked. Never a reason to close a device's connection.
package struct RouteStoreUnavailable: Error, Hashable, Sendable {
    package let reason: String

    package init(reason: String) {
        self.reason = reason
    }
}

/// The routes of all devices. Each call names one device, and each writer but `claim` changes a route only if it is
/// still the caller's own: an old connection that closes late must not take the new one's route away.
///
/// Calls come from event loops; `completion` is called exactly once, on any thread.
package protocol RouteStore: PresenceReader {
    /// A new sign-in: makes an epoch greater than every one before, and says whose session it ends.
    /// - Parameter floor: the greatest epoch the caller has seen for any device.
    func claim(
        _ di: DeviceID, uid: UserID, pod: String, floor: UInt64,
        completion: @escaping @Sendable (Result<RouteClaim, RouteStoreUnavailable>) -> Void
    )
    /// The session is on its way out (`moving`) or gone (`left`, kept for 60 s).
    func mark(_ di: DeviceID, pod: String, epoch: UInt64, as state: Route.State)
    /// Sign-out and deletion: the route goes at once.
    func drop(_ di: DeviceID, pod: String, epoch: UInt64)
    /// The route, nil if there is none.
    func route(
        of di: DeviceID, completion: @escaping @Sendable (Result<Route?, RouteStoreUnavailable>) -> Void
    )
}
