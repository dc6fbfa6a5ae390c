/// Pairs of tokens: made, kept, answered, and answered again.
extension Identity {
    /// Every so many pairs of a family the rows of its old ones are deleted, all in one go.
    static let generationsBetweenPrunings = 4

    /// The newest pair of `family`, sealed into it.
    func makePair(for family: inout TokenFamily, now: Timestamp) throws(CloudError) -> ReplySealer.Pair {
        let pair = ReplySealer.Pair(
            accessToken: Secret(random: self.random),
            refreshToken: Secret(random: self.random),
            accessExpiresAt: self.configuration.lifetime(of: family.kind).map { now + $0 },
        )
        family.sealedReply = try self.sealer.seal(pair, family: family.id, generation: family.generation)
        return pair
    }

    /// Keeps the hashes of the newest pair and forgets what can never matter again.
    func store(
        _ pair: ReplySealer.Pair, of family: TokenFamily, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) {
        let access = Credential(
            hash: pair.accessToken.hash,
            kind: .access,
            uid: family.uid,
            di: family.di,
            deviceKind: family.kind,
            notBefore: now,
            notAfter: pair.accessExpiresAt,
            family: family.id,
            generation: family.generation,
        )
        var refresh = access
        refresh.hash = pair.refreshToken.hash
        refresh.kind = .refresh
        refresh.notAfter = nil
        try transaction.insert(access, refresh)
        // What is left until then is refused by its generation.
        guard family.generation % Self.generationsBetweenPrunings == 0 else { return }
        try transaction.prune(
            family.id,
            accessBelow: family.generation - 1,
            refreshBelow: family.generation - TokenFamily.rememberedGenerations,
        )
    }

    /// The answer of the newest generation once more.
    func repeatReply(
        of family: inout TokenFamily, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> Credentials {
        if let sealed = family.sealedReply,
            let pair = self.sealer.open(sealed, family: family.id, generation: family.generation)
        {
            return Self.answer(pair, of: family, now: now)
        }
        // The key that sealed it is gone. While nobody has used the pair, another one of the same generation does no
        // harm, and it spares the device a new provisioning.
        guard family.state == .pending else { throw Self.wrongRefreshToken("it was used already") }
        let pair = try self.makePair(for: &family, now: now)
        try transaction.deletePair(family.id, generation: family.generation)
        try self.store(pair, of: family, in: transaction, now: now)
        try transaction.update(family)
        return Self.answer(pair, of: family, now: now)
    }

    static func answer(_ pair: ReplySealer.Pair, of family: TokenFamily, now: Timestamp) -> Credentials {
        Credentials(
            accessToken: pair.accessToken,
            refreshToken: pair.refreshToken,
            expiresIn: Credentials.expiresIn(pair.accessExpiresAt, now: now),
            uid: family.uid,
        )
    }
}
