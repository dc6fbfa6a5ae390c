import Cloud
import CoAP
import CoAPTransport
import NIOCore

// What this peer observes: devices by way of the edge, and the cloud's own links.

extension DeviceConnection {
    /// More than these a connection may not observe at a time.
    static let maximumStanding = 256

    /// Observes a device. Above the bound the request is answered once, which says that it is not observed
    /// (RFC 7641 §4.1).
    func observe(_ request: Request, id: IncomingID) {
        guard let eventLoop = self.connection?.eventLoop else { return }
        let edge = self.context.edge
        guard self.standing.count < Self.maximumStanding else {
            var plain = request
            plain.options.observe = nil
            return self.ask(edge, plain) { this, response in this.answer(id, response) }
        }
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        self.standing[id] = edge.observe(request) { event in
            // Not `onLoop`: events come from more than one thread, and each must stand behind the one before; and
            // the first must find what stands below.
            eventLoop.execute { this.value.heard(event, for: id) }
        }
    }

    func heard(_ event: ObservationEvent, for id: IncomingID) {
        guard self.standing[id] != nil else { return }
        switch event {
        case .notified(let response):
            var registered = response
            registered.options.observe = 0
            // Only the first answer has its line in the log.
            if self.requests[id] != nil {
                self.answer(id, registered)
            } else {
                self.connection?.respond(to: id, with: registered)
            }
        case .ended(let response):
            self.standing[id] = nil
            var last = response
            last.options.observe = nil
            self.answer(id, last)
        }
    }

    /// The peer does not want to be told any more, or is gone.
    func cancelStanding(_ id: IncomingID) {
        self.links[id] = nil
        self.standing.removeValue(forKey: id)?.cancel()
    }

    /// The session or its token is over, and with it what it gave the right to see.
    func endStanding() {
        let ids = self.standing.keys.sorted { $0.rawValue < $1.rawValue }
        for id in ids {
            self.cancelStanding(id)
            self.answer(id, Response(.unauthorized, diagnostic: "the session is over: sign in, and observe again"))
        }
    }
}

// MARK: - The cloud's own links

extension DeviceConnection {
    /// Observes `/oic/res`: answered now, and again whenever the answer is another one.
    /// - Parameter request: as the registry wants it.
    func observeLinks(_ request: Request, id: IncomingID) {
        guard let eventLoop = self.connection?.eventLoop, let session = self.machine.session else { return }
        var plain = request
        plain.options.observe = nil
        guard self.standing.count < Self.maximumStanding else { return self.askOnce(plain, id: id) }
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        // Before the registry is asked, so that nothing falls between its answer and the first change heard of.
        let subscription = self.context.keeper.linksWatch.subscribe(to: session.uid) {
            this.onLoop { $0.linksChanged(id) }
        }
        guard let subscription else { return self.askOnce(plain, id: id) }
        self.links[id] = LinksObservation(request: plain)
        self.standing[id] = subscription
        self.askForLinks(id)
    }

    private func askOnce(_ request: Request, id: IncomingID) {
        self.ask(self.context.registry, request) { this, response in this.answer(id, response.fromRegistry) }
    }

    private func linksChanged(_ id: IncomingID) {
        self.links[id]?.changed()
        self.askForLinks(id)
    }

    private func askForLinks(_ id: IncomingID) {
        guard let request = self.links[id]?.next() else { return }
        self.ask(self.context.registry, request) { this, response in
            switch this.links[id]?.answered(response.fromRegistry) {
            case .tell(let response):
                this.heard(.notified(response), for: id)
            case .end(let response):
                this.links[id] = nil
                this.standing[id]?.cancel()
                this.heard(.ended(response), for: id)
            case .nothing, nil:
                break
            }
            this.askForLinks(id)
        }
    }

    /// A request of this peer succeeded: those of its user who observe the links on this pod need not wait for the
    /// event log.
    func linksMayHaveChanged(by request: Request) {
        guard request.options.path == ["oic", "rd"], request.method != .get, let session = self.machine.session else {
            return
        }
        self.context.keeper.linksWatch.changed(session.uid)
        self.linksMayBeOthers()
    }
}
