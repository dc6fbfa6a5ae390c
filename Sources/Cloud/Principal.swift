/// Who stands behind an access token.
package struct Principal: Hashable, Sendable {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// A person, with the token of the registration.
        case user
        /// Whoever provisions clients and devices for a user.
        case mediator
        /// An app that signed up.
        case client
        /// A device that signed up.
        case device
    }

    package var kind: Kind
    /// The user himself, or the owner.
    package var uid: UserID
    /// The client or device; nil for users and mediators.
    package var di: DeviceID?
    /// When the token runs out; nil: never.
    package var expiresAt: Timestamp?
    /// The login the token belongs to: the subject of the change that takes it back. Nil for users and mediators.
    package var family: FamilyID?

    package init(kind: Kind, uid: UserID, di: DeviceID?, expiresAt: Timestamp?, family: FamilyID? = nil) {
        self.kind = kind
        self.uid = uid
        self.di = di
        self.expiresAt = expiresAt
        self.family = family
    }
}
