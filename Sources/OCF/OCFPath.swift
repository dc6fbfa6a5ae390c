/// Paths of the cloud's resources, by segments (OCF CNC).
package enum OCFPath {
    package static let account = ["oic", "sec", "account"]
    package static let session = ["oic", "sec", "session"]
    package static let tokenRefresh = ["oic", "sec", "tokenrefresh"]
    package static let directory = ["oic", "rd"]
    package static let discovery = ["oic", "res"]

    // What stacks before OCF 2.0 ask for.
    package static let legacyAccount = ["oic", "account"]
    package static let legacySession = ["oic", "account", "session"]
    package static let legacyTokenRefresh = ["oic", "account", "tokenrefresh"]

    /// What may be asked for before sign-in; anything else is 4.01.
    package static let beforeSignIn: Set<[String]> = [
        account, session, tokenRefresh, legacyAccount, legacySession, legacyTokenRefresh,
    ]
}
