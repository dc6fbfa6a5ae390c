package import CoAP
package import NIOCore

/// Which replica gets the next request, and whether a request is sent again: the rules only.
package struct ReplicaChoice {
    private struct Replica {
        var inFlight = 0
        /// It could not be reached, so it is the last choice until then.
        var avoidedUntil: NIODeadline?
    }

    package enum UpdateAction: Hashable, Sendable {
        case unchanged
        case changed([String])
        /// The answer was empty or none: the list stays. `isNews` the first time in a row.
        case kept(isNews: Bool)
    }

    package enum AnswerAction: Hashable, Sendable {
        /// An answer of the registry.
        case pass
        /// Try once more, on this replica.
        case again(String)
        /// Nobody could be asked; that is all there is to say.
        case unavailable
    }

    private let maximum: Int
    /// For so long a replica that could not be reached is the last choice.
    private let avoidance: TimeAmount
    private var replicas: [String: Replica] = [:]
    /// In the order in which they came into the list.
    package private(set) var addresses: [String] = []
    private var lastUpdateFailed = false
    /// Since when nothing was answered; nil while it is.
    package private(set) var unreachableSince: NIODeadline?
    /// When, after that, something was answered again; nil while nothing ever went wrong.
    package private(set) var restoredAt: NIODeadline?
    package private(set) var lastAnswer: NIODeadline?

    package init(maximum: Int = 3, avoidance: TimeAmount = .seconds(2)) {
        self.maximum = maximum
        self.avoidance = avoidance
    }

    /// Whether whoever needed the registry within the last `span` may have asked in vain.
    package func wasUnreachable(within span: TimeAmount, now: NIODeadline) -> Bool {
        self.unreachableSince != nil || self.restoredAt.map { now < $0 + span } ?? false
    }

    /// What the name resolves to now; nil when it does not. Of more than `maximum` those that are in use stay, and the
    /// rest is filled up in the order given.
    package mutating func update(_ resolved: [String]?) -> UpdateAction {
        guard let resolved, !resolved.isEmpty else {
            defer { self.lastUpdateFailed = true }
            return .kept(isNews: !self.lastUpdateFailed)
        }
        self.lastUpdateFailed = false
        let staying = self.addresses.filter(resolved.contains)
        let new = resolved.filter { !staying.contains($0) }
        let list = Array((staying + new).prefix(self.maximum))
        guard list != self.addresses else { return .unchanged }
        self.addresses = list
        // What is in flight on one that left still counts down, in its own entry.
        for address in list where self.replicas[address] == nil { self.replicas[address] = Replica() }
        for (address, replica) in self.replicas where !list.contains(address) && replica.inFlight == 0 {
            self.replicas[address] = nil
        }
        return .changed(list)
    }

    /// The less loaded of two at random, and counts it. Nil without any replica.
    /// - Parameters:
    ///   - avoided: where it was tried already: only if there is no other.
    ///   - random: two random numbers.
    package mutating func pick(
        avoiding avoided: String? = nil, random: (UInt64, UInt64), now: NIODeadline
    ) -> String? {
        let others = self.addresses.filter { $0 != avoided }
        let good = others.filter { address in
            guard let until = self.replicas[address]?.avoidedUntil else { return true }
            return until <= now
        }
        let candidates = good.isEmpty ? (others.isEmpty ? self.addresses : others) : good
        guard !candidates.isEmpty else {
            self.unreachableSince = self.unreachableSince ?? now
            return nil
        }
        let first = Int(random.0 % UInt64(candidates.count))
        var chosen = candidates[first]
        if candidates.count > 1 {
            // Another one than the first.
            let step = 1 + Int(random.1 % UInt64(candidates.count - 1))
            let second = candidates[(first + step) % candidates.count]
            if self.load(of: second) < self.load(of: chosen) { chosen = second }
        }
        self.replicas[chosen, default: Replica()].inFlight += 1
        return chosen
    }

    package func load(of address: String) -> Int { self.replicas[address]?.inFlight ?? 0 }

    /// A request to `address` is over.
    /// - Parameters:
    ///   - isFirst: it was not sent before.
    ///   - timeLeft: what remains of its deadline.
    package mutating func answered(
        _ response: Response, by address: String, isFirst: Bool, timeLeft: TimeAmount, random: (UInt64, UInt64),
        now: NIODeadline
    ) -> AnswerAction {
        self.replicas[address]?.inFlight -= 1
        if self.replicas[address]?.inFlight == 0, !self.addresses.contains(address) {
            self.replicas[address] = nil
        }
        let undelivered = response.options.undelivered
        let unknown = response.options.unknownOutcome
        guard undelivered != nil || unknown != nil else {
            self.replicas[address]?.avoidedUntil = nil
            if self.unreachableSince != nil { self.restoredAt = now }
            self.unreachableSince = nil
            self.lastAnswer = now
            return .pass
        }
        // Too much work is no loss of contact, and neither is a request that is too large or was late before it left.
        switch undelivered {
        // All but the first are of devices and edges; a registry has no use for them.
        case .tooLarge, .tooManyInFlight, .overloaded, .routesUnavailable, .signedOut: return .pass
        case .queueFull, .late: return .unavailable
        case .unreachable, .noSession, .superseded, .moving, nil: break
        }
        self.replicas[address]?.avoidedUntil = now + self.avoidance
        self.unreachableSince = self.unreachableSince ?? now
        // Every operation of the registry is safe to repeat; one that was not answered in time has no time left.
        guard isFirst, timeLeft > .zero, unknown != .noAnswer,
            let next = self.pick(avoiding: address, random: random, now: now)
        else { return .unavailable }
        return .again(next)
    }
}
