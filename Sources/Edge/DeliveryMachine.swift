package import Cloud
package import CoAP
package import NIOCore

/// Decides where one request goes next, and when it has come to its answer (docs/ARCHITECTURE.md, delivery).
///
///     new ─► sending ─► ended
///      │      │  ▲
///      ▼      ▼  │
///     looking ◄──┤
///      │         │
///      └► waiting┘
///
/// A value that exactly one place holds at a time: who has it owes the answer. It asks no store, sends nothing and
/// keeps no clock; it does not know how many others wait.
package struct DeliveryMachine: Sendable {
    /// One sending of the request.
    package struct Attempt: Hashable, Sendable {
        package let pod: Pod
        /// Which session it is meant for, 0: whichever there is.
        package let epoch: UInt64
        /// How long the pod may take.
        package let milliseconds: UInt32
    }

    /// What is known of the device's place.
    package enum Found: Hashable, Sendable {
        /// What the store has, nil if there is no route.
        case route(FoundRoute?)
        /// The store cannot be asked. The last route that was known, however old, may still be good.
        case unavailable(lastKnown: Route?)
    }

    /// Why, and so for how long, to wait.
    package enum Pace: Hashable, Sendable {
        /// The device is between two pods, and the next claim of its route is what is waited for.
        case betweenPods
        /// Store and pod contradict each other, as they do for the moment between a claim and the session's entrance,
        /// or between its end and the mark; or the pod cannot be reached: to be looked at again after this.
        case settling(Duration)
    }

    package enum StartAction: Equatable {
        case send(Attempt)
        case lookUp
        case answer(Response)
    }

    package enum AnswerAction: Equatable {
        /// It is the device's own.
        case passOn(Response)
        case answer(Response)
        /// Nobody got the request: the registry may know why, else it is this.
        case explain(Response)
        case lookUp
    }

    package enum FoundAction: Equatable {
        case send(Attempt)
        case wait(Pace)
        case answer(Response)
        case explain(Response)
    }

    package enum DeadlineAction: Equatable {
        case goOn
        case answer(Response)
    }

    private enum State: Sendable {
        case new
        case sending(place: Place, pod: Pod)
        case looking
        case waiting(Pace, otherwise: Response)
        case ended
    }

    /// A session as a route names it, 0 as the epoch where it was not known.
    private struct Place: Hashable, Sendable {
        let pod: String
        let epoch: UInt64
    }

    private struct Refusal: Sendable {
        let place: Place
        let reason: Undelivered
        let response: Response
    }

    /// After so many sendings the routes go round in circles.
    package static let maximumAttempts = 16
    /// How young a claim is for which the pod may not have its session yet.
    package static let settlingAge: Duration = .seconds(1)
    private static let settlingPauses: [Duration] = [20, 50, 100, 250, 500].map { .milliseconds($0) }
    /// So that `maximumAttempts` suffices for a request in flight at a session that is about to end.
    private static let movingPauses: [Duration] = [20, 50, 100, 250, 500, 1000, 2000].map { .milliseconds($0) }
    /// For how long a pod that cannot be reached, but has its lease, counts as one that died just now: if it did, the
    /// lease is over by then.
    package static let unreachableLimit = TimeAmount(RouteTimes.lease)
    /// So that `maximumAttempts` suffices for all of that time.
    private static let unreachablePauses: [Duration] = [20, 100, 250, 500, 1000].map { .milliseconds($0) }
    /// For how long a store that does not answer is asked again where nothing else helps: a machine that is short of
    /// breath, or a server that is replaced, is back by then. Who asks in vain should hear of it sooner than the
    /// deadline.
    package static let storeLimit = TimeAmount.seconds(5)
    private static let storePauses: [Duration] = [100, 250, 500, 1000].map { .milliseconds($0) }

    package let deadline: NIODeadline
    private let di: DeviceID
    private let uid: String
    private let isRepeatable: Bool
    private let localPod: Pod?
    private var state = State.new
    /// What the attempt came to that may have been acted on.
    private var first: Response?
    private var refusal: Refusal?
    private var attempts = 0
    private var settled = 0
    /// How often the pod said that the session is about to begin or to end.
    private var moves = 0
    /// The first refusal because the pod could not be reached, and how often that was waited for.
    private var unreachable: (since: NIODeadline, pauses: Int)?
    /// Since when the store does not answer, and how often that was waited for.
    private var storeless: (since: NIODeadline, pauses: Int)?
    /// Until when it leaves the pod alone that refused it, or the store.
    private var pauseEnds = NIODeadline.uptimeNanoseconds(0)
    private var wasSentWithoutEpoch = false
    private var wasSentToLastKnown = false
    private var wasSentToLocalPod = false

    /// - Parameters:
    ///   - uid: whose device it must be.
    ///   - deadline: nothing is done after it.
    ///   - isRepeatable: asking twice does no harm.
    ///   - localPod: the pod of this process, whose sessions can be reached without any route.
    package init(di: DeviceID, uid: String, deadline: NIODeadline, isRepeatable: Bool, localPod: Pod? = nil) {
        self.di = di
        self.uid = uid
        self.deadline = deadline
        self.isRepeatable = isRepeatable
        self.localPod = localPod
    }

    /// Whether an answer says that the route it came by leads nowhere.
    package static func disprovesRoute(_ response: Response) -> Bool {
        switch response.options.undelivered {
        case .noSession, .superseded, .moving, .unreachable, .signedOut: true
        case .queueFull, .late, .tooLarge, .tooManyInFlight, .overloaded, .routesUnavailable: false
        case nil: response.options.unknownOutcome == .connectionLost
        }
    }

    // MARK: Events

    /// - Parameter remembered: the route of a lookup made a short while ago.
    package mutating func start(remembered: Route?, now: NIODeadline) -> StartAction {
        guard self.millisecondsLeft(now) > 0 else { return .answer(self.end(.late(self.di))) }
        guard let remembered, remembered.uid.text == self.uid else {
            self.state = .looking
            return .lookUp
        }
        return .send(self.attempt(remembered, now))
    }

    /// The pod, or whoever did not reach it, has answered.
    package mutating func answered(_ response: Response, now: NIODeadline) -> AnswerAction {
        guard case .sending(let place, _) = self.state else { return .answer(self.end(response)) }
        switch response.options.undelivered {
        case .noSession, .superseded, .moving, .unreachable:
            break
        case .queueFull, .late, .tooLarge, .tooManyInFlight, .overloaded, .routesUnavailable, .signedOut:
            // Not the last word where an attempt before may have been acted on; and that the time was over says less
            // than what it went by with.
            let before = response.options.undelivered == .late ? self.refusal?.response : nil
            return .answer(self.end(self.first ?? before ?? response))
        case nil:
            return self.delivered(response, now)
        }
        if let reason = response.options.undelivered {
            self.refusal = Refusal(place: place, reason: reason, response: response)
        }
        if let first = self.first, self.attempts >= Self.maximumAttempts { return .answer(self.end(first)) }
        guard self.attempts < Self.maximumAttempts else { return .explain(self.end(response)) }
        guard self.millisecondsLeft(now) > 0 else { return .answer(self.end(self.first ?? response)) }
        self.state = .looking
        return .lookUp
    }

    private mutating func delivered(_ response: Response, _ now: NIODeadline) -> AnswerAction {
        switch response.options.unknownOutcome {
        case nil:
            return .passOn(self.end(response))
        case .connectionLost where self.isRepeatable && self.first == nil && self.millisecondsLeft(now) > 0:
            self.first = response
            self.refusal = nil
            self.state = .looking
            return .lookUp
        case .connectionLost, .noAnswer, .unusableAnswer:
            return .answer(self.end(response))
        }
    }

    /// The store was asked, or tells of a new route.
    package mutating func found(_ found: Found, now: NIODeadline) -> FoundAction {
        if case .answer(let response) = self.deadlineReached(now: now) { return .answer(response) }
        switch found {
        case .unavailable(let lastKnown):
            return self.withoutStore(lastKnown, now)
        case .route(let found):
            self.storeless = nil
            guard let found, found.route.uid.text == self.uid else { return self.giveUp(.offline(self.di)) }
            if found.isLive { return self.live(found, now) }
            guard found.isWorthWaiting else { return self.giveUp(.offline(self.di)) }
            return self.wait(
                .betweenPods, now, otherwise: found.route.state == .moving ? .moving(self.di) : .offline(self.di))
        }
    }

    /// One that came earlier waits, and is not overtaken.
    package mutating func heldBack(_ pace: Pace, now: NIODeadline) -> FoundAction {
        if case .answer(let response) = self.deadlineReached(now: now) { return .answer(response) }
        self.storeless = nil
        // Its own pauses grow as if it had asked for them, so that its attempts last as long.
        if case .settling = pace, self.refusal?.reason == .moving { self.moves += 1 }
        if case .waiting(_, let otherwise) = self.state { return self.wait(pace, now, otherwise: otherwise) }
        return self.wait(pace, now, otherwise: self.refusal?.response ?? .moving(self.di))
    }

    /// Ends the request if its time is over.
    package mutating func deadlineReached(now: NIODeadline) -> DeadlineAction {
        guard self.millisecondsLeft(now) == 0 else { return .goOn }
        switch self.state {
        case .waiting(_, let otherwise):
            return .answer(self.end(self.first ?? otherwise))
        case .looking, .new:
            return .answer(self.end(self.first ?? self.refusal?.response ?? .late(self.di)))
        case .sending, .ended:
            // Whoever was sent to answers.
            return .goOn
        }
    }

    /// There is no room, to wait in or at the pod.
    package mutating func turnedAway(_ response: Response? = nil) -> Response {
        self.end(self.first ?? response ?? .noRoom(self.di))
    }

    /// Waiting makes no sense any more.
    package mutating func cutShort() -> Response {
        guard case .waiting(_, let otherwise) = self.state else { return self.turnedAway() }
        return self.end(self.first ?? otherwise)
    }

    // MARK: Decisions

    private mutating func live(_ found: FoundRoute, _ now: NIODeadline) -> FoundAction {
        let place = Place(pod: found.route.pod.name, epoch: found.route.epoch)
        guard let refusal = self.refusal, refusal.place == place else {
            return .send(self.attempt(found.route, now))
        }
        switch refusal.reason {
        case .superseded where !self.wasSentWithoutEpoch:
            // The pod has a newer session, which it could not write to the store so far.
            self.wasSentWithoutEpoch = true
            return .send(self.attempt(found.route, now, epoch: 0))
        case .superseded:
            // The pod knows better than the store that this session is on its way out.
            return self.wait(.betweenPods, now, otherwise: refusal.response)
        case .moving:
            // Its session is about to begin, so that no other claim will come, or to end, as the store will say.
            if let next = self.paused(found.route, refusal, now) { return next }
            let pause = Self.movingPauses[min(self.moves, Self.movingPauses.count - 1)]
            self.moves += 1
            return self.wait(.settling(pause), now, otherwise: refusal.response)
        case .unreachable:
            return self.liveButUnreachable(found.route, refusal, now)
        case .noSession, .queueFull, .late, .tooLarge, .tooManyInFlight, .overloaded, .routesUnavailable, .signedOut:
            if let next = self.paused(found.route, refusal, now) { return next }
            guard self.settled == 0 || found.age < Self.settlingAge else { return self.giveUp(refusal.response) }
            let pause = Self.settlingPauses[min(self.settled, Self.settlingPauses.count - 1)]
            self.settled += 1
            return self.wait(.settling(pause), now, otherwise: refusal.response)
        }
    }

    /// The route is as it was when the pod refused the request, and that was waited for: not yet for long enough, or
    /// it is asked again. Whoever else waits for the device makes the store be asked more often than that.
    private mutating func paused(_ route: Route, _ refusal: Refusal, _ now: NIODeadline) -> FoundAction? {
        guard case .waiting(.settling, _) = self.state else { return nil }
        guard now < self.pauseEnds else { return .send(self.attempt(route, now)) }
        return self.wait(.settling(Duration(self.pauseEnds - now)), now, otherwise: refusal.response)
    }

    /// Its pod has died, or is cut off from this edge: the store cannot tell yet. Where it died the device is about to
    /// be at another pod.
    private mutating func liveButUnreachable(_ route: Route, _ refusal: Refusal, _ now: NIODeadline) -> FoundAction {
        if let next = self.paused(route, refusal, now) { return next }
        let (since, pauses) = self.unreachable ?? (now, 0)
        guard now < since + Self.unreachableLimit else { return self.giveUp(refusal.response) }
        self.unreachable = (since, pauses + 1)
        let pause = Self.unreachablePauses[min(pauses, Self.unreachablePauses.count - 1)]
        return self.wait(.settling(pause), now, otherwise: refusal.response)
    }

    private mutating func withoutStore(_ lastKnown: Route?, _ now: NIODeadline) -> FoundAction {
        if case .waiting(_, let otherwise) = self.state, self.storeless == nil {
            return self.wait(.betweenPods, now, otherwise: otherwise)
        }
        if let lastKnown, !self.wasSentToLastKnown, lastKnown.uid.text == self.uid,
            self.refusal?.place != Place(pod: lastKnown.pod.name, epoch: lastKnown.epoch)
        {
            self.wasSentToLastKnown = true
            return .send(self.attempt(lastKnown, now))
        }
        if let localPod = self.localPod, !self.wasSentToLocalPod {
            self.wasSentToLocalPod = true
            self.attempts += 1
            self.state = .sending(place: Place(pod: localPod.name, epoch: 0), pod: localPod)
            return .send(Attempt(pod: localPod, epoch: 0, milliseconds: self.millisecondsLeft(now)))
        }
        let response = self.first ?? .routesUnavailable(self.di)
        let (since, pauses) = self.storeless ?? (now, 0)
        guard now < since + Self.storeLimit else { return .answer(self.end(response)) }
        if case .waiting(let pace, _) = self.state, now < self.pauseEnds { return .wait(pace) }
        self.storeless = (since, pauses + 1)
        let pause = Self.storePauses[min(pauses, Self.storePauses.count - 1)]
        return self.wait(.settling(pause), now, otherwise: response)
    }

    private mutating func attempt(_ route: Route, _ now: NIODeadline, epoch: UInt64? = nil) -> Attempt {
        self.attempts += 1
        self.state = .sending(place: Place(pod: route.pod.name, epoch: route.epoch), pod: route.pod)
        return Attempt(pod: route.pod, epoch: epoch ?? route.epoch, milliseconds: self.millisecondsLeft(now))
    }

    private mutating func wait(_ pace: Pace, _ now: NIODeadline, otherwise: Response) -> FoundAction {
        if case .settling(let pause) = pace { self.pauseEnds = now + TimeAmount(pause) }
        self.state = .waiting(pace, otherwise: otherwise)
        return .wait(pace)
    }

    /// Nobody got the request, and nobody will.
    private mutating func giveUp(_ response: Response) -> FoundAction {
        // An attempt that may have been acted on is what counts.
        if let first = self.first { return .answer(self.end(first)) }
        return .explain(self.end(response))
    }

    private mutating func end(_ response: Response) -> Response {
        self.state = .ended
        return response
    }

    private func millisecondsLeft(_ now: NIODeadline) -> UInt32 {
        now < self.deadline ? UInt32(clamping: (self.deadline - now).nanoseconds / 1_000_000) : 0
    }
}
