import Cloud
import CoAP
import CoAPTransport
import NIOCore
import OCF

// The device is observed: what `ObservationTable` decides is done here.

extension DeviceConnection {
    /// Registers at the device if the session is still the one it was authorised for.
    /// - Parameter deadline: for the first answer; nil if the request names none.
    func observe(_ request: Request, of di: DeviceID, deadline: NIODeadline?, by observer: Observer) {
        guard !observer.isCancelled else { return }
        // A task that was queued while the process slept must not be the first to write.
        self.turn?.check(now: .now())
        let session: Session
        let connection: CoAPConnection
        switch self.relayTarget(of: request, di: di) {
        case .refused(let response): return observer.tell(.ended(response))
        case .session(let found, let over): (session, connection) = (found, over)
        }
        self.logRelay(request, session)
        defer { self.countObservations() }
        switch self.observations.join(Relay.towardsDevice(request), isShared: !request.isBatch, as: observer.id) {
        case .full:
            var plain = request
            plain.options.observe = nil
            self.relay(plain, to: di, deadline: deadline) { observer.tell(.ended($0)) }
        case .wait:
            self.observers[observer.id] = observer
        case .tell(let response):
            self.observers[observer.id] = observer
            observer.tell(.notified(response))
        case .begin(let id, let upstream):
            self.observers[observer.id] = observer
            self.register(upstream, as: id, request, session, connection, deadline: deadline)
        }
    }

    private func register(
        _ upstream: Request, as id: ObservationTable.UpstreamID, _ request: Request, _ session: Session,
        _ connection: CoAPConnection, deadline: NIODeadline?
    ) {
        let record = self.relayRecord(of: request, session)
        let this = NIOLoopBound(self, eventLoop: connection.eventLoop)
        let isFirst = NIOLoopBoundBox(true, eventLoop: connection.eventLoop)
        let subject = StateKeeper.Subject(of: upstream, di: session.di)
        let handle = connection.observe(
            upstream, deadline: deadline ?? .now() + self.context.requestTimeout
        ) { result in
            let event = Relay.event(for: result)
            if isFirst.value {
                isFirst.value = false
                record(event.response)
            }
            this.value.takeDown(event.response, of: id, subject, in: session)
            this.value.heard(event, of: id)
        }
        // It may be over before it had begun.
        if self.observations.has(id) { self.upstreams[id] = Upstream(handle: handle, subject: subject) }
    }

    /// Also what a device answers that will not be observed: that is its state too.
    private func takeDown(
        _ response: Response, of id: ObservationTable.UpstreamID, _ subject: StateKeeper.Subject, in session: Session
    ) {
        // What a session says that is over may be of a device that is registered no more.
        guard let states = self.context.states, self.machine.session?.epoch == session.epoch else { return }
        self.upstreams[id]?.note = states.heard(response, of: subject, in: session)
    }

    private func heard(_ event: ObservationEvent, of id: ObservationTable.UpstreamID) {
        defer { self.countObservations() }
        switch self.observations.heard(event, of: id) {
        case .nothing:
            break
        case .tell(let observers, let response):
            for observer in observers { self.observers[observer]?.tell(.notified(response)) }
        case .end(let observers, let response):
            self.upstreams[id] = nil
            for observer in observers { self.observers.removeValue(forKey: observer)?.tell(.ended(response)) }
        }
    }

    /// The observer does not want to be told any more.
    func stopObserving(_ observer: Observer) {
        self.observers[observer.id] = nil
        defer { self.countObservations() }
        switch self.observations.leave(observer.id) {
        case .nothing: break
        case .cancel(let id): self.upstreams.removeValue(forKey: id)?.handle.cancel()
        }
    }

    /// The session is over.
    /// - Parameter response: the last word. Its `Undelivered` says whether whoever observed shall look for the device.
    func endObserved(with response: Response) {
        self.endWatching()
        let (observers, upstreams) = self.observations.endAll()
        self.countObservations()
        for id in upstreams { self.upstreams.removeValue(forKey: id)?.handle.cancel() }
        for observer in observers { self.observers.removeValue(forKey: observer)?.tell(.ended(response)) }
    }

    private func countObservations() {
        let (upstream, observers) = (self.observations.upstreamCount, self.observations.observerCount)
        self.context.metrics.observed(
            upstream: upstream - self.countedObservations.upstream,
            observers: observers - self.countedObservations.observers)
        self.countedObservations = (upstream, observers)
    }
}

/// One observation at the device.
struct Upstream {
    let handle: ObservationHandle
    let subject: StateKeeper.Subject
    /// Of what was said last, if it is kept.
    var note: StateKeeper.Note?
}

extension ObservationEvent {
    var response: Response {
        switch self {
        case .notified(let response), .ended(let response): response
        }
    }
}
