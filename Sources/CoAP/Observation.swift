/// What whoever observes a resource is told, in this order: any number of notifications, then at most one end.
package enum ObservationEvent: Hashable, Sendable {
    /// The first answer, or a later one; more may follow (RFC 7641 §3.2).
    case notified(Response)
    /// The last word: the plain answer of a resource that cannot be observed, an error, or why it is over.
    case ended(Response)
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
