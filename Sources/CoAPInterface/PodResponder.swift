package import CoAP
import NIOCore

/// What a pod's own port answers to other programs, after their proof: requests for devices whose session is here,
/// takeover notices, and probes of contested devices.
///
/// It never sends a request on to another pod, so nothing can go round in circles.
package struct PodResponder: Responder {
    private let keeper: RouteKeeper

    package init(keeper: RouteKeeper) {
        self.keeper = keeper
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        switch self.way(of: request) {
        case .refused(let response): answer(response)
        case .pod(let path): self.respond(toPod: request, path: path, answer: answer)
        case .sessions: self.keeper.sessions.respond(to: request, answer: answer)
        }
    }

    package func observe(
        _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        switch self.way(of: request) {
        case .refused(let response):
            event(.ended(response))
        case .pod(let path):
            self.respond(toPod: request, path: path) { event(.ended($0)) }
        case .sessions:
            return self.keeper.sessions.observe(request, event: event)
        }
        return ObservationHandle {}
    }

    private enum Way {
        case sessions
        /// For the pod itself.
        case pod(path: [String])
        case refused(Response)
    }

    private func way(of request: Request) -> Way {
        guard request.options.deadlineMilliseconds != 0 else {
            return .refused(
                Relay.undelivered(.late, .gatewayTimeout, "no time was left when the request reached the pod"))
        }
        let path = request.options.path ?? []
        if path.first == PodMessage.root { return .pod(path: path) }
        // A device has a resource without a name too: only what nobody stands behind is for nobody.
        guard path.count > 1 || request.options.fence != nil else { return .refused(Self.notFound) }
        guard request.options.fence != nil else {
            // A mistake of our own programs: whoever sends a request on has authorised somebody.
            return .refused(
                Relay.undelivered(.noSession, .forbidden, "a request for a device must say on whose behalf it is"))
        }
        return .sessions
    }

    private static let notFound = Response(.notFound, diagnostic: "a pod has no such resource")

    private func respond(
        toPod request: Request, path: [String], answer: @escaping @Sendable (Response) -> Void
    ) {
        // From another program itself, not from a connection it serves.
        guard request.options.caller != nil, request.options.sessionDevice == nil else { return answer(Self.notFound) }
        switch path {
        case PodMessage.superseded:
            guard request.method == .post, let notice = TakeoverNotice(request) else {
                return answer(Response(.badRequest, diagnostic: "POST {di, epoch, pod} as CBOR"))
            }
            self.keeper.heard(notice) { answer(Response(.changed)) }
        case PodMessage.probe:
            guard request.method == .post, let probe = SessionProbe(request) else {
                return answer(Response(.badRequest, diagnostic: "POST {di, epoch} as CBOR"))
            }
            self.keeper.probe(probe) { alive in
                answer(
                    alive.map { Response(.content, payload: .init(string: $0)) }
                        ?? Response(.notFound, diagnostic: "the device does not answer, or has no such session"))
            }
        default:
            answer(Self.notFound)
        }
    }
}
