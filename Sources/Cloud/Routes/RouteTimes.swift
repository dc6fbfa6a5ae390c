/// The spans that routes, leases and waiting go by. Their order is what makes them work, and a test holds it.
package enum RouteTimes {
    /// How often a pod renews its lease.
    package static let renewal: Duration = .seconds(3)
    /// An event loop that did not turn for so long may have slept through a takeover.
    package static let loopPause: Duration = .seconds(5)
    /// How long a lease is good for.
    package static let lease: Duration = .seconds(10)
    /// How long the edge waits for a device that left, or whose pod lost its lease.
    package static let leftWait: Duration = .seconds(15)
    /// The same for a device that was asked to go elsewhere: as long as anything is known of it.
    package static let askedWait: Duration = Self.leftLifetime
    /// How long a device that left is remembered.
    package static let leftLifetime: Duration = .seconds(60)
    /// How long a route lives without being asserted.
    package static let lifetime: Duration = .seconds(30 * 60)
    /// In this time a pod asserts each of its routes once.
    package static let sweep: Duration = .seconds(10 * 60)
    /// A sign-in never waits longer for the routes.
    package static let claimLimit: Duration = .milliseconds(500)
    /// Takeovers of a living session are counted over this time.
    package static let takeoverWindow: Duration = .seconds(60)
    /// As many takeovers within the window make a device contested.
    package static let contestedAt = 6
    /// For how long it then is.
    package static let contestedFor: Duration = .seconds(5 * 60)
    /// How long the holder of a contested device has to answer a Ping.
    package static let contestPing: Duration = .seconds(4)
    /// How long an edge trusts a route it has looked up.
    package static let edgeMemory: Duration = .seconds(60)
    /// A connection between programs that nothing was sent over for so long is closed.
    package static let hopIdle: Duration = .seconds(60)
}
