package import Cloud
package import CoAP
package import NIOCore
package import OCF

/// Takes a request for `/{di}/{href…}` to the device, whichever pod has its session, and sees to it that there is one
/// answer.
///
/// The asking side (HTTP, or a CoAP client's connection) names in the `Fence` the user on whose behalf it asks. Where
/// the session is not that user's, the pod refuses to write the request, and the edge then finds out what to say: 4.04
/// for a device nobody knows, 4.03 for somebody else's, 5.03 for one that is offline.
///
/// A request whose route is remembered goes to its pod at once, on the caller's thread. Everything else passes through
/// the waiting room on one event loop.
///
/// It does not authenticate anybody, knows no HTTP and holds no connection.
package struct EdgeResponder: Responder {
    let pods: any PodDelivery
    private let routes: any RouteStore
    private let name: String
    let localPod: Pod?
    private let registry: RegistryClient
    let eventLoop: any EventLoop
    let timeout: Duration
    private let limits: EdgeLimits
    let memory: RouteMemory
    let admission: Admission
    private let room: NIOLoopBoundBox<WaitingRoom>
    let standing: Admission
    let observations: NIOLoopBoundBox<EdgeObservations>
    let jitter: @Sendable () -> TimeAmount

    /// - Parameters:
    ///   - pods: delivers to the session of the device the first path segment names, or says `Undelivered`.
    ///   - name: this edge, as the store knows who waits: no other process may have it.
    ///   - localPod: the pod in this process, if there is one: its sessions can be asked without any route.
    ///   - registry: knows who owns a device that was not reached.
    ///   - group: on one of its loops requests wait.
    ///   - timeout: how long a request may take that names no deadline.
    ///   - jitter: how long after its loss an observation is registered anew.
    package init(
        pods: any PodDelivery, routes: any RouteStore, name: String, localPod: Pod? = nil, registry: RegistryClient,
        group: any EventLoopGroup, timeout: Duration = .seconds(20), limits: EdgeLimits = EdgeLimits(),
        jitter: @escaping @Sendable () -> TimeAmount = { .milliseconds(.random(in: 0...2000)) }
    ) {
        self.pods = pods
        self.routes = routes
        self.name = name
        self.localPod = localPod
        self.registry = registry
        self.eventLoop = group.next()
        self.timeout = timeout
        self.limits = limits
        self.memory = RouteMemory(capacity: limits.rememberedRoutes)
        self.admission = Admission(limits)
        self.room = .makeBoxSendingValue(WaitingRoom(limits: limits), eventLoop: self.eventLoop)
        self.standing = Admission(maximum: limits.observations, perOwner: limits.observationsPerOwner)
        self.observations = .makeBoxSendingValue(
            EdgeObservations(maximum: limits.observations), eventLoop: self.eventLoop)
        self.jitter = jitter
        let this = self
        routes.listen(as: name) { route in
            this.eventLoop.execute { this.heard(route) }
        }
    }

    /// How many requests are in flight.
    package var inFlight: Int { self.admission.count }

    /// How many observers there are.
    package var observing: Int { self.standing.count }

    /// For when the process stops: no request waits for its device to come back any more; those that do are answered.
    package func stopWaiting() {
        self.eventLoop.execute {
            self.perform(self.room.value.close())
            self.closeObservations()
        }
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        switch self.admit(request) {
        case .refused(let response): answer(response)
        case .admitted(let delivery, let now): self.start(delivery.answered(by: answer), now)
        }
    }

    /// A request that may be delivered, and counts among those in flight.
    enum Entrance {
        case refused(Response)
        case admitted(Delivery, now: NIODeadline)
    }

    func admit(_ request: Request) -> Entrance {
        var request = request
        guard let segment = request.options.first(.uriPath)?.string, let di = try? DeviceID(segment) else {
            return .refused(Response(.notFound, diagnostic: "the path names no device"))
        }
        guard let fence = request.options.fence else {
            // Our own mistake, never a peer's: whoever calls the edge has authorised somebody.
            return .refused(Response(.internalServerError, diagnostic: "request without authorisation"))
        }
        if let refusal = Self.refusal(of: &request) { return .refused(refusal) }
        switch self.admission.admit(fence.uid) {
        case .isFull:
            return .refused(.overloaded())
        case .ownerIsFull:
            return .refused(.tooManyInFlight(self.limits))
        case .admitted(let number):
            let now = self.eventLoop.now
            let allowed = request.options.deadlineMilliseconds.map { TimeAmount.milliseconds(Int64($0)) }
            let machine = DeliveryMachine(
                di: di, uid: fence.uid, deadline: now + (allowed ?? TimeAmount(self.timeout)),
                isRepeatable: Self.isRepeatable(&request), localPod: self.localPod)
            let delivery = Delivery(
                number: number, request: request, di: di, uid: fence.uid, machine: machine,
                origin: self.pods.callersLoop, answer: { _ in })
            return .admitted(delivery, now: now)
        }
    }

    /// Why a proxy must not forward the request, nil if it may.
    private static func refusal(of request: inout Request) -> Response? {
        if let unsafe = request.options.first(where: {
            $0.number.isUnsafeToForward && !$0.number.isInternal && OptionDefinition.of($0.number) == nil
        }) {
            // RFC 7252 §5.7.1: a proxy must not forward what it does not know and is unsafe.
            let text = "option \(unsafe.number) is not known here and unsafe to forward (RFC 7252 §5.7.1)"
            return Response(.badOption, diagnostic: text)
        }
        return HopLimit.count(&request)
    }

    /// Asking twice does no harm (RFC 7252 §5.1: safe or idempotent). DELETE is left out: the second answer would be
    /// 4.04 where the first was 2.02.
    private static func isRepeatable(_ request: inout Request) -> Bool {
        if request.options.isIdempotent {
            request.options.isIdempotent = false
            return true
        }
        return request.method == .get || request.method == .put || request.method == .fetch
    }
}

// MARK: - What the machine decides is done here

extension EdgeResponder {
    func start(_ delivery: Delivery, _ now: NIODeadline) {
        var delivery = delivery
        let route = self.memory.way(to: delivery.di, now: now)
        switch delivery.machine.start(remembered: route, now: now) {
        case .send(let attempt):
            self.send(delivery, attempt)
        case .lookUp:
            // Remembered as another user's.
            if route != nil { self.memory.detour(delivery.di) }
            self.lookUp(delivery)
        case .answer(let response):
            if route == nil { self.memory.rejoined(delivery.di) }
            self.finish(delivery, response)
        }
    }

    private func send(_ delivery: Delivery, _ attempt: DeliveryMachine.Attempt) {
        var delivery = delivery
        var request = delivery.request
        request.options.fence = Fence(epoch: attempt.epoch, uid: delivery.uid)
        request.options.deadlineMilliseconds = attempt.milliseconds
        if let id = delivery.observation { return self.register(id, request, delivery, attempt) }
        guard self.admission.enter(delivery.uid, pod: attempt.pod.name) else {
            return self.finish(delivery, delivery.machine.turnedAway(.tooManyAtOnePod(self.limits)))
        }
        delivery.pod = attempt.pod.name
        self.pods.deliver(request, to: attempt.pod) { [delivery] response in
            self.answered(delivery, attempt, response)
        }
    }

    func answered(_ delivery: Delivery, _ attempt: DeliveryMachine.Attempt, _ response: Response) {
        if DeliveryMachine.disprovesRoute(response) {
            self.memory.forget(delivery.di, pod: attempt.pod, epoch: attempt.epoch)
        }
        var delivery = delivery
        switch delivery.machine.answered(response, now: self.eventLoop.now) {
        case .passOn(let response): self.finish(delivery, self.passOn(response, to: delivery))
        case .answer(let response): self.finish(delivery, response)
        case .explain(let response): self.explain(delivery, response)
        case .lookUp:
            self.memory.detour(delivery.di)
            self.lookUp(delivery)
        }
    }

    private func lookUp(_ delivery: Delivery) {
        var delivery = delivery
        if let pod = delivery.pod { self.admission.leave(delivery.uid, pod: pod) }
        delivery.pod = nil
        self.wait(delivery)
    }

    private func wait(_ delivery: Delivery) {
        self.eventLoop.execute {
            let now = self.eventLoop.now
            let route = self.memory.route(of: delivery.di, now: now)
            self.perform(self.room.value.enter(delivery, remembered: route, now: now))
        }
    }

    /// On the event loop.
    private func perform(_ steps: [WaitingRoom.Step]) {
        for step in steps {
            switch step {
            case .send(let delivery, let attempt):
                self.sendOn(delivery, attempt)
            case .answer(let delivery, let response):
                self.memory.rejoined(delivery.di)
                self.finish(delivery, response)
            case .explain(let delivery, let response):
                self.memory.rejoined(delivery.di)
                self.explain(delivery, response)
            case .ask(let question, let di): self.ask(question, di)
            case .schedule(let di, let time):
                self.eventLoop.scheduleTask(deadline: time) {
                    self.perform(self.room.value.timeReached(di, now: self.eventLoop.now))
                }
            }
        }
    }

    /// Ends a request's detour, on the event loop it came from.
    private func sendOn(_ delivery: Delivery, _ attempt: DeliveryMachine.Attempt) {
        guard let origin = delivery.origin, !origin.inEventLoop, delivery.observation == nil else {
            self.send(delivery, attempt)
            return self.memory.rejoined(delivery.di)
        }
        origin.execute {
            self.send(delivery, attempt)
            self.memory.rejoined(delivery.di)
        }
    }

    private func ask(_ question: WaitingRoom.Question, _ di: DeviceID) {
        let completion: @Sendable (Result<FoundRoute?, RouteStoreUnavailable>) -> Void = { result in
            self.eventLoop.execute { self.found(result, of: di, by: question) }
        }
        switch question {
        case .find: self.routes.find(di, completion: completion)
        case .wait: self.routes.wait(for: di, edge: self.name, completion: completion)
        }
    }

    private func found(
        _ result: Result<FoundRoute?, RouteStoreUnavailable>, of di: DeviceID, by question: WaitingRoom.Question
    ) {
        let now = self.eventLoop.now
        switch result {
        case .success(let route):
            self.perform(self.room.value.found(.route(route), of: di, by: question, now: now))
            // Not while it is in doubt.
            if let route, route.isLive, !self.room.value.hasRequests(for: di) {
                self.memory.remember(route.route, now: now)
            }
        case .failure:
            let lastKnown = self.memory.lastKnown(di)
            self.perform(self.room.value.found(.unavailable(lastKnown: lastKnown), of: di, by: question, now: now))
        }
    }

    private func heard(_ route: Route) {
        let now = self.eventLoop.now
        self.perform(self.room.value.heard(route, now: now))
        self.memory.remember(route, now: now)
    }

    /// The one way out.
    private func finish(_ delivery: Delivery, _ response: Response) {
        // An observation goes on; what it holds is let go in its own time.
        if delivery.observation == nil { self.admission.release(delivery.uid, pod: delivery.pod) }
        delivery.answer(response)
    }
}

// MARK: - Answers

extension EdgeResponder {
    /// Nobody got the request. Why?
    private func explain(_ delivery: Delivery, _ response: Response) {
        let left = max(delivery.machine.deadline - self.eventLoop.now, .milliseconds(1))
        let call = RegistryClient.Call(
            requestID: delivery.request.options.requestID ?? "", deadline: .nanoseconds(left.nanoseconds))
        self.registry.device(delivery.di, call: call) { result in
            guard case .success(let found) = result else {
                // Nobody can say why; it did not get the request either way.
                return self.finish(delivery, response)
            }
            // A client's id names no device.
            guard let device = found, device.kind == .device else {
                return self.finish(delivery, response.saying(.notFound, "no device \(delivery.di) is registered"))
            }
            guard device.uid.text == delivery.uid else {
                return self.finish(delivery, response.saying(.forbidden, "device \(delivery.di) is not yours"))
            }
            self.finish(delivery, response)
        }
    }

    /// The device's own answer, as a proxy passes it on (RFC 7252 §5.7.1).
    func passOn(_ response: Response, to delivery: Delivery) -> Response {
        if let unsafe = response.options.first(where: {
            $0.number.isUnsafeToForward && OptionDefinition.of($0.number) == nil
        }) {
            let text = "the device's answer has option \(unsafe.number), unsafe to forward (RFC 7252 §5.7.1)"
            return Response(.badGateway, diagnostic: text)
        }
        return LinkList.isAsked(for: delivery.request)
            ? LinkList.prefixing(response, di: delivery.di, endpoint: delivery.request.options.endpoint) : response
    }
}
