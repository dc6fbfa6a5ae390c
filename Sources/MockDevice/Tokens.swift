package import Cloud

/// What a cloud returned to `register` or `refresh`.
package struct Tokens: Sendable, Equatable {
    package var uid: String
    package var accessToken: Secret
    package var refreshToken: Secret
    /// When the access token ends; nil if it never does.
    package var expiresAt: Timestamp?

    package init(uid: String, accessToken: Secret, refreshToken: Secret, expiresAt: Timestamp?) {
        self.uid = uid
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.expiresAt = expiresAt
    }

    package var isPermanent: Bool { self.expiresAt == nil }
}
