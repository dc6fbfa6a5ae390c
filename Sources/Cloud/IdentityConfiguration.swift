/// What an operator may decide about tokens.
package struct IdentityConfiguration: Hashable, Sendable {
    /// What an old refresh token brings, long after its successor was used.
    package enum RefreshReuse: String, Sendable, Hashable, CaseIterable {
        /// It counts as stolen: the family is revoked, unless the peer's certificate names the device.
        case revoke
        /// The device goes on with a new pair, and a line in the log says so.
        case recover
    }

    /// How long access tokens of clients live; nil: for ever.
    package var accessTokenLifetime: Duration?
    /// How long access tokens of devices live; nil: for ever, which makes a reconnect one sign-in.
    package var deviceTokenLifetime: Duration?
    /// How long a one-time code may be used, and its exchange repeated.
    package var codeLifetime: Duration
    package var refreshReuse: RefreshReuse
    /// Mediators one user may have.
    package var maximumMediators: Int
    /// One-time codes one user may have outstanding.
    package var maximumCodes: Int

    package init(
        accessTokenLifetime: Duration? = .seconds(6000),
        deviceTokenLifetime: Duration? = .seconds(6000),
        codeLifetime: Duration = .seconds(15 * 60),
        refreshReuse: RefreshReuse = .revoke,
        maximumMediators: Int = 100,
        maximumCodes: Int = 20_000,
    ) {
        self.accessTokenLifetime = accessTokenLifetime
        self.deviceTokenLifetime = deviceTokenLifetime
        self.codeLifetime = codeLifetime
        self.refreshReuse = refreshReuse
        self.maximumMediators = maximumMediators
        self.maximumCodes = maximumCodes
    }

    package func lifetime(of kind: DeviceKind) -> Duration? {
        switch kind {
        case .client: self.accessTokenLifetime
        case .device: self.deviceTokenLifetime
        }
    }
}

/// What happened to a login that somebody besides the asker must know: to be logged, counted, and acted on by whoever
/// keeps sessions. Reported after the commit.
package enum IdentityEvent: Hashable, Sendable {
    /// An old refresh token came back (`token.reuse`). `sessionEnds`: the family was revoked, end its session.
    case tokenReuse(uid: UserID, di: DeviceID, family: FamilyID, sessionEnds: Bool)
    /// The same device signed up anew: sessions of these older families end.
    case registrationReplaced(uid: UserID, di: DeviceID, families: [FamilyID])
    /// A device or client is gone, with all of its links and tokens.
    case deviceDeleted(uid: UserID, di: DeviceID, kind: DeviceKind)
    /// One of this name begins or is gone: what was told of an earlier one is nobody's any more.
    case userBegun(uid: UserID)
    case userDeleted(uid: UserID)
}
