import CoAP

/// A request of this peer that registered, and what it was told so far.
struct StandingRequest {
    /// More than these a connection may not have.
    static let maximum = 256

    let handle: ObservationHandle
    /// The next value of Observe: RFC 7641 §4.4 wants it to grow, though over TCP nobody looks (RFC 8323 §7.1).
    private var next: UInt32 = 0

    init(handle: ObservationHandle) {
        self.handle = handle
    }

    /// A notification as the peer is to see it.
    mutating func numbered(_ response: Response) -> Response {
        var response = response
        response.options.observe = self.next
        self.next = (self.next + 1) % (1 << 24)
        return response
    }
}

extension Request {
    /// Whether it asks for more than one answer. Only GET can (RFC 7641 §2); with any other method, or another value,
    /// the option is ignored.
    var registers: Bool { self.method == .get && self.options.observe == 0 }
}
