package import Cloud
package import CoAP
package import NIOCore

/// Delivers to the sessions of this process directly, and to all other pods by way of `others`.
package struct PodRouter: PodDelivery {
    private let localPod: Pod
    private let sessions: any Responder
    private let others: (any PodDelivery)?
    private let currentLoop: @Sendable () -> (any EventLoop)?

    /// - Parameters:
    ///   - localPod: this process.
    ///   - sessions: delivers to the session of the device the first path segment names, or says `Undelivered`.
    ///   - others: nil where there are no other pods.
    ///   - currentLoop: where there are none, the event loop the caller is on: what it delivers from there to a device
    ///     on the same loop is written at once, and from elsewhere later.
    package init(
        localPod: Pod, sessions: any Responder, others: (any PodDelivery)? = nil,
        currentLoop: @escaping @Sendable () -> (any EventLoop)? = { nil }
    ) {
        self.currentLoop = currentLoop
        self.localPod = localPod
        self.sessions = sessions
        self.others = others
    }

    package var callersLoop: (any EventLoop)? { self.others?.callersLoop ?? self.currentLoop() }

    package func deliver(_ request: Request, to pod: Pod, answer: @escaping @Sendable (Response) -> Void) {
        if pod.name == self.localPod.name {
            self.sessions.respond(to: request, answer: answer)
        } else if let others = self.others {
            others.deliver(request, to: pod, answer: answer)
        } else {
            answer(Self.unreachable(pod))
        }
    }

    package func observe(
        _ request: Request, at pod: Pod, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        if pod.name == self.localPod.name { return self.sessions.observe(request, event: event) }
        if let others = self.others { return others.observe(request, at: pod, event: event) }
        event(.ended(Self.unreachable(pod)))
        return ObservationHandle {}
    }

    private static func unreachable(_ pod: Pod) -> Response {
        .edge(.serviceUnavailable, .unreachable, "pod \(pod.name) cannot be reached from here", maxAge: 10)
    }
}
