import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore

/// The accepting end of one connection: nothing gets past it before the proof.
final class HopAcceptor: ConnectionDelegate {
    private let context: HopAcceptorContext
    private var proof: AcceptorProof
    private var connection: CoAPConnection?
    private var bound: NIOLoopBound<HopAcceptor>?
    /// Who the other side has proven to be.
    private var peer: HopPeer?
    private var observations: ServedObservations?
    private var isReserved = false
    private var timer: Scheduled<Void>?

    private var use = WindowUse()
    /// What each unanswered request counts.
    private var unanswered: [IncomingID: Int] = [:]

    init(context: HopAcceptorContext) {
        self.context = context
        self.proof = AcceptorProof(
            secrets: context.secrets, name: context.name, window: context.limits.window, random: SystemRandomSource())
    }

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.bound = NIOLoopBound(self, eventLoop: connection.eventLoop)
        self.observations = ServedObservations(connection)
        self.isReserved = self.context.reserve()
        guard self.isReserved else {
            connection.close(reason: "too many connections without proof")
            return
        }
        self.timer = connection.eventLoop.assumeIsolated().scheduleTask(in: self.context.limits.unprovenTimeout) {
            self.refuse(.malformed("nothing complete within the time for it"))
        }
    }

    // MARK: Before the proof

    func connectionRefused(with code: Code) {
        if self.peer == nil {
            self.refuse(.proofExpected)
        }
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        guard let connection = self.connection else { return }
        if self.peer != nil {
            self.handle(request, id: id, connection)
            return
        }
        switch self.proof.received(request) {
        case .answer(let response):
            connection.respond(to: id, with: response)
        case .proven(let peer, let response):
            self.accept(peer, connection)
            connection.respond(to: id, with: response)
        case .refuse(let response, let refusal):
            connection.respond(to: id, with: response)
            self.refuse(refusal)
        }
    }

    private func accept(_ peer: HopPeer, _ connection: CoAPConnection) {
        self.peer = peer
        self.timer?.cancel()
        self.timer = nil
        self.giveBack()
        connection.takeLargeMessages(self.context.limits.acceptor.limits)
        if let age = self.context.limits.maximumAge {
            self.timer = connection.eventLoop.scheduleTask(in: age.scaled(by: .random(in: 0.8...1.2))) {
                connection.release()
            }
        }
        self.context.logger.debug(
            "connection between programs accepted",
            metadata: [
                "peer.name": "\(peer.name)", "peer.role": "\(peer.role)", "peer.address": "\(connection.peerAddress)",
            ])
    }

    private func refuse(_ refusal: HopRefusal) {
        guard let connection = self.connection else { return }
        self.context.logger.debug(
            "connection between programs refused",
            metadata: ["peer.address": "\(connection.peerAddress)", "reason": "\(refusal)"])
        connection.abort(refusal.description)
    }

    private func giveBack() {
        guard self.isReserved else { return }
        self.isReserved = false
        self.context.giveBack()
    }

    // MARK: After the proof

    private func handle(_ request: Request, id: IncomingID, _ connection: CoAPConnection) {
        // What was too late when it arrived is never acted on. What becomes late while it waits is the responder's to
        // drop, which still sees how much time there was.
        guard request.options.deadlineMilliseconds != 0 else {
            connection.respond(to: id, with: HopOutcome.late.response)
            return
        }
        let size = request.windowSize
        guard connection.channel.isWritable, self.use.take(size, of: self.context.limits.window) else {
            connection.respond(to: id, with: HopOutcome.windowFull.response)
            return
        }
        self.unanswered[id] = size
        // Set when the connection opened, before any request.
        guard let bound = self.bound else { return }
        guard !request.registers else {
            self.observations?.serve(request, id: id, by: self.context.responder) { _ = bound.value.leavesWindow(id) }
            return
        }
        self.context.responder.respond(to: request) { response in
            bound.onLoop { $0.answered(id, response) }
        }
    }

    private func answered(_ id: IncomingID, _ response: Response) {
        guard self.leavesWindow(id) else { return }
        self.connection?.respond(to: id, with: response)
    }

    /// False if it was not in there.
    private func leavesWindow(_ id: IncomingID) -> Bool {
        guard let size = self.unanswered.removeValue(forKey: id) else { return false }
        self.use.give(back: size)
        return true
    }

    func connectionCancelled(_ id: IncomingID) {
        self.observations?.cancelled(id)
    }

    func connectionReleased(to alternativeAddresses: [String]) {}

    func connectionIgnored(_ message: IgnoredMessage) {}

    func connectionEnded(_ end: ConnectionEnd) {
        self.timer?.cancel()
        self.giveBack()
        self.unanswered = [:]
        self.observations?.endAll()
        self.observations = nil
        self.connection = nil
        self.bound = nil
    }
}
