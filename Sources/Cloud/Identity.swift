/// Who is who: registration, provisioning, sign-up, sign-in, refresh, sign-off and deletion, as rules over a store.
///
/// Every method is one transaction. Errors are `CloudError`; a store that fails is `unavailable`, never a refusal,
/// because devices take a refusal at sign-up as final.
package struct Identity: Sendable {
    let store: any CloudStore
    let clock: any WallClock
    let random: any RandomSource
    let sealer: ReplySealer
    package let configuration: IdentityConfiguration
    let observer: @Sendable (IdentityEvent) -> Void
    let codeAllowances = CodeAllowances()
    /// Is told after a commit that wrote into the change log; must return at once.
    package var recorded: @Sendable () -> Void = {}

    /// - Parameter observer: is told after the commit; must return at once.
    package init(
        store: any CloudStore,
        clock: any WallClock = SystemWallClock(),
        random: any RandomSource = SystemRandomSource(),
        sealer: ReplySealer,
        configuration: IdentityConfiguration = IdentityConfiguration(),
        observer: @escaping @Sendable (IdentityEvent) -> Void = { _ in },
    ) {
        self.store = store
        self.clock = clock
        self.random = random
        self.sealer = sealer
        self.configuration = configuration
        self.observer = observer
    }
}
