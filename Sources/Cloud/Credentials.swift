/// What sign-up and refresh answer (OCF CNC, account and tokenrefresh).
package struct Credentials: Equatable, Sendable {
    package var accessToken: Secret
    package var refreshToken: Secret
    /// Seconds the access token still lives; -1: for ever.
    package var expiresIn: Int
    package var uid: UserID

    package init(accessToken: Secret, refreshToken: Secret, expiresIn: Int, uid: UserID) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.expiresIn = expiresIn
        self.uid = uid
    }

    /// `expiresin` of a token that runs out at `expiresAt`: whole seconds, rounded down, 0 when it has run out, -1 for
    /// one that never does.
    package static func expiresIn(_ expiresAt: Timestamp?, now: Timestamp) -> Int {
        guard let expiresAt else { return -1 }
        return Int(max(0, (expiresAt - now).clampedMilliseconds) / 1000)
    }
}

/// What a sign-in found out (OCF CNC, session).
package struct SignedIn: Hashable, Sendable {
    /// Seconds the access token still lives; -1: for ever.
    package var expiresIn: Int
    /// When the session loses its right; nil: never.
    package var expiresAt: Timestamp?
    package var kind: DeviceKind
    /// The login behind the session: the subject of the change that ends it.
    package var family: FamilyID

    package init(expiresIn: Int, expiresAt: Timestamp?, kind: DeviceKind, family: FamilyID) {
        self.expiresIn = expiresIn
        self.expiresAt = expiresAt
        self.kind = kind
        self.family = family
    }
}
