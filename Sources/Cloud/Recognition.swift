/// Who stands behind a token, as it was read at one moment of the change log.
package struct Recognition: Hashable, Sendable {
    package var principal: Principal
    /// The last change that was known before the token was looked up.
    package var sequence: Int64
    /// How long the token still lives; nil: for ever. A span: other programs have other clocks.
    package var remaining: Duration?

    package init(principal: Principal, sequence: Int64, remaining: Duration?) {
        self.principal = principal
        self.sequence = sequence
        self.remaining = remaining
    }

    /// What `TokenCache` keeps of it.
    package var cached: CachedPrincipal { CachedPrincipal(principal: self.principal, sequence: self.sequence) }
}
