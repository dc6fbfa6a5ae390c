import Cloud
package import CoAP
import NIOCore

// Observations: registered like any request, by the delivery's own rules; what `ObservationMachine` decides afterwards
// is done here. All of it on the edge's event loop, so that events keep their order.

extension EdgeResponder {
    /// Observes a device across its connections: whoever observes learns of a move only what has changed.
    ///
    /// An owner has so many observations, and the edge as well: above that a request is answered once.
    package func observe(
        _ request: Request, event: @escaping @Sendable (ObservationEvent) -> Void
    ) -> ObservationHandle {
        guard request.method == .get, request.options.observe == 0, let uid = request.options.fence?.uid,
            case .admitted = self.standing.admit(uid)
        else {
            var plain = request
            plain.options.observe = nil
            self.respond(to: plain) { event(.ended($0)) }
            return ObservationHandle {}
        }
        switch self.admit(request) {
        case .refused(let response):
            self.standing.release(uid)
            event(.ended(response))
            return ObservationHandle {}
        case .admitted(let delivery, let now):
            let observer = delivery.number
            self.eventLoop.execute { self.join(observer, delivery, now, event) }
            return ObservationHandle {
                // Behind what began it, wherever this is called.
                self.eventLoop.execute { self.leave(observer) }
            }
        }
    }

    func begin(_ id: UInt64, _ delivery: Delivery, _ now: NIODeadline) {
        var entry = EdgeObservations.Entry(di: delivery.di, uid: delivery.uid, request: delivery.request)
        if self.observations.value.isClosing { _ = entry.machine.close() }
        self.observations.value.entries[id] = entry
        self.observations.value.count()
        var delivery = delivery.answered { self.registered(id, $0) }
        delivery.observation = id
        self.start(delivery, now)
    }

    /// Sends a registration to a pod.
    func register(_ id: UInt64, _ request: Request, _ delivery: Delivery, _ attempt: DeliveryMachine.Attempt) {
        guard self.eventLoop.inEventLoop else {
            return self.eventLoop.execute { self.register(id, request, delivery, attempt) }
        }
        // Whoever wanted it may be gone.
        guard let entry = self.observations.value.entries[id] else { return }
        let number = entry.registration + 1
        self.observations.value.entries[id]?.registration = number
        self.observations.value.entries[id]?.awaitsAnswer = true
        self.observations.value.entries[id]?.isStanding = false
        entry.upstream?.cancel()
        let upstream = self.pods.observe(request, at: attempt.pod) { event in
            // Always behind what was heard before, and behind the next line.
            self.eventLoop.execute { self.heard(event, of: id, number, delivery, attempt) }
        }
        self.observations.value.entries[id]?.upstream = upstream
    }

    private func heard(
        _ event: ObservationEvent, of id: UInt64, _ number: UInt64, _ delivery: Delivery,
        _ attempt: DeliveryMachine.Attempt
    ) {
        guard var entry = self.observations.value.entries[id], entry.registration == number else { return }
        let isFirst = entry.awaitsAnswer
        entry.awaitsAnswer = false
        var event = event
        switch event {
        case .notified(let response):
            entry.isStanding = true
            if isFirst { break }
            let passed = self.passOn(response, to: delivery)
            event = passed.code.isSuccess ? .notified(passed) : .ended(passed)
        case .ended(let response):
            entry.isStanding = false
            entry.upstream = nil
            if isFirst { break }
            if DeliveryMachine.disprovesRoute(response) {
                self.memory.forget(entry.di, pod: attempt.pod, epoch: attempt.epoch)
            }
            // Our own reasons stay; they are no options of the device's.
            let isDevices = response.options.undelivered == nil && response.options.unknownOutcome == nil
            if isDevices { event = .ended(self.passOn(response, to: delivery)) }
        }
        guard !isFirst else {
            self.observations.value.entries[id] = entry
            return self.answered(delivery, attempt, event.response)
        }
        let action = entry.machine.heard(event, now: self.eventLoop.now, jitter: self.jitter())
        self.observations.value.entries[id] = entry
        self.perform(action, id)
    }

    /// A registration has come to its answer, by whatever way.
    private func registered(_ id: UInt64, _ response: Response) {
        guard self.eventLoop.inEventLoop else {
            return self.eventLoop.execute { self.registered(id, response) }
        }
        guard var entry = self.observations.value.entries[id] else { return }
        if entry.isInFlight { self.admission.release(entry.uid) }
        entry.isInFlight = false
        let hadTurn = entry.hasTurn
        entry.hasTurn = false
        // What the device said may be such that it cannot be passed on.
        let isStanding = entry.isStanding && response.code.isSuccess
        let action = entry.machine.answered(response, isStanding: isStanding, now: self.eventLoop.now)
        self.observations.value.entries[id] = entry
        self.perform(action, id)
        if hadTurn {
            self.observations.value.queue.done(entry.di)
            self.registerNext()
        }
    }

    private func perform(_ action: ObservationMachine.Action, _ id: UInt64) {
        self.setOpen(id)
        switch action {
        case .nothing:
            break
        case .tell(let response):
            self.tell(.notified(response), id)
        case .end(let response):
            self.remove(id)
            self.tell(.ended(response), id)
        case .wait(let time):
            self.setTimer(id, time)
        case .queue(let time):
            guard let di = self.observations.value.entries[id]?.di else { return }
            self.setTimer(id, time)
            self.observations.value.queue.add(id, di)
            self.registerNext()
        }
    }

    /// It is over, for whatever reason.
    func remove(_ id: UInt64) {
        guard let entry = self.observations.value.entries.removeValue(forKey: id) else { return }
        self.observations.value.count()
        entry.upstream?.cancel()
        if entry.isInFlight { self.admission.release(entry.uid) }
        if entry.hasTurn {
            self.observations.value.queue.done(entry.di)
            self.registerNext()
        }
    }

    // MARK: Registering anew

    private func registerNext() {
        let now = self.eventLoop.now
        while let (id, di) = self.observations.value.queue.take(now: now) {
            guard let giveUp = self.observations.value.entries[id]?.machine.turnCame(now: now) else {
                self.observations.value.queue.done(di)
                continue
            }
            self.observations.value.entries[id]?.hasTurn = true
            self.registerAnew(id, until: giveUp, now)
        }
        guard let turn = self.observations.value.queue.nextTurn(now: now),
            self.observations.value.queueTimer.map({ $0 > turn }) ?? true
        else { return }
        self.observations.value.queueTimer = turn
        self.eventLoop.scheduleTask(deadline: turn) {
            self.observations.value.queueTimer = nil
            self.registerNext()
        }
    }

    private func registerAnew(_ id: UInt64, until giveUp: NIODeadline, _ now: NIODeadline) {
        guard let entry = self.observations.value.entries[id] else { return }
        self.observations.value.countRecreated()
        let machine = DeliveryMachine(
            di: entry.di, uid: entry.uid, deadline: min(giveUp, now + TimeAmount(self.timeout)), isRepeatable: true,
            localPod: self.localPod)
        // Its number puts it behind every command that waits for the same device.
        var delivery = Delivery(
            number: .max, request: entry.request, di: entry.di, uid: entry.uid, machine: machine,
            answer: { self.registered(id, $0) })
        delivery.observation = id
        self.start(delivery, now)
    }

    // MARK: Time

    private func setTimer(_ id: UInt64, _ time: NIODeadline) {
        guard let entry = self.observations.value.entries[id], entry.timer.map({ $0 > time }) ?? true else { return }
        self.observations.value.entries[id]?.timer = time
        self.eventLoop.scheduleTask(deadline: time) { self.timeReached(id) }
    }

    private func timeReached(_ id: UInt64) {
        let now = self.eventLoop.now
        guard var entry = self.observations.value.entries[id] else { return }
        if let timer = entry.timer, timer <= now { entry.timer = nil }
        let action = entry.machine.timeReached(now: now)
        self.observations.value.entries[id] = entry
        self.perform(action, id)
    }

    /// On the event loop: from now on nobody waits for a device to come back.
    func closeObservations() {
        self.observations.value.isClosing = true
        for id in self.observations.value.entries.keys.sorted() {
            guard let action = self.observations.value.entries[id]?.machine.close() else { continue }
            self.perform(action, id)
        }
    }
}

extension ObservationEvent {
    fileprivate var response: Response {
        switch self {
        case .notified(let response), .ended(let response): response
        }
    }
}
