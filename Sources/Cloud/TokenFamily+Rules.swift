/// The rows of the table of a family's states.
extension TokenFamily {
    /// Whom a peer says a token belongs to.
    package struct Claim: Hashable, Sendable {
        package var uid: UserID
        package var di: DeviceID

        package init(uid: UserID, di: DeviceID) {
            self.uid = uid
            self.di = di
        }
    }

    /// Something of the family was shown to us. Tokens were found by their hashes, hence the generations.
    package enum Event: Hashable, Sendable {
        /// The one-time code again, which was exchanged for this family.
        case code(di: DeviceID, expiresAt: Timestamp?)
        /// An access token; `claim` is nil where the bearer need not say who he is.
        case access(generation: Int, expiresAt: Timestamp?, claim: Claim?)
        /// A refresh token. `forgiven`: the peer's certificate names the di, or the operator prefers recovery to
        /// revocation.
        case refresh(generation: Int, claim: Claim, forgiven: Bool)
    }

    package enum Refusal: Hashable, Sendable {
        /// Of another uid or di.
        case foreign
        case expired
        /// The code was exchanged and the tokens were used.
        case spent
        /// A newer pair took its place.
        case superseded
        case revoked
    }

    package enum Decision: Hashable, Sendable {
        /// Let the bearer in; nothing changed.
        case serve
        /// Let the bearer in; his generation is confirmed now and the pairs before it are dead.
        case confirm
        /// Issue and seal the pair of this generation, the family's newest from now on; the one before stays valid.
        /// `reuse`: an old refresh token was forgiven.
        case issue(generation: Int, reuse: Bool)
        /// The answer of the newest generation once more.
        case repeatReply
        /// An old refresh token came back: everything of the family is dead now.
        case revoke
        /// Nothing changed.
        case refuse(Refusal)
    }

    /// For how long after a pair's first use its predecessor's refresh token is a late duplicate and not a theft.
    package static let duplicateWindow: Duration = .seconds(60)
    /// How many generations back a refresh token is still recognised.
    package static let rememberedGenerations = 8

    package mutating func handle(_ event: Event, now: Timestamp) -> Decision {
        switch event {
        case .code(let di, let expiresAt):
            self.codeShown(di: di, expiresAt: expiresAt, now: now)
        case .access(let generation, let expiresAt, let claim):
            self.accessShown(generation, expiresAt: expiresAt, claim: claim, now: now)
        case .refresh(let generation, let claim, let forgiven):
            self.refreshShown(generation, claim: claim, forgiven: forgiven, now: now)
        }
    }

    private func codeShown(di: DeviceID, expiresAt: Timestamp?, now: Timestamp) -> Decision {
        guard di == self.di else { return .refuse(.foreign) }
        switch self.state {
        case .revoked:
            return .refuse(.revoked)
        case .confirmed:
            return .refuse(.spent)
        case .pending:
            guard self.generation == 1 else { return .refuse(.spent) }
            if let expiresAt, now >= expiresAt { return .refuse(.expired) }
            return .repeatReply
        }
    }

    private mutating func accessShown(
        _ shown: Int, expiresAt: Timestamp?, claim: Claim?, now: Timestamp
    ) -> Decision {
        if let claim, !self.matches(claim) { return .refuse(.foreign) }
        if self.state == .revoked { return .refuse(.revoked) }
        if let expiresAt, now >= expiresAt { return .refuse(.expired) }
        switch self.state {
        case .revoked:
            return .refuse(.revoked)
        case .confirmed:
            return shown == self.generation ? .serve : .refuse(.superseded)
        case .pending:
            if shown == self.generation {
                self.confirm(now: now)
                return .confirm
            }
            return shown == self.generation - 1 ? .serve : .refuse(.superseded)
        }
    }

    private mutating func refreshShown(_ shown: Int, claim: Claim, forgiven: Bool, now: Timestamp) -> Decision {
        guard self.matches(claim) else { return .refuse(.foreign) }
        // Its row may still be there.
        guard shown >= self.generation - Self.rememberedGenerations else { return .refuse(.superseded) }
        switch self.state {
        case .revoked:
            return .refuse(.revoked)
        case .confirmed:
            if shown == self.generation { return self.issue(reuse: false) }
            if shown == self.generation - 1, self.isLateDuplicate(now: now) { return .repeatReply }
            return self.reused(forgiven: forgiven)
        case .pending:
            if shown == self.generation {
                self.confirm(now: now)
                return self.issue(reuse: false)
            }
            if shown == self.generation - 1 { return .repeatReply }
            // Unspecified: the table has older tokens come back only while CONFIRMED. A late duplicate of the request
            // before is no theft here either, but there is no reply left to repeat.
            if shown == self.generation - 2, self.isLateDuplicate(now: now) { return .refuse(.superseded) }
            return self.reused(forgiven: forgiven)
        }
    }

    private func matches(_ claim: Claim) -> Bool {
        claim.uid == self.uid && claim.di == self.di
    }

    private func isLateDuplicate(now: Timestamp) -> Bool {
        guard let confirmedAt = self.confirmedAt else { return false }
        return now - confirmedAt <= Self.duplicateWindow
    }

    private mutating func confirm(now: Timestamp) {
        self.state = .confirmed
        self.confirmedAt = now
        self.sealedUntil = now + Self.duplicateWindow
    }

    private mutating func issue(reuse: Bool) -> Decision {
        self.state = .pending
        self.generation += 1
        self.sealedReply = nil
        self.sealedUntil = nil
        return .issue(generation: self.generation, reuse: reuse)
    }

    private mutating func reused(forgiven: Bool) -> Decision {
        if forgiven { return self.issue(reuse: true) }
        self.state = .revoked
        self.sealedReply = nil
        self.sealedUntil = nil
        return .revoke
    }
}
