import Cloud
import NIOCore

/// The way of one sign-in to its epoch, without input or output: claim the route, in a contested device ask its holder
/// first, have the pod that is displaced acknowledge. It ends exactly once, in `begin`, `beginUnwritten` or `refuse`.
struct RouteClaiming {
    enum Action: Hashable {
        /// Ask the store, and come back at `until` at the latest.
        case claim(replacing: UInt64?, until: NIODeadline)
        /// Ask whether the holder's device answers a Ping, and come back at `until` at the latest.
        case probe(holder: Route, until: NIODeadline)
        /// Tell the displaced session's pod, and come back at `until` at the latest.
        case notify(RouteClaim, displaced: Route, until: NIODeadline)
        case begin(RouteClaim)
        /// The store has not answered: the epoch is the pod's own.
        case beginUnwritten
        /// The holder of a contested device is alive.
        case refuse(holder: Route)
        /// The store answered after the session had begun without it.
        case late(RouteClaim)
        case nothing
    }

    enum Holder: Hashable {
        case alive
        /// No Pong, no such session, or its pod is gone.
        case dead
        /// Nobody can say. Taken for alive: two peers in turn do more harm than one that waits a minute.
        case unknown
    }

    private enum State {
        case claiming(replacing: UInt64?, until: NIODeadline)
        case probing(Route, until: NIODeadline)
        case notifying(RouteClaim, until: NIODeadline)
        case over(isUnwritten: Bool)
    }

    /// Longer than a probe takes that is answered, however it is answered.
    static let probeLimit = TimeAmount(RouteTimes.contestPing) + .seconds(1)

    private let pod: Pod
    private var state: State

    init(pod: Pod) {
        self.pod = pod
        self.state = .over(isUnwritten: false)
    }

    mutating func start(now: NIODeadline) -> Action {
        self.claim(replacing: nil, now: now)
    }

    private mutating func claim(replacing: UInt64?, now: NIODeadline) -> Action {
        let until = now + TimeAmount(RouteTimes.claimLimit)
        self.state = .claiming(replacing: replacing, until: until)
        return .claim(replacing: replacing, until: until)
    }

    mutating func claimed(_ result: Result<RouteClaimOutcome, RouteStoreUnavailable>, now: NIODeadline) -> Action {
        switch self.state {
        case .claiming(let replacing, let until):
            switch result {
            case .success(.claimed(let claim)):
                guard let displaced = claim.displaced, displaced.pod != self.pod, until > now else {
                    self.state = .over(isUnwritten: false)
                    return .begin(claim)
                }
                self.state = .notifying(claim, until: until)
                return .notify(claim, displaced: displaced, until: until)
            case .success(.contested(let holder)):
                guard replacing == nil else {
                    self.state = .over(isUnwritten: false)
                    return .refuse(holder: holder)
                }
                let until = now + Self.probeLimit
                self.state = .probing(holder, until: until)
                return .probe(holder: holder, until: until)
            case .failure:
                self.state = .over(isUnwritten: true)
                return .beginUnwritten
            }
        case .over(isUnwritten: true):
            guard case .success(.claimed(let claim)) = result else { return .nothing }
            return .late(claim)
        case .probing, .notifying, .over(isUnwritten: false):
            return .nothing
        }
    }

    mutating func probed(_ holder: Holder, now: NIODeadline) -> Action {
        guard case .probing(let route, _) = self.state else { return .nothing }
        switch holder {
        case .dead:
            return self.claim(replacing: route.epoch, now: now)
        case .alive, .unknown:
            self.state = .over(isUnwritten: false)
            return .refuse(holder: route)
        }
    }

    /// The displaced pod has acknowledged, or need not be waited for.
    mutating func acknowledged() -> Action {
        guard case .notifying(let claim, _) = self.state else { return .nothing }
        self.state = .over(isUnwritten: false)
        return .begin(claim)
    }

    mutating func deadlineReached(now: NIODeadline) -> Action {
        switch self.state {
        case .claiming(_, let until) where until <= now:
            self.state = .over(isUnwritten: true)
            return .beginUnwritten
        case .probing(let holder, let until) where until <= now:
            self.state = .over(isUnwritten: false)
            return .refuse(holder: holder)
        case .notifying(let claim, let until) where until <= now:
            self.state = .over(isUnwritten: false)
            return .begin(claim)
        case .claiming, .probing, .notifying, .over:
            return .nothing
        }
    }
}
