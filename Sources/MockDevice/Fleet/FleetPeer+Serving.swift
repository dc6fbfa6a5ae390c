import CoAP
import CoAPTransport
import NIOCore

// What a device is asked, and what it tells of its own accord.

extension FleetPeer {
    func received(_ request: Request, id: IncomingID, on line: FleetLine) {
        guard line === self.line else { return }
        self.loop.counts.requests += 1
        let answer = self.light.respond(to: request, di: self.di)
        let path = (request.options.path ?? []).joined(separator: "/")
        func note(_ kind: FleetEvent.Kind, _ code: Code? = nil) {
            guard self.loop.history != nil else { return }
            var event = FleetEvent(kind, di: self.di, connection: line.number)
            event.request = "\(request.method.verb) /\(path)"
            event.queryMark = answer.queryMark
            event.bodyMark = answer.bodyMark
            event.code = code
            self.loop.history?.note(event)
        }
        note(.delivered)
        var response = answer.response
        if request.registers, answer.isLight, response.code.isSuccess {
            response.options.observe = 0
            line.observed(by: id)
        }
        let setup = self.loop.setup
        guard let delay = self.machine.answerDelay(share: setup.delayShare, delay: setup.delay) else {
            line.connection?.respond(to: id, with: response)
            self.loop.counts.answers += 1
            return note(.answered, response.code)
        }
        self.loop.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) {
            guard line === self.line, let connection = line.connection else { return note(.unanswered) }
            connection.respond(to: id, with: response)
            self.loop.counts.answers += 1
            note(.answered, response.code)
        }
    }

    /// What observers are told, for each of them.
    func notify() {
        guard let line = self.line, let connection = line.connection else { return }
        for id in line.observers {
            var response = self.light.change(di: self.di)
            response.options.observe = 0
            connection.respond(to: id, with: response)
            self.loop.counts.notifications += 1
        }
    }
}
