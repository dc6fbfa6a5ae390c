import CBOR
import Cloud
import CoAP
import CoAPTransport
import NIOCore

// With `STORED_STATE=observe` the gateway itself observes what the device has published, so that it has its last state:
// what `StateWatch` decides is done here.

extension DeviceConnection {
    /// Devices that sign in together are not all looked at together.
    private static let jitter: TimeAmount = .seconds(2)

    /// The device has signed in, published or taken back: what there is to observe may be something else.
    func linksMayBeOthers() {
        self.watch.published()
        self.watchStates(after: .nanoseconds(.random(in: 0...Self.jitter.nanoseconds)))
    }

    /// Looks for what there is to observe, at this time at the latest.
    private func watchStates(after pause: TimeAmount) {
        guard self.context.states?.mode == .observe, let session = self.machine.session, session.kind == .device,
            let eventLoop = self.connection?.eventLoop
        else { return }
        let time = NIODeadline.now() + pause
        if let watchDeadline = self.watchDeadline, watchDeadline <= time { return }
        self.watchTimer?.cancel()
        self.watchDeadline = time
        self.watchTimer = eventLoop.assumeIsolated().scheduleTask(deadline: time) {
            self.watchDeadline = nil
            self.watchTimer = nil
            self.listStates()
        }
    }

    /// Asks the registry which links there are.
    private func listStates() {
        guard let session = self.machine.session, session.kind == .device, self.isEntered else { return }
        var options = Options()
        options.path = ["oic", "res"]
        options.queries = ["di=\(session.di.text)"]
        options.accept = .ocfCBOR
        options.sessionUser = session.uid.text
        options.sessionDevice = session.di.text
        options.requestID = "states-\(session.epoch)"
        options.deadlineMilliseconds = UInt32(clamping: self.context.registryTimeout.nanoseconds / 1_000_000)
        self.ask(self.context.registry, Request(.get, options: options)) { this, response in
            guard this.machine.session?.epoch == session.epoch else { return }
            guard response.code == .content,
                let links = response.payload.flatMap({ try? DataItem(decoding: $0) })?.elements
            else { return this.perform(this.watch.unlisted(response)) }
            for link in this.watch.listed(links, of: session.di) { this.unwatch(link) }
            this.watchNext()
        }
    }

    private func perform(_ action: StateWatch.EndAction) {
        switch action {
        case .proceed: self.watchNext()
        case .retry(let pause, let proceeds):
            self.watchStates(after: pause)
            if proceeds { self.watchNext() }
        }
    }

    private func unwatch(_ link: WatchedLink) {
        guard let observer = self.watched.removeValue(forKey: link) else { return }
        observer.cancel()
        self.stopObserving(observer)
    }

    private func watchNext() {
        guard let session = self.machine.session, let eventLoop = self.connection?.eventLoop,
            let link = self.watch.next()
        else { return }
        var options = Options()
        options.path = [session.di.text] + link.path
        options.queries = link.queries
        options.accept = .ocfCBOR
        options.ocfAcceptVersion = .v1_0_0
        options.observe = 0
        options.fence = Fence(epoch: session.epoch, uid: session.uid.text)
        options.requestID = "states-\(session.epoch)"
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        // What it says is taken down where it comes in.
        let observer = Observer { event in
            // Never within the call that told it.
            eventLoop.execute { this.value.heard(event, ofWatched: link, in: session) }
        }
        self.watched[link] = observer
        self.observe(Request(.get, options: options), of: session.di, deadline: nil, by: observer)
    }

    private func heard(_ event: ObservationEvent, ofWatched link: WatchedLink, in session: Session) {
        guard self.machine.session?.epoch == session.epoch, self.watched[link] != nil else { return }
        switch event {
        case .notified(let response):
            guard self.watch.notified(link) else { return }
            if link == .batch, !StateKeeper.isBatch(response) {
                // A device that does not know the interface may answer with its default one.
                self.unwatch(link)
                return self.perform(self.watch.refused(link))
            }
            self.watchNext()
        case .ended(let response):
            self.watched[link] = nil
            self.perform(self.watch.ended(link, with: response))
        }
    }

    /// The session is over, and with it what was observed.
    func endWatching() {
        self.watched = [:]
        self.watch = StateWatch()
        self.watchTimer?.cancel()
        self.watchTimer = nil
        self.watchDeadline = nil
    }

    /// The store may have lost what it had: it is given again what the device said last.
    func keepStatesAgain() {
        guard let states = self.context.states, let session = self.machine.session else { return }
        for (id, upstream) in self.upstreams {
            guard case .resource = upstream.subject, let note = upstream.note,
                let response = self.observations.last(of: id)
            else { continue }
            states.said(response, of: upstream.subject, in: session, note)
        }
        guard self.watched[.batch] != nil else { return }
        // The last batch need not have everything in it: the first one has.
        self.unwatch(.batch)
        self.watch.cancelled(.batch)
        self.watchNext()
    }
}
