package import CoAP
package import NIOCore

/// Decides how one observation outlives its device's connection, without input, output, clock or dice.
///
///     registering ─► observing ─► lost ─► ready ─► registering …
///          │             │          │       │
///          └─────────────┴──────────┴───────┴────► ended
///
/// While the first registration runs nobody waits for a device that is not there. Later, when its pod has lost it, the
/// device has `limit` to come back: it is looked for after some jitter, and again after pauses. What a new registration
/// is answered with goes to the observer only if it says something new.
package struct ObservationMachine: Sendable {
    package enum Action: Hashable, Sendable {
        case nothing
        /// A notification for the observer.
        case tell(Response)
        /// The last word for the observer.
        case end(Response)
        /// `timeReached` wants to be called then.
        case wait(until: NIODeadline)
        /// Register as soon as others leave room for it; it may come to nothing until `timeReached` says so.
        case queue(until: NIODeadline)
    }

    private enum State: Sendable {
        /// - Parameter giveUp: nil for the first registration.
        case registering(giveUp: NIODeadline?)
        case observing
        case lost(giveUp: NIODeadline, retry: NIODeadline)
        case ready(giveUp: NIODeadline)
        case ended
    }

    /// How long a device may be away.
    package static let limit: TimeAmount = .seconds(30)
    /// How long a registration that found nobody is followed by none.
    private static let pauses: [TimeAmount] = [.milliseconds(500), .seconds(1), .seconds(2)]

    private var state = State.registering(giveUp: nil)
    private var told: Response?
    private var failures = 0
    private var isClosing = false

    package init() {}

    package var isEnded: Bool {
        if case .ended = self.state { true } else { false }
    }

    /// Whether its device is being looked for, so that what was told may not hold any more.
    package var isLost: Bool {
        switch self.state {
        case .lost, .ready, .registering(.some): true
        case .registering(nil), .observing, .ended: false
        }
    }

    /// Why an observation ended leaves it open whether the device can be observed elsewhere.
    package static func isLoss(_ response: Response) -> Bool {
        // What the registry says of a device is final, though nothing was delivered either.
        guard response.code.codeClass == 5 else { return false }
        return switch response.options.undelivered {
        case .noSession, .superseded, .moving, .unreachable, .routesUnavailable, .queueFull, .late, .overloaded: true
        case .tooLarge, .tooManyInFlight, .signedOut: false
        case nil: response.options.unknownOutcome == .connectionLost
        }
    }

    // MARK: Events

    /// The registration has its answer.
    /// - Parameter isStanding: more answers may follow.
    package mutating func answered(_ response: Response, isStanding: Bool, now: NIODeadline) -> Action {
        guard case .registering(let giveUp) = self.state else { return .nothing }
        if isStanding {
            self.state = .observing
            self.failures = 0
            if let told = self.told, told.showsTheSame(as: response) { return .nothing }
            return self.tell(response)
        }
        guard let giveUp, Self.isLoss(response) else { return self.end(response) }
        let pause = Self.pauses[min(self.failures, Self.pauses.count - 1)]
        self.failures += 1
        return self.lose(giveUp: giveUp, retry: now + pause, now: now)
    }

    /// The device says something new, or its pod why it will not.
    /// - Parameter jitter: how long to wait before the device is looked for, so that not all do at once.
    package mutating func heard(_ event: ObservationEvent, now: NIODeadline, jitter: TimeAmount) -> Action {
        guard case .observing = self.state else { return .nothing }
        switch event {
        case .notified(let response):
            return self.tell(response)
        case .ended(let response) where Self.isLoss(response):
            return self.lose(giveUp: now + Self.limit, retry: now + jitter, now: now)
        case .ended(let response):
            return self.end(response)
        }
    }

    /// A time that was waited for has come, or is over while nothing came of it.
    package mutating func timeReached(now: NIODeadline) -> Action {
        switch self.state {
        case .lost(let giveUp, _) where giveUp <= now, .ready(let giveUp) where giveUp <= now:
            return self.end(.gone)
        case .lost(let giveUp, let retry) where retry <= now:
            self.state = .ready(giveUp: giveUp)
            return .queue(until: giveUp)
        case .lost(let giveUp, let retry):
            return .wait(until: min(giveUp, retry))
        case .ready, .registering, .observing, .ended:
            return .nothing
        }
    }

    /// It is its turn to register.
    /// - Returns: until when; nil if it does not want to any more.
    package mutating func turnCame(now: NIODeadline) -> NIODeadline? {
        guard case .ready(let giveUp) = self.state, giveUp > now else { return nil }
        self.state = .registering(giveUp: giveUp)
        return giveUp
    }

    /// From now on nobody waits for a device to come back.
    package mutating func close() -> Action {
        self.isClosing = true
        switch self.state {
        case .lost, .ready: return self.end(.gone)
        case .registering, .observing, .ended: return .nothing
        }
    }

    // MARK: Inside

    private mutating func lose(giveUp: NIODeadline, retry: NIODeadline, now: NIODeadline) -> Action {
        guard !self.isClosing, giveUp > now else { return self.end(.gone) }
        self.state = .lost(giveUp: giveUp, retry: retry)
        return .wait(until: min(giveUp, retry))
    }

    private mutating func tell(_ response: Response) -> Action {
        self.told = response.compacted()
        return .tell(response)
    }

    private mutating func end(_ response: Response) -> Action {
        self.state = .ended
        return .end(response)
    }
}

extension Response {
    /// The last word where a device did not come back in time.
    static let gone = Response.edge(
        .serviceUnavailable, .noSession, "the device did not come back in time: observe again later", maxAge: 10)
}
