import Cloud
import Synchronization

/// Who stands behind which token, as far as this program has asked lately, and what was taken back since.
///
/// An entry says at which moment of the change log it was read, and is good only while no later change names it: that
/// is looked at when it comes in and whenever it is used. Filled by what the registry answered about a token that was
/// used, never by what it issued. It admits nobody before the changes are followed, nor when no registry was heard of
/// for 10 min. Times are monotonic.
package final class IdentityCache: Sendable {
    /// How long an entry is used at most.
    package static let lifetime: Duration = .seconds(60)
    /// For how long after the last word of a registry entries are used.
    package static let outageLimit: Duration = .seconds(600)

    private struct State {
        var principals: RecentPrincipals
        var revocations: RevocationMemory
        var lastHeard: ContinuousClock.Instant?
        /// What other programs keep and read at a smaller sequence may be of a store that was replaced by an older one.
        var sharedFloor: Int64 = .min
        /// What the registry's clock showed, and when we heard of it.
        var registryTime: (shown: Timestamp, at: ContinuousClock.Instant)?
        /// Changes that are told of before they are known, and how many of them are known.
        var announced = 0
        var caughtUp = 0
    }

    private let state: Mutex<State>
    private let outageLimit: Duration?
    private let clock: @Sendable () -> ContinuousClock.Instant

    /// - Parameters:
    ///   - capacity: entries; the one that was used longest ago gives way.
    ///   - rememberedChanges: how many changes are known by subject.
    ///   - outageLimit: for how long after the last word of a registry entries are used; nil: the registry is in this
    ///     process.
    ///   - clock: monotonic; tests give their own.
    package init(
        capacity: Int = 100_000, rememberedChanges: Int = 65_536,
        outageLimit: Duration? = IdentityCache.outageLimit,
        clock: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        self.state = Mutex(
            State(
                principals: RecentPrincipals(capacity: capacity),
                revocations: RevocationMemory(capacity: rememberedChanges)))
        self.outageLimit = outageLimit
        self.clock = clock
    }

    func now() -> ContinuousClock.Instant { self.clock() }

    package var count: Int { self.state.withLock { $0.principals.count } }

    /// When a registry was last heard of; nil: never.
    package var lastHeard: ContinuousClock.Instant? { self.state.withLock { $0.lastHeard } }

    /// What the registry's clock shows; nil before it was heard of.
    var registryNow: Timestamp? {
        let now = self.clock()
        return self.state.withLock { Self.registryNow($0, now: now) }
    }

    private static func registryNow(_ state: State, now: ContinuousClock.Instant) -> Timestamp? {
        state.registryTime.map { $0.shown + (now - $0.at) }
    }

    // MARK: Whoever asks

    /// Whether entries are used at all.
    var isAdmitting: Bool {
        let now = self.clock()
        return self.state.withLock { self.isAdmitting($0, now: now) }
    }

    private func isAdmitting(_ state: State, now: ContinuousClock.Instant) -> Bool {
        guard state.revocations.position != nil, state.announced == state.caughtUp, let lastHeard = state.lastHeard
        else { return false }
        return self.outageLimit.map { now - lastHeard < $0 } ?? true
    }

    func find(_ hash: SecretHash) -> Recognition? {
        let now = self.clock()
        return self.state.withLock { state in
            guard self.isAdmitting(state, now: now), let entry = state.principals.find(hash) else { return nil }
            let cached = entry.cached
            guard now < entry.keptUntil, entry.endsAt.map({ now < $0 }) ?? true,
                state.revocations.allows(cached.principal.subjects, readAt: cached.sequence)
            else {
                state.principals.remove(hash)
                return nil
            }
            return Recognition(
                principal: cached.principal, sequence: cached.sequence, remaining: entry.endsAt.map { $0 - now })
        }
    }

    /// Whether a change that came meanwhile names who was read at its sequence. True before changes are followed: there
    /// is nothing to know better by.
    func stands(_ known: Recognition) -> Bool {
        self.state.withLock { state in
            state.revocations.position == nil
                || state.revocations.allows(known.principal.subjects, readAt: known.sequence)
        }
    }

    /// Keeps what the registry has answered about a token that was used.
    ///
    /// - Parameter asked: when it was asked: its time counts from there.
    func keep(_ known: Recognition, for hash: SecretHash, asked: ContinuousClock.Instant) {
        self.state.withLock { state in
            guard state.revocations.allows(known.principal.subjects, readAt: known.sequence) else { return }
            let endsAt = known.remaining.map { asked + $0 }
            state.principals.keep(
                RecentPrincipals.Entry(
                    cached: known.cached, endsAt: endsAt,
                    keptUntil: min(endsAt ?? asked + Self.lifetime, asked + Self.lifetime)),
                for: hash)
        }
    }

    /// Takes over what another program keeps for all.
    ///
    /// - Returns: nil if it is too old, or was taken back since.
    func adopt(_ cached: CachedPrincipal, for hash: SecretHash) -> Recognition? {
        let now = self.clock()
        let remaining: Duration? = self.state.withLock { state in
            guard cached.sequence >= state.sharedFloor else { return .zero }
            // A later token of the same family was used here: only the registry knows whether this one is still good.
            if let family = cached.principal.family, let known = state.principals.token(of: family), known != hash {
                return .zero
            }
            // A moment by the registry's clock means something only to those who know what it shows.
            guard let expiresAt = cached.principal.expiresAt else { return nil }
            return Self.registryNow(state, now: now).map { expiresAt - $0 } ?? .zero
        }
        if let remaining, remaining <= .zero { return nil }
        let known = Recognition(principal: cached.principal, sequence: cached.sequence, remaining: remaining)
        self.keep(known, for: hash, asked: now)
        return self.find(hash)
    }

    // MARK: Whoever follows the changes

    /// A registry has said where the change log stands.
    func heard(registryTime: Timestamp) {
        let now = self.clock()
        self.state.withLock { state in
            state.lastHeard = now
            state.registryTime = (registryTime, now)
        }
    }

    /// What a follower of the change log found in it.
    func learn(_ action: FollowerMachine.Action, _ machine: FollowerMachine) {
        switch action {
        case .begin(let last): self.begin(at: last)
        case .apply(let change): self.apply(change)
        case .gap(let last): self.begin(at: last, reusedUpTo: machine.reusedUpTo)
        }
    }

    /// A change was written that is not known here yet: nothing is answered until it is.
    func announce() {
        self.state.withLock { $0.announced += 1 }
    }

    /// How many changes were told of: those are in what is read after this was asked.
    var announced: Int { self.state.withLock { $0.announced } }

    /// All changes are known of which so many were told.
    func caughtUp(to announced: Int) {
        self.state.withLock { $0.caughtUp = announced }
    }

    /// Changes are known from here on; everything that was kept is dropped.
    ///
    /// - Parameter reusedUpTo: sequences up to here are given out a second time, by an older store than there was.
    func begin(at last: Int64, reusedUpTo: Int64? = nil) {
        self.state.withLock { state in
            state.principals.removeAll()
            if let reusedUpTo { state.sharedFloor = reusedUpTo + 1 }
            state.revocations.begin(at: last)
        }
    }

    /// - Returns: false if the change was known already.
    @discardableResult
    func apply(_ change: Change) -> Bool {
        self.state.withLock { $0.revocations.note(change) }
    }
}
