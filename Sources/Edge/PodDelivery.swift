package import Cloud
package import CoAP
package import NIOCore

/// Carries requests to pods: this one directly, others over their pod port.
///
/// `answer` is called exactly once. A pod that cannot be reached, or that is not the one meant, is `Undelivered`
/// (`unreachable`); a connection to it that is lost after the request went out is `UnknownOutcome`.
package protocol PodDelivery: Sendable {
    func deliver(_ request: Request, to pod: Pod, answer: @escaping @Sendable (Response) -> Void)

    /// The event loop the caller is on, if what is delivered from there to one pod keeps its order: to be asked before
    /// a request has to wait, and delivered from later. Nil: it makes no difference.
    var callersLoop: (any EventLoop)? { get }

    /// The same for a GET that registers, as `Responder.observe` has it.
    func observe(
        _ request: Request, at pod: Pod, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle
}

extension PodDelivery {
    package var callersLoop: (any EventLoop)? { nil }

    package func observe(
        _ request: Request, at pod: Pod, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        var plain = request
        plain.options.observe = nil
        self.deliver(plain, to: pod) { event(.ended($0)) }
        return ObservationHandle {}
    }
}
