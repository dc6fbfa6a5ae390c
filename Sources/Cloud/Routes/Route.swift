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
    package let pod: Pod
    /// Grows with each sign-in of the device; below 2^53.
    package let epoch: UInt64
    package var state: State
    /// When `state` began.
    package var since: Timestamp
    /// How often a sign-in took the place of a living session within `RouteTimes.takeoverWindow`.
    package var takeovers: Int

    package init(
        di: DeviceID, uid: UserID, pod: Pod, epoch: UInt64, state: State, since: Timestamp, takeovers: Int = 0
    ) {
        self.di = di
        self.uid = uid
        self.pod = pod
        self.epoch = epoch
        self.state = state
        self.since = since
        self.takeovers = takeovers
    }
}

/// A route with what is known of its pod, and for how long it has been in its state, both by the store's own clock.
package struct FoundRoute: Hashable, Sendable {
    package let route: Route
    package let lease: PodLease
    package let age: Duration
    /// How long before that its pod asked the device to go elsewhere; nil if none ever did.
    package let askedToGo: Duration?

    package init(route: Route, lease: PodLease, age: Duration, askedToGo: Duration? = nil) {
        self.route = route
        self.lease = lease
        self.age = age
        self.askedToGo = askedToGo
    }

    /// Whether a request may be sent there without waiting.
    package var isLive: Bool { self.route.state == .live && self.lease == .held }

    /// Whether the device is between two pods, so that waiting for it makes sense.
    package var isWorthWaiting: Bool {
        switch (self.route.state, self.lease) {
        case (.moving, _): true
        case (.left, _): self.age < (self.leftAsAsked ? RouteTimes.askedWait : RouteTimes.leftWait)
        case (.live, .held): false
        case (.live, .lapsed(let since)): since < RouteTimes.leftWait
        case (.live, .gone): false
        }
    }

    /// The device left because it was asked to: it comes back, if not at once, for there it has to stand in line.
    private var leftAsAsked: Bool {
        guard let askedToGo = self.askedToGo else { return false }
        return askedToGo < RouteTimes.leftWait
    }
}

/// What a sign-in gets.
package struct RouteClaim: Hashable, Sendable {
    package let route: Route
    /// The session that was live until now, in whichever pod.
    package let displaced: Route?
    /// How long ago a pod asked the device to go elsewhere; nil if none did lately.
    package let movedAgo: Duration?

    package init(route: Route, displaced: Route?, movedAgo: Duration? = nil) {
        self.route = route
        self.displaced = displaced
        self.movedAgo = movedAgo
    }
}

package enum RouteClaimOutcome: Hashable, Sendable {
    case claimed(RouteClaim)
    /// Two peers take the device from each other all the time. Nothing was changed: the newcomer gets in only once the
    /// holder has failed a Ping, by claiming again with the holder's epoch as `replacing`.
    case contested(holder: Route)
}

package enum RouteAssertion: Hashable, Sendable {
    /// The route is the caller's. With `displaced`, it was another's with a smaller epoch until now.
    case ours(displaced: Route?)
    /// Another session has a greater epoch, or an equal one and the greater pod name: the caller's is over.
    case superseded(by: Route)
}

/// Why the routes could not be asked. Never a reason to close a device's connection.
package struct RouteStoreUnavailable: Error, Hashable, Sendable {
    package let reason: String

    package init(reason: String) {
        self.reason = reason
    }
}

/// The routes of all devices, and the leases of the pods that hold them.
///
/// Each call names one device, and each writer but `claim` changes a route only if it is still the caller's own: an old
/// connection that closes late must not take the new one's route away. Calls come from event loops; `completion` is
/// called exactly once, on any thread, and soon: a store that does not answer is `RouteStoreUnavailable`.
package protocol RouteStore: PresenceReader {
    typealias Completion<Value> = @Sendable (Result<Value, RouteStoreUnavailable>) -> Void

    /// A new sign-in: makes an epoch greater than every one before, and says whose session it ends. Wakes who waits.
    /// - Parameters:
    ///   - floor: the greatest epoch the caller has seen for any device.
    ///   - replacing: take a contested device from the session of this epoch, which failed its Ping.
    func claim(
        _ di: DeviceID, uid: UserID, pod: Pod, floor: UInt64, replacing: UInt64?,
        completion: @escaping Completion<RouteClaimOutcome>)
    /// Writes the caller's route if there is none or one with a smaller epoch, extends its time if it is there, and
    /// otherwise says who has it. Wakes who waits, where it wrote.
    func assert(
        _ di: DeviceID, uid: UserID, pod: Pod, epoch: UInt64, completion: @escaping Completion<RouteAssertion>)
    /// The session is on its way out (`moving`) or gone (`left`, kept for `RouteTimes.leftLifetime`).
    func mark(_ di: DeviceID, pod: Pod, epoch: UInt64, as state: Route.State)
    /// Sign-out and deletion: the route goes at once.
    func drop(_ di: DeviceID, pod: Pod, epoch: UInt64)
    /// The route, nil if there is none.
    func find(_ di: DeviceID, completion: @escaping Completion<FoundRoute?>)
    /// The same, and in one step with it: unless the route is live, the edge is noted as waiting, and `listen` hears of
    /// the next claim or assertion. What it is told may get lost, so it looks again from time to time.
    func wait(for di: DeviceID, edge: String, completion: @escaping Completion<FoundRoute?>)
    /// Says who is told of routes that `edge` waits for. Once per process, before the first `wait`.
    func listen(as edge: String, heard: @escaping @Sendable (Route) -> Void)

    /// Tells that the pod lives, and what it has to do.
    func renew(_ pod: Pod, load: PodLoad, completion: @escaping Completion<LeaseRenewal>)
    /// Gives the lease back: the pod stops.
    func resign(_ pod: Pod)
    /// What is known of another pod's lease.
    func lease(of pod: Pod, completion: @escaping Completion<PodLease>)
    /// Every pod whose lease is held.
    func leases(completion: @escaping Completion<[LeasedPod]>)
}

extension RouteStore {
    /// A store that cannot tell leaves it to whoever asks to give up in time.
    package func lease(of pod: Pod, completion: @escaping Completion<PodLease>) {
        completion(.success(.held))
    }

    /// The same for one that keeps no list.
    package func leases(completion: @escaping Completion<[LeasedPod]>) {
        completion(.failure(RouteStoreUnavailable(reason: "this store keeps no list of pods")))
    }
}
