import CoAP
import CoAPTransport

/// One connection of one device: passes on what comes in, as long as the device has not turned to another one.
final class FleetLine: ConnectionDelegate {
    private let peer: FleetPeer
    /// Which of the device's connections, the first of which is 1.
    let number: Int
    /// Where it goes to.
    private let target: FleetSetup.Target
    private(set) var connection: CoAPConnection?
    private(set) var hasCSM = false
    /// The cloud has asked the device to leave, whether or not it does.
    private(set) var wasReleased = false
    /// Where the cloud asked it to connect to next, the first that can be understood.
    private(set) var alternative: FleetSetup.Target?
    /// What the cloud observes here.
    private(set) var observers: [IncomingID] = []

    init(_ peer: FleetPeer, number: Int, to target: FleetSetup.Target) {
        self.peer = peer
        self.number = number
        self.target = target
    }

    func connectionOpened(_ connection: CoAPConnection) {
        self.connection = connection
        self.peer.opened(self)
    }

    func connectionReceived(_ request: Request, id: IncomingID) {
        self.peer.received(request, id: id, on: self)
    }

    func observed(by id: IncomingID) {
        self.observers.append(id)
    }

    func connectionCancelled(_ id: IncomingID) {
        self.observers.removeAll { $0 == id }
    }

    func connectionReleased(to alternativeAddresses: [String]) {
        self.alternative = alternativeAddresses.lazy.compactMap { self.target.elsewhere($0) }.first
        self.released()
    }

    private func released() {
        self.wasReleased = true
        self.peer.released(self)
    }

    func connectionIgnored(_ message: IgnoredMessage) {
        switch message {
        case .csm:
            self.hasCSM = true
            self.peer.receivedCSM(self)
        case .pong:
            self.peer.receivedPong(self)
        case .omittedRelease:
            self.wasReleased = true
            self.peer.ignoredRelease(self)
        case .empty, .heldPong, .unmatchedResponse, .cancelledObservation, .unknownSignal, .unassignedClass,
            .afterClose, .suppressedReply, .omittedPing:
            break
        }
    }

    func connectionEnded(_ end: ConnectionEnd) {
        // One of several addresses that was not the first to answer was never open.
        guard self.connection != nil else { return }
        self.observers = []
        self.peer.ended(self, end)
        self.connection = nil
    }
}
