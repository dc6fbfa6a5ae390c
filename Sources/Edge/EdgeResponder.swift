import Cloud
package import CoAP
package import OCF

/// Takes a request for `/{di}/{href…}` to the device, wherever its session is, and sees to it that there is one answer.
///
/// The asking side (HTTP, or a CoAP client's connection) names in the `Fence` the user on whose behalf it asks. Where
/// the session is not that user's, the pod refuses to write the request, and the edge then finds out what to say: 4.04
/// for a device nobody knows, 4.03 for somebody else's, 5.03 for one that is offline.
///
/// It does not authenticate anybody, knows no HTTP and holds no connection.
package struct EdgeResponder: Responder {
    private let pods: any Responder
    private let registry: RegistryClient
    private let timeout: Duration

    /// - Parameters:
    ///   - pods: delivers to the session of the device the first path segment names, or says `Undelivered`.
    ///   - registry: knows who owns a device that was not reached.
    ///   - timeout: how long a request may take that names no deadline.
    package init(pods: any Responder, registry: RegistryClient, timeout: Duration = .seconds(20)) {
        self.pods = pods
        self.registry = registry
        self.timeout = timeout
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        guard let segment = request.options.first(.uriPath)?.string, let di = try? DeviceID(segment) else {
            return answer(Response(.notFound, diagnostic: "the path names no device"))
        }
        guard let fence = request.options.fence else {
            // Our own mistake, never a peer's: whoever calls the edge has authorised somebody.
            return answer(Response(.internalServerError, diagnostic: "request without authorisation"))
        }
        if let unsafe = request.options.first(where: {
            $0.number.isUnsafeToForward && !$0.number.isInternal && OptionDefinition.of($0.number) == nil
        }) {
            // RFC 7252 §5.7.1: a proxy must not forward what it does not know and is unsafe.
            let text = "option \(unsafe.number) is not known here and unsafe to forward (RFC 7252 §5.7.1)"
            return answer(Response(.badOption, diagnostic: text))
        }
        let allowed = request.options.deadlineMilliseconds.map { Duration.milliseconds(Int64($0)) } ?? self.timeout
        let delivery = Delivery(
            request: request, di: di, uid: fence.uid, deadline: .now + allowed, edge: self, answer: answer)
        delivery.attempt(first: nil)
    }

    /// One request on its way.
    private struct Delivery: Sendable {
        let request: Request
        let di: DeviceID
        let uid: String
        let deadline: ContinuousClock.Instant
        let edge: EdgeResponder
        let answer: @Sendable (Response) -> Void

        /// - Parameter first: what the attempt before came to, if this is the second.
        func attempt(first: Response?) {
            let left = ContinuousClock.now.duration(to: self.deadline)
            guard left > .zero else {
                return self.answer(first ?? self.late())
            }
            var request = self.request
            request.options.deadlineMilliseconds = UInt32(clamping: left.clampedMilliseconds)
            self.edge.pods.respond(to: request) { response in
                self.conclude(response, first: first)
            }
        }

        private func conclude(_ response: Response, first: Response?) {
            switch response.options.undelivered {
            case .superseded, .moving:
                // The device may have signed in anew meanwhile, and nothing was acted on: whatever the method is.
                guard first != nil else { return self.attempt(first: response) }
                return self.giveUp(response, first: first)
            case .noSession, .unreachable:
                return self.giveUp(response, first: first)
            case .queueFull, .late, .tooLarge:
                // Not the last word where the attempt before may have been acted on.
                return self.answer(first?.options.unknownOutcome == nil ? response : first ?? response)
            case nil:
                break
            }
            if response.options.unknownOutcome == .connectionLost, first == nil, self.isRepeatable {
                return self.attempt(first: response)
            }
            guard response.options.unknownOutcome == nil else { return self.answer(response) }
            self.answer(self.passOn(response))
        }

        /// Nobody got this attempt.
        private func giveUp(_ response: Response, first: Response?) {
            guard let first, first.options.unknownOutcome != nil else { return self.explain(response) }
            // The first attempt may have been acted on: that is what counts.
            self.answer(first)
        }

        /// Asking twice does no harm (RFC 7252 §5.1: safe or idempotent). DELETE is left out: the second answer would
        /// be 4.04 where the first was 2.02.
        private var isRepeatable: Bool {
            self.request.method == .get || self.request.method == .put || self.request.method == .fetch
        }

        /// Nobody got the request. Why?
        private func explain(_ response: Response) {
            let left = max(ContinuousClock.now.duration(to: self.deadline), .milliseconds(1))
            let call = RegistryClient.Call(requestID: self.request.options.requestID ?? "", deadline: left)
            self.edge.registry.device(self.di, call: call) { result in
                guard case .success(let found) = result else {
                    // Nobody can say why; it did not get the request either way.
                    return self.answer(response)
                }
                // A client's id names no device.
                guard let device = found, device.kind == .device else {
                    return self.answer(response.saying(.notFound, "no device \(self.di) is registered"))
                }
                guard device.uid.text == self.uid else {
                    return self.answer(response.saying(.forbidden, "device \(self.di) is not yours"))
                }
                self.answer(response)
            }
        }

        private func late() -> Response {
            var response = Response(.gatewayTimeout, diagnostic: "no time was left to ask device \(self.di)")
            response.options.undelivered = .late
            return response
        }

        /// The device's own answer, as a proxy passes it on (RFC 7252 §5.7.1).
        private func passOn(_ response: Response) -> Response {
            if let unsafe = response.options.first(where: {
                $0.number.isUnsafeToForward && OptionDefinition.of($0.number) == nil
            }) {
                let text = "the device's answer has option \(unsafe.number), unsafe to forward (RFC 7252 §5.7.1)"
                return Response(.badGateway, diagnostic: text)
            }
            return LinkList.isAsked(for: self.request)
                ? LinkList.prefixing(response, di: self.di, endpoint: self.request.options.endpoint) : response
        }
    }
}

extension Response {
    /// Another code and text, still marked as not the device's own answer.
    fileprivate func saying(_ code: Code, _ text: String) -> Response {
        var response = Response(code, diagnostic: text)
        response.options.undelivered = self.options.undelivered
        return response
    }
}
