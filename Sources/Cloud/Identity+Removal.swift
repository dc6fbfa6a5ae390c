/// Sign-off, deletion and sweeping.
extension Identity {
    /// Ends the registration of a device or client (OCF CNC, DELETE account): its links and tokens are gone.
    ///
    /// Either a session says who asks, and what is missing is taken from it; or an access token does, with its di or
    /// uid.
    ///
    /// - Returns: whose live sessions must end.
    /// - Throws: `badRequest` when neither is there or a token comes alone; `unauthorized` when token, di, uid and
    ///   session do not belong together; `notFound` when the session's device is gone already.
    package func signOff(
        di: DeviceID?, uid: UserID?, accessToken: Secret?, session: (uid: UserID, di: DeviceID)?
    ) async throws(CloudError) -> [DeviceID] {
        let now = self.clock.now()
        guard accessToken != nil || session != nil else {
            throw CloudError(
                .badRequest, "accesstoken is missing: give it with di, or sign in first", field: "accesstoken")
        }
        guard di != nil || uid != nil || session != nil else {
            throw CloudError(.badRequest, "di is missing: give it with the access token, or sign in first", field: "di")
        }
        let claim = session.map { TokenFamily.Claim(uid: $0.uid, di: $0.di) }
        let device = try await self.removing { transaction throws(CloudError) in
            var target = claim
            if let accessToken {
                target = try Self.bearer(of: accessToken, in: transaction, now: now)
            }
            guard let target, di == nil || di == target.di, uid == nil || uid == target.uid,
                claim == nil || claim == target
            else { throw Self.wrongToken("token, di, uid and session do not belong together") }
            guard let device = try transaction.lockDevice(target.di), device.uid == target.uid else {
                throw CloudError(.notFound, "\(target.di) is not signed up any more", field: "di")
            }
            try Self.remove(device, in: transaction, now: now)
            return device
        }
        self.observer(.deviceDeleted(uid: device.uid, di: device.di, kind: device.kind))
        return [device.di]
    }

    /// Removes a user and everything of his.
    ///
    /// - Returns: whose live sessions must end.
    package func deleteUser(_ uid: UserID) async throws(CloudError) -> [DeviceID] {
        let now = self.clock.now()
        let gone = try await self.removing { transaction throws(CloudError) -> [DeviceID] in
            guard try transaction.lockUser(uid) != nil else {
                throw CloudError(.notFound, "there is no user \(uid)", field: "uid")
            }
            var owned: [DeviceID] = []
            while true {
                let page = try transaction.devices(of: uid, kind: nil, after: owned.last, limit: 1000)
                owned += page.map(\.di)
                if page.count < 1000 { break }
            }
            try transaction.deleteUser(uid)
            try transaction.record(.user, subject: uid.text, at: now)
            return owned
        }
        self.observer(.userDeleted(uid: uid))
        return gone
    }

    /// Removes a client of `uid`.
    ///
    /// - Throws: `notFound` when there is none of this id, `forbidden` when it is another user's.
    package func deleteClient(_ di: DeviceID, of uid: UserID) async throws(CloudError) -> [DeviceID] {
        try await self.delete(.client, di, of: uid)
    }

    /// Removes a device of `uid`.
    ///
    /// - Throws: `notFound` when there is none of this id, `forbidden` when it is another user's.
    package func deleteDevice(_ di: DeviceID, of uid: UserID) async throws(CloudError) -> [DeviceID] {
        try await self.delete(.device, di, of: uid)
    }

    private func delete(_ kind: DeviceKind, _ di: DeviceID, of uid: UserID) async throws(CloudError) -> [DeviceID] {
        let now = self.clock.now()
        try await self.removing { transaction throws(CloudError) in
            guard let device = try transaction.lockDevice(di) else {
                throw CloudError(.notFound, "there is no \(kind.rawValue) \(di)", field: "di")
            }
            guard device.uid == uid else {
                throw CloudError(.forbidden, "\(kind.rawValue) \(di) is not yours", field: "di")
            }
            guard device.kind == kind else {
                throw CloudError(
                    .notFound, "\(di) is a \(device.kind.rawValue), not a \(kind.rawValue): delete it as that",
                    field: "di")
            }
            try Self.remove(device, in: transaction, now: now)
        }
        self.observer(.deviceDeleted(uid: uid, di: di, kind: kind))
        return [di]
    }

    /// A transaction that writes into the change log if it succeeds.
    func removing<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        let gone = try await self.store.write(body)
        self.recorded()
        return gone
    }

    private static func remove(
        _ device: Device, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) {
        try transaction.deleteDevice(device.di)
        switch device.kind {
        case .client: try transaction.record(.client, subject: device.di.text, at: now)
        case .device: try transaction.record(.device, subject: device.di.text, at: now)
        }
    }

    private static func bearer(
        of token: Secret, in transaction: any CloudTransaction, now: Timestamp
    ) throws(CloudError) -> TokenFamily.Claim {
        let hash = token.hash
        guard let credential = try transaction.credential(hash), credential.hash == hash,
            credential.kind == .access, let id = credential.family, var family = try transaction.lockFamily(id)
        else { throw self.wrongToken("it is unknown") }
        let event = TokenFamily.Event.access(
            generation: credential.generation, expiresAt: credential.notAfter, claim: nil)
        switch family.handle(event, now: now) {
        case .serve, .confirm:
            return TokenFamily.Claim(uid: family.uid, di: family.di)
        case .issue, .repeatReply, .revoke, .refuse:
            throw self.wrongToken("it is expired or revoked")
        }
    }
}

extension Identity {
    /// For how long changes are kept for those who follow them.
    package static let changeLifetime: Duration = .seconds(24 * 3600)
    /// Rows per transaction of a sweep, so that nobody waits long behind one.
    package static let sweepBatch = 500
    /// Transactions per kind and sweep; the rest is for the next one.
    package static let sweepBatches = 20

    /// Removes what nobody can ask for any more: spent and expired codes, sealed replies whose time is over, expired
    /// links, changes older than a day. Bounded; meant to be called every few seconds to minutes.
    ///
    /// - Returns: how many rows went.
    @discardableResult
    package func sweep() async throws(CloudError) -> Int {
        let now = self.clock.now()
        var total = 0
        total += try await self.sweepInBatches { transaction, limit throws(CloudError) in
            try transaction.sweepCodes(now: now, limit: limit)
        }
        total += try await self.sweepInBatches { transaction, limit throws(CloudError) in
            try transaction.sweepSealedReplies(now: now, limit: limit)
        }
        total += try await self.sweepInBatches { transaction, limit throws(CloudError) in
            try transaction.sweepLinks(now: now, limit: limit)
        }
        total += try await self.sweepInBatches { transaction, limit throws(CloudError) in
            try transaction.sweepChanges(before: now - Self.changeLifetime, limit: limit)
        }
        return total
    }

    private func sweepInBatches(
        _ body: @escaping @Sendable (any CloudTransaction, Int) throws(CloudError) -> Int
    ) async throws(CloudError) -> Int {
        var total = 0
        for _ in 0..<Self.sweepBatches {
            let count = try await self.store.write { transaction throws(CloudError) in
                try body(transaction, Self.sweepBatch)
            }
            total += count
            if count < Self.sweepBatch { break }
        }
        return total
    }
}
