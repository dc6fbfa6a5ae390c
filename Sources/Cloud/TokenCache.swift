/// A principal as it was at one moment of the change log.
package struct CachedPrincipal: Hashable, Sendable {
    package let principal: Principal
    /// The last change that was known when this was read from the store: a later one that names its subject makes it
    /// worthless.
    package let sequence: Int64

    package init(principal: Principal, sequence: Int64) {
        self.principal = principal
        self.sequence = sequence
    }
}

/// Principals by the hash of their access token, shared by all processes. Written by the registry only, and only when a
/// token was used, never when it was issued. What cannot be asked has nothing; there are no negative answers.
package protocol TokenCache: Sendable {
    func find(_ hash: SecretHash) async -> CachedPrincipal?
    /// - Parameter lifetime: until then at most, from now.
    func keep(_ entry: CachedPrincipal, for hash: SecretHash, lifetime: Duration)
}

/// Tells other processes at once what they would find out soon anyway. Loses messages.
package protocol Nudge: Sendable {
    func nudge(_ topic: NudgeTopic)
    /// Says who is told. Once per process and topic.
    func listen(to topic: NudgeTopic, heard: @escaping @Sendable () -> Void)
}

package enum NudgeTopic: String, Hashable, Sendable, CaseIterable {
    /// The change log has grown.
    case changes
}
