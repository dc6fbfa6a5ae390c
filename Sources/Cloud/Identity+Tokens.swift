/// Sign-in, refresh, and the question who stands behind a token.
extension Identity {
    /// How coarse `Credential.lastUsed` is: it is written at most this often, so that using a token costs a read.
    package static let lastUsedGrain: Duration = .seconds(3600)

    /// Checks a sign-in (OCF CNC, session). The first use of an access token makes its pair the only valid one.
    ///
    /// - Throws: `unauthorized` unless the token is valid and belongs to `uid` and `di`.
    package func signIn(uid: UserID, di: DeviceID, accessToken: Secret) async throws(CloudError) -> SignedIn {
        let now = self.clock.now()
        let claim = TokenFamily.Claim(uid: uid, di: di)
        guard let use = try await self.use(accessToken, claim: claim, now: now), let family = use.family else {
            throw CloudError(
                .unauthorized,
                "the access token is unknown, expired or not the one of this uid and di: refresh it, or sign up with a "
                    + "new one-time code",
                field: "accesstoken")
        }
        return SignedIn(
            recognition: use.recognition(kind: family.kind.principalKind, now: now),
            kind: family.kind,
            family: family.id,
        )
    }

    /// Who stands behind an access token of any kind; nil when it is unknown, expired or revoked, and for codes and
    /// refresh tokens. One read, unless this is a first use.
    package func principal(for token: Secret) async throws(CloudError) -> Principal? {
        try await self.recognise(token)?.principal
    }

    /// The same, with what a cache must know.
    package func recognise(_ token: Secret) async throws(CloudError) -> Recognition? {
        let now = self.clock.now()
        guard let use = try await self.use(token, claim: nil, now: now) else { return nil }
        switch use.credential.kind {
        case .user: return use.recognition(kind: .user, now: now)
        case .mediator: return use.recognition(kind: .mediator, now: now)
        case .access: return use.family.map { use.recognition(kind: $0.kind.principalKind, now: now) }
        case .code, .refresh: return nil
        }
    }

    /// A token that was shown and found good.
    private struct Use: Sendable {
        let credential: Credential
        let family: TokenFamily?
        let sequence: Int64

        func recognition(kind: Principal.Kind, now: Timestamp) -> Recognition {
            Recognition(
                principal: Principal(
                    kind: kind, uid: self.credential.uid, di: self.credential.di, expiresAt: self.credential.notAfter,
                    family: self.family?.id),
                sequence: self.sequence,
                remaining: self.credential.notAfter.map { max(.zero, $0 - now) },
            )
        }
    }

    /// The credential of an access token that is valid now, with its family if it has one. A claim is only met by
    /// tokens of a family.
    private func use(
        _ token: Secret, claim: TokenFamily.Claim?, now: Timestamp
    ) async throws(CloudError) -> Use? {
        let hash = token.hash
        let grant = try await self.store.ask { transaction throws(CloudError) in try transaction.grant(hash) }
        guard let grant, grant.credential.hash == hash else { return nil }
        let credential = grant.credential
        switch credential.kind {
        case .code, .refresh:
            return nil
        case .user, .mediator:
            guard claim == nil, credential.isValid(at: now) else { return nil }
            await self.touch(credential, now: now)
            return Use(credential: credential, family: nil, sequence: grant.sequence)
        case .access:
            guard var family = grant.family else { return nil }
            switch family.handle(Self.shown(credential, claim: claim), now: now) {
            case .serve:
                return Use(credential: credential, family: family, sequence: grant.sequence)
            case .confirm:
                return try await self.confirm(family.id, by: hash, claim: claim, now: now)
            case .issue, .repeatReply, .revoke, .refuse:
                return nil
            }
        }
    }

    /// A first use. Decided once more under the family's lock: another use or a refresh may have come in between.
    private func confirm(
        _ id: FamilyID, by hash: SecretHash, claim: TokenFamily.Claim?, now: Timestamp
    ) async throws(CloudError) -> Use? {
        try await self.store.write { transaction throws(CloudError) in
            guard let grant = try transaction.lockGrant(hash, of: id), var family = grant.family else { return nil }
            switch family.handle(Self.shown(grant.credential, claim: claim), now: now) {
            case .confirm:
                // The tokens before it are refused from now on; their rows go with a later refresh.
                try transaction.update(family)
                return Use(credential: grant.credential, family: family, sequence: grant.sequence)
            case .serve:
                return Use(credential: grant.credential, family: family, sequence: grant.sequence)
            case .issue, .repeatReply, .revoke, .refuse:
                return nil
            }
        }
    }

    private static func shown(_ credential: Credential, claim: TokenFamily.Claim?) -> TokenFamily.Event {
        .access(generation: credential.generation, expiresAt: credential.notAfter, claim: claim)
    }

    /// Notes that the credential is in use, if that was not noted lately.
    private func touch(_ credential: Credential, now: Timestamp) async {
        if let lastUsed = credential.lastUsed, now - lastUsed < Self.lastUsedGrain { return }
        // A note for people: a store that cannot take it now must not refuse the bearer.
        try? await self.store.write { transaction throws(CloudError) in
            try transaction.touch(credential.hash, at: now)
        }
    }
}

extension Identity {
    private enum Refreshed: Sendable {
        case answered(Credentials, reuse: IdentityEvent?)
        case revoked(IdentityEvent)
    }

    /// Gives the next pair for a refresh token (OCF CNC, tokenrefresh), or the last answer again while it may have been
    /// lost.
    ///
    /// - Parameter certificateMatches: the peer's certificate names `di`, so an old token is a mishap and not a theft.
    /// - Throws: `unauthorized` when the token is unknown, of another uid or di, or old; an old one revokes its family.
    package func refresh(
        uid: UserID, di: DeviceID, refreshToken: Secret, certificateMatches: Bool = false
    ) async throws(CloudError) -> Credentials {
        let now = self.clock.now()
        let hash = refreshToken.hash
        let forgiven = certificateMatches || self.configuration.refreshReuse == .recover
        let outcome = try await self.store.write { transaction throws(CloudError) -> Refreshed in
            guard let credential = try transaction.credential(hash), credential.hash == hash,
                credential.kind == .refresh, let id = credential.family, var family = try transaction.lockFamily(id)
            else { throw Self.wrongRefreshToken("it is unknown") }
            let event = TokenFamily.Event.refresh(
                generation: credential.generation, claim: TokenFamily.Claim(uid: uid, di: di), forgiven: forgiven)
            switch family.handle(event, now: now) {
            case .issue(_, let reuse):
                let pair = try self.makePair(for: &family, now: now)
                try self.store(pair, of: family, in: transaction, now: now)
                try transaction.update(family)
                return .answered(
                    Self.answer(pair, of: family, now: now),
                    reuse: reuse ? .tokenReuse(uid: uid, di: di, family: id, sessionEnds: false) : nil,
                )
            case .repeatReply:
                return .answered(try self.repeatReply(of: &family, in: transaction, now: now), reuse: nil)
            case .revoke:
                try transaction.update(family)
                try transaction.record(.family, subject: id.text, at: now)
                return .revoked(.tokenReuse(uid: uid, di: di, family: id, sessionEnds: true))
            case .serve, .confirm, .refuse:
                throw Self.wrongRefreshToken("it is not the one of this uid and di, or its login is over")
            }
        }
        switch outcome {
        case .answered(let credentials, let reuse):
            if let reuse { self.observer(reuse) }
            return credentials
        case .revoked(let event):
            self.recorded()
            self.observer(event)
            throw Self.wrongRefreshToken("it was used already, so every token of this login was revoked")
        }
    }

    static func wrongRefreshToken(_ why: String, file: String = #fileID, line: Int = #line) -> CloudError {
        CloudError(
            .unauthorized, "the refresh token was refused: \(why); sign up with a new one-time code",
            field: "refreshtoken", file: file, line: line)
    }
}
