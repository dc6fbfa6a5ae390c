/// Sign-up: a one-time code becomes a family (OCF CNC, account).
extension Identity {
    /// Exchanges a one-time code. The same code and di get the very same answer again, from any connection, until the
    /// tokens are used or the code runs out: devices repeat a request whose answer was lost.
    ///
    /// The same di with a new code of the same user replaces its registration: older logins are over, links stay.
    ///
    /// - Throws: `unauthorized` when the code is unknown, used, expired or for another di, when di belongs to another
    ///   user or is of the other kind, and when an authorization provider is named that is not the user's.
    package func signUp(di: DeviceID, code: Secret, authProvider: String?) async throws(CloudError) -> Credentials {
        let now = self.clock.now()
        let (credentials, replaced) = try await self.store.write { transaction throws(CloudError) in
            try self.exchange(code, di: di, authProvider: authProvider, in: transaction, now: now)
        }
        if !replaced.isEmpty {
            self.recorded()
            self.observer(.registrationReplaced(uid: credentials.uid, di: di, families: replaced))
        }
        return credentials
    }

    private func exchange(
        _ code: Secret, di: DeviceID, authProvider: String?, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> (Credentials, replaced: [FamilyID]) {
        let hash = code.hash
        guard let known = try transaction.lockCredential(hash), known.hash == hash, known.kind == .code,
            let kind = known.deviceKind, known.isValid(at: now)
        else { throw Self.wrongCode("it is unknown, used or expired") }
        if let bound = known.di, bound != di { throw Self.wrongCode("it is for another di") }
        guard let user = try transaction.holdUser(known.uid) else { throw Self.wrongCode("its user is gone") }
        if let authProvider, !authProvider.isEmpty, authProvider.exact != user.authProvider.exact {
            throw CloudError(
                .unauthorized,
                "authprovider is not the one user \(user.uid) was registered with: use that or leave it out",
                field: "authprovider",
            )
        }
        if let exchanged = known.family {
            return (try self.repeatExchange(of: exchanged, code: known, di: di, in: transaction, now: now), [])
        }
        let replaced = try Self.admit(di, of: user.uid, kind: kind, in: transaction, now: now)
        var family = TokenFamily(
            id: FamilyID(random: self.random), uid: user.uid, di: di, kind: kind, codeExpiresAt: known.notAfter)
        let pair = try self.makePair(for: &family, now: now)
        try transaction.insert(family)
        try self.store(pair, of: family, in: transaction, now: now)
        try transaction.bindCode(hash, to: di, family: family.id)
        return (Self.answer(pair, of: family, now: now), replaced)
    }

    private func repeatExchange(
        of id: FamilyID, code: Credential, di: DeviceID, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> Credentials {
        guard var family = try transaction.lockFamily(id) else { throw Self.wrongCode("it was used already") }
        switch family.handle(.code(di: di, expiresAt: code.notAfter), now: now) {
        case .repeatReply:
            return try self.repeatReply(of: &family, in: transaction, now: now)
        case .serve, .confirm, .issue, .revoke, .refuse:
            throw Self.wrongCode("it was used already")
        }
    }

    /// Makes sure that `di` is the user's, as `kind`, and nobody is signed in by an older login.
    private static func admit(
        _ di: DeviceID, of uid: UserID, kind: DeviceKind, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> [FamilyID] {
        guard let device = try transaction.lockDevice(di) else {
            try transaction.insert(Device(di: di, uid: uid, kind: kind, createdAt: now))
            return []
        }
        guard device.uid == uid else { throw self.wrongCode("di belongs to another user, who must delete it first") }
        guard device.kind == kind else {
            throw self.wrongCode("di is signed up as a \(device.kind.rawValue), and the code is not for one")
        }
        let older = try transaction.families(of: di)
        for family in older {
            try transaction.deleteFamily(family)
            try transaction.record(.family, subject: family.text, at: now)
        }
        return older
    }

    private static func wrongCode(_ why: String, file: String = #fileID, line: Int = #line) -> CloudError {
        CloudError(
            .unauthorized, "the one-time code was refused: \(why); provision a new one", field: "accesstoken",
            file: file, line: line)
    }
}
