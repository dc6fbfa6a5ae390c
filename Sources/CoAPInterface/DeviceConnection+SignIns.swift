import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore
import ServiceShell

// Identity requests on their way to the registry.

extension DeviceConnection {
    /// Puts an identity request to the registry once it is its turn.
    func identify(_ request: Request, id: IncomingID) {
        guard let eventLoop = self.connection?.eventLoop else { return }
        let this = NIOLoopBound(self, eventLoop: eventLoop)
        let context = self.context
        context.signIns.admit(
            isKnown: self.isKnown, turnedAway: self.turnedAway,
            isAnsweredHere: { context.isRemembered(request) }, on: eventLoop
        ) { turn in
            this.onLoop { $0.turnCame(turn, request, id: id) }
        }
    }

    /// A session began: says so if it is one of too many.
    func noteFlapping(_ session: Session) {
        guard self.context.flapping.signedIn(session.di) else { return }
        self.context.metrics.deviceFlaps()
        let seconds = FlappingDevices.window.nanoseconds / 1_000_000_000
        self.logger.warning(
            "device flapping: it signs in again and again; look at its power and its network",
            metadata: .init([
                .deviceID: session.di.text, .peerAddress: self.connection?.peerAddress,
                .count: "more than \(FlappingDevices.limit) within \(seconds) s",
            ]))
    }

    private func turnCame(_ turn: SignIns.Turn, _ request: Request, id: IncomingID) {
        switch turn {
        case .begin(let waited):
            self.turnedAway = 0
            if waited > .zero { self.context.metrics.signInWaited(waited) }
            guard self.connection != nil else { return self.context.signIns.done() }
            self.askRegistry(request, id: id) { $0.context.signIns.done() }
        case .beginAside:
            self.askRegistry(request, id: id) { _ in }
        case .late:
            self.turnedAway += 1
            self.context.metrics.signInUnprocessed()
            self.logger.debug(
                "sign-in not processed: too many wait", metadata: .init([.peerAddress: self.connection?.peerAddress]))
            let text = "more devices sign in than the registry can take now: try again"
            self.identityAnswered(
                Response(.serviceUnavailable, diagnostic: text, maxAge: .random(in: SignIns.maxAge)))
        }
    }

    /// - Parameter answered: called before the answer is acted on.
    private func askRegistry(
        _ request: Request, id: IncomingID, answered: @escaping @Sendable (DeviceConnection) -> Void
    ) {
        self.askedAt = self.context.sessions.revision
        self.ask(self.context.registry, self.annotated(request, id: id)) { this, response in
            answered(this)
            this.identityAnswered(response.fromRegistry)
        }
    }
}
