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
        self.expiresIn(expiresAt.map { $0 - now })
    }

    /// The same of how long a token still lives.
    package static func expiresIn(_ remaining: Duration?) -> Int {
        guard let remaining else { return -1 }
        return Int(max(0, remaining.clampedMilliseconds) / 1000)
    }
}

/// What a sign-in found out (OCF CNC, session).
package struct SignedIn: Hashable, Sendable {
    package var recognition: Recognition
    package var kind: DeviceKind
    /// The login behind the session: the subject of the change that ends it.
    package var family: FamilyID

    package init(recognition: Recognition, kind: DeviceKind, family: FamilyID) {
        self.recognition = recognition
        self.kind = kind
        self.family = family
    }

    /// Seconds the access token still lives; -1: for ever.
    package var expiresIn: Int { Credentials.expiresIn(self.recognition.remaining) }
    /// When the session loses its right; nil: never.
    package var expiresAt: Timestamp? { self.recognition.principal.expiresAt }
}
