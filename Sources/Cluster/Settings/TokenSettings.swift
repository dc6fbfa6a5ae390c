package import Cloud
package import ServiceShell

/// How long tokens are good, and what an old one brings.
package struct TokenSettings: SettingsGroup {
    /// `nil`: for ever.
    package var accessTokenLifetime: Duration?
    /// `nil`: for ever.
    package var deviceTokenLifetime: Duration?
    package var refreshReuse: IdentityConfiguration.RefreshReuse
    /// `nil`: devices stay where they signed up.
    package var redirectURI: String?

    enum Keys {
        static let accessTokenLifetime = Setting.lifetime(
            "ACCESS_TOKEN_LIFETIME",
            in: 1...315_360_000,
            default: 6000,
            "How long access tokens of clients are good.",
        )
        static let deviceTokenLifetime = Setting.lifetime(
            "DEVICE_TOKEN_LIFETIME",
            in: 1...315_360_000,
            default: 6000,
            "How long access tokens of devices are good. Permanent saves devices the refresh when they reconnect.",
        )
        static let refreshReuse = Setting.choice(
            "REFRESH_REUSE",
            default: IdentityConfiguration.RefreshReuse.revoke,
            "What an old refresh token brings: revoke ends the login as stolen, recover lets the device go on.",
        )
        static let redirectURI = Setting.coapEndpoint(
            "REDIRECT_URI",
            "Where devices and clients sign in from their sign-up on, in place of where they signed up.",
        )
    }

    package static let declarations: [SettingDeclaration] = [
        Keys.accessTokenLifetime.declaration,
        Keys.deviceTokenLifetime.declaration,
        Keys.refreshReuse.declaration,
        Keys.redirectURI.declaration,
    ]

    package init(_ reader: inout SettingsReader) {
        self.accessTokenLifetime = reader.read(Keys.accessTokenLifetime)
        self.deviceTokenLifetime = reader.read(Keys.deviceTokenLifetime)
        self.refreshReuse = reader.read(Keys.refreshReuse)
        let redirectURI = reader.read(Keys.redirectURI)
        self.redirectURI = redirectURI.isEmpty ? nil : redirectURI
    }

    package var identity: IdentityConfiguration {
        IdentityConfiguration(
            accessTokenLifetime: self.accessTokenLifetime, deviceTokenLifetime: self.deviceTokenLifetime,
            refreshReuse: self.refreshReuse)
    }
}

/// The keys that seal token answers. What there is without the setting is the program's own affair.
package enum SealKeys {
    package static func current(shownAs defaultText: String) -> Setting<SecretValue?> {
        .secretKey(
            "TOKEN_SEAL_KEY", count: 32, shownAs: defaultText,
            "The key that seals token answers until they are confirmed.")
    }

    package static let previous = Setting.secretKey(
        "TOKEN_SEAL_KEY_PREVIOUS",
        count: 32,
        shownAs: "(none)",
        "The key before, still accepted while keys are changed.",
    )

    package static func sealer(_ current: SecretValue, previous: SecretValue?) throws -> ReplySealer {
        try ReplySealer(keys: [current, previous].compactMap { $0?.domainSecret })
    }
}

/// The cloud's own UUID.
package enum CloudIdentity {
    package static func setting(shownAs defaultText: String) -> Setting<String?> {
        Setting.uuid("SID", "The identity of this cloud, which devices are told.").workedOut(shownAs: defaultText)
    }
}
