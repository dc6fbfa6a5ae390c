/// What a credential is good for.
package enum CredentialKind: String, Sendable, Hashable, CaseIterable {
    /// A user's permanent access token.
    case user
    /// A mediator's permanent access token.
    case mediator
    /// A one-time code for a sign-up.
    case code
    /// The access token of a family's generation.
    case access
    /// The refresh token of a family's generation.
    case refresh
}

/// One row of the one table of credentials.
package struct Credential: Hashable, Sendable {
    /// How `hash` came about; a second one will need a name.
    package static let algorithm = "sha-256"

    package var hash: SecretHash
    package var kind: CredentialKind
    /// The subject: whose right it is.
    package var uid: UserID
    /// The device or client it is for; nil for users, mediators, and codes that nobody used yet and that were
    /// provisioned without one.
    package var di: DeviceID?
    /// What a code makes of its `di`; nil for users and mediators.
    package var deviceKind: DeviceKind?
    package var notBefore: Timestamp
    /// When it runs out; nil: never.
    package var notAfter: Timestamp?
    /// The family it belongs to; of a code, the one it was exchanged for.
    package var family: FamilyID?
    /// The generation of `family`; 0 outside of one.
    package var generation: Int
    /// Rounded: see `Identity.lastUsedGrain`.
    package var lastUsed: Timestamp?

    package init(
        hash: SecretHash,
        kind: CredentialKind,
        uid: UserID,
        di: DeviceID? = nil,
        deviceKind: DeviceKind? = nil,
        notBefore: Timestamp,
        notAfter: Timestamp? = nil,
        family: FamilyID? = nil,
        generation: Int = 0,
        lastUsed: Timestamp? = nil,
    ) {
        self.hash = hash
        self.kind = kind
        self.uid = uid
        self.di = di
        self.deviceKind = deviceKind
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.family = family
        self.generation = generation
        self.lastUsed = lastUsed
    }

    /// True from `notBefore` until just before `notAfter`.
    package func isValid(at now: Timestamp) -> Bool {
        guard let notAfter = self.notAfter else { return true }
        return now < notAfter
    }
}
