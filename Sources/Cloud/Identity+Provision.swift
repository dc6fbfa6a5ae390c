/// Registration and provisioning: what people and mediators do before a device comes.
extension Identity {
    /// Bytes an authorization provider's name may have.
    package static let maximumAuthProviderBytes = 128

    /// Registers a user. His token is shown once and good until he is deleted.
    ///
    /// - Throws: `conflict` when there is such a user.
    package func registerUser(_ uid: UserID, authProvider: String) async throws(CloudError) -> Secret {
        guard authProvider.utf8.count <= Self.maximumAuthProviderBytes,
            !authProvider.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw CloudError(
                .badRequest,
                "authprovider is longer than \(Self.maximumAuthProviderBytes) bytes or has control characters",
                field: "authprovider")
        }
        let now = self.clock.now()
        let token = Secret(random: self.random)
        try await self.store.write { transaction throws(CloudError) in
            guard try transaction.lockUser(uid) == nil else {
                throw CloudError(
                    .conflict,
                    "user \(uid) is registered already: go on with the access token shown then, or delete the user "
                        + "with it and register anew",
                    field: "uid")
            }
            try transaction.insert(User(uid: uid, authProvider: authProvider, createdAt: now))
            try transaction.insert(Credential(hash: token.hash, kind: .user, uid: uid, notBefore: now))
        }
        self.observer(.userBegun(uid: uid))
        return token
    }

    /// Makes a mediator of the user. Its token is shown once and good until the user is deleted.
    ///
    /// - Throws: `unauthorized` unless the token is the one of this user's registration, `tooMany` beyond the limit.
    package func provisionMediator(uid: UserID, userToken: Secret) async throws(CloudError) -> Secret {
        let now = self.clock.now()
        let token = Secret(random: self.random)
        let limit = self.configuration.maximumMediators
        try await self.store.write { transaction throws(CloudError) in
            let owner = try Self.owner(of: userToken, kind: .user, in: transaction, now: now)
            guard owner == uid else { throw Self.wrongToken("uid \(uid) is not the token's") }
            guard try transaction.countCredentials(.mediator, of: uid, limit: limit) < limit else {
                throw CloudError(
                    .tooMany, "user \(uid) has \(limit) mediators, which is the limit: use one of them")
            }
            try transaction.insert(Credential(hash: token.hash, kind: .mediator, uid: uid, notBefore: now))
        }
        return token
    }

    /// Makes a one-time code with which a client or device signs up as one of the mediator's user. It lives for
    /// `IdentityConfiguration.codeLifetime`; without a `di` it binds to the first that uses it.
    ///
    /// - Throws: `unauthorized` unless the token is a mediator's; `conflict` when `di` belongs to another user or is
    ///   known as the other kind; `tooMany` beyond the limit.
    package func provisionCode(
        kind: DeviceKind, di: DeviceID?, mediatorToken: Secret
    ) async throws(CloudError) -> Secret {
        let now = self.clock.now()
        let code = Secret(random: self.random)
        let lifetime = self.configuration.codeLifetime
        let limit = self.configuration.maximumCodes
        try await self.store.write { transaction throws(CloudError) in
            let uid = try Self.bearer(of: mediatorToken, kind: .mediator, in: transaction, now: now)
            // Those that are counted come one after the other, the others side by side.
            let isCounted = !self.codeAllowances.take(for: uid)
            guard try isCounted ? transaction.lockUser(uid) != nil : transaction.holdUser(uid) != nil else {
                throw Self.wrongToken("its user is gone")
            }
            if let di, let known = try transaction.device(di) {
                guard known.uid == uid else {
                    throw CloudError(
                        .conflict, "the id \(di) belongs to another user: its owner must delete it first", field: "di")
                }
                guard known.kind == kind else {
                    throw CloudError(
                        .conflict,
                        "\(di) is signed up as a \(known.kind.rawValue): provision it as one, or delete it first",
                        field: "di")
                }
            }
            if isCounted {
                let outstanding = try transaction.countCredentials(.code, of: uid, limit: limit)
                guard outstanding < limit else {
                    throw CloudError(
                        .tooMany,
                        "user \(uid) has \(limit) one-time codes outstanding, which is the limit: use some first",
                        retryAfter: lifetime)
                }
                self.codeAllowances.counted(outstanding, of: uid, limit: limit)
            }
            try transaction.insert(
                Credential(
                    hash: code.hash,
                    kind: .code,
                    uid: uid,
                    di: di,
                    deviceKind: kind,
                    notBefore: now,
                    notAfter: now + lifetime,
                ))
        }
        return code
    }

    /// The user behind a token of his, his row locked.
    static func owner(
        of token: Secret, kind: CredentialKind, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> UserID {
        let uid = try self.bearer(of: token, kind: kind, in: transaction, now: now)
        guard try transaction.lockUser(uid) != nil else { throw self.wrongToken("its user is gone") }
        return uid
    }

    /// The user behind a token of his.
    private static func bearer(
        of token: Secret, kind: CredentialKind, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> UserID {
        let hash = token.hash
        guard let credential = try transaction.credential(hash), credential.hash == hash,
            credential.kind == kind, credential.isValid(at: now)
        else { throw self.wrongToken("it is not a valid \(kind.rawValue) token") }
        return credential.uid
    }

    static func wrongToken(_ why: String, file: String = #fileID, line: Int = #line) -> CloudError {
        CloudError(.unauthorized, "the token was refused: \(why)", field: "accesstoken", file: file, line: line)
    }
}
