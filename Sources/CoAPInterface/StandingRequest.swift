import CoAP

/// A request of this peer that registered. How the values of Observe grow is the connection's business.
struct StandingRequest {
    /// More than these a connection may not have.
    static let maximum = 256

    let handle: ObservationHandle
}
