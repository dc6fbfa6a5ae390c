import NIOCore

/// What whoever observes a resource is told, in this order: any number of notifications, then at most one end.
package enum ObservationEvent: Hashable, Sendable {
    /// The first answer, or a later one; more may follow (RFC 7641 §3.2).
    case notified(Response)
    /// The last word: the plain answer of a resource that cannot be observed, an error, or why it is over.
    case ended(Response)
}

extension Request {
    /// Whether it is a GET that registers (RFC 7641 §2).
    package var registers: Bool { self.method == .get && self.options.observe == 0 }
}

extension Response {
    /// Whether it leaves an observation as it is: success with an Observe option (RFC 7641 §4.2), whose value means
    /// nothing here (RFC 8323 §7.1).
    var continuesObservation: Bool { self.code.isSuccess && self.options.contains(.observe) }
}

/// The way to end one observation.
package struct ObservationHandle: Sendable {
    private let onCancel: @Sendable () -> Void

    /// - Parameter onCancel: may be called more than once, on any thread.
    package init(onCancel: @escaping @Sendable () -> Void) {
        self.onCancel = onCancel
    }

    /// Nobody wants to be told any more. Events on their way may still come; whoever cancelled ignores them.
    package func cancel() {
        self.onCancel()
    }
}

extension Response {
    /// Whether an observer learns nothing new: what a resource is, is its code, its format and its payload.
    package func showsTheSame(as other: Response) -> Bool {
        self.code == other.code && self.options.contentFormat == other.options.contentFormat
            && (self.payload ?? ByteBuffer()) == (other.payload ?? ByteBuffer())
    }
}
