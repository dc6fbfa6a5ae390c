/// A login that a session rests on: what is asked about when changes were missed.
package struct Login: Hashable, Sendable {
    package var uid: UserID
    package var di: DeviceID
    /// Nil where it is not known: then any login of the device counts.
    package var family: FamilyID?

    package init(uid: UserID, di: DeviceID, family: FamilyID?) {
        self.uid = uid
        self.di = di
        self.family = family
    }
}

extension Identity {
    /// Which of these logins are over: the device is gone or another user's, the family gone or revoked. That a token
    /// ran out is not asked here.
    ///
    /// - Returns: their places in `logins`.
    package func gone(among logins: [Login]) async throws(CloudError) -> [Int] {
        try await self.store.read { transaction throws(CloudError) in
            var gone: [Int] = []
            for (index, login) in logins.enumerated() where try !Self.stands(login, in: transaction) {
                gone.append(index)
            }
            return gone
        }
    }

    private static func stands(_ login: Login, in transaction: any CloudTransaction) throws(CloudError) -> Bool {
        guard let device = try transaction.device(login.di), device.uid == login.uid else { return false }
        if let id = login.family {
            guard let family = try transaction.family(id) else { return false }
            return family.state != .revoked && family.di == login.di
        }
        for id in try transaction.families(of: login.di) {
            if let family = try transaction.family(id), family.state != .revoked { return true }
        }
        return false
    }
}
