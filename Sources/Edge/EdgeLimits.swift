/// What one edge takes on at a time.
package struct EdgeLimits: Hashable, Sendable {
    /// Requests in flight, and those of one owner.
    package var inFlight = 10_000
    package var inFlightPerOwner = 1024
    /// Of an owner's, how many may be at one pod, and how many may wait for devices that are nowhere now: a pod that
    /// does not answer, or dies, takes room from its own devices, and leaves some to all others.
    package var inFlightPerOwnerAndPod = 256
    package var waitersPerOwner = 512
    /// Observations that stand, and those of one owner. They are not among the requests in flight.
    package var observations = 50_000
    package var observationsPerOwner = 1024
    /// Requests that wait for one device to come back.
    package var waitersPerDevice = 16
    /// Bytes of all requests that wait for a route.
    package var waitingBytes = 64 * 1024 * 1024
    /// Routes that are remembered.
    package var rememberedRoutes = 100_000

    package init() {}
}
