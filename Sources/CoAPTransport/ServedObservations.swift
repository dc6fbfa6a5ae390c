package import CoAP
import NIOCore

/// What the peer of one connection observes: passes on what a `Responder` tells, and cancels when the peer does. Lives
/// on the connection's event loop; how many there are is the machine's to bound.
package final class ServedObservations {
    private let connection: CoAPConnection
    private let bound: NIOLoopBoundBox<ServedObservations?>
    private var handles: [IncomingID: ObservationHandle] = [:]

    /// - Parameter connection: to be made on its event loop.
    package init(_ connection: CoAPConnection) {
        self.connection = connection
        self.bound = NIOLoopBoundBox(nil, eventLoop: connection.eventLoop)
        self.bound.value = self
    }

    package var count: Int { self.handles.count }

    /// Answers a request that registers, and goes on.
    /// - Parameter onFirst: its first answer is there.
    package func serve(
        _ request: Request, id: IncomingID, by responder: any Responder,
        onFirst: @escaping @Sendable () -> Void = {}
    ) {
        let bound = self.bound
        let isFirst = NIOLoopBoundBox(true, eventLoop: self.connection.eventLoop)
        let handle = responder.observe(request) { event in
            // Always through the queue of the event loop, or one called on it would overtake one called elsewhere.
            bound.eventLoop.execute {
                if isFirst.value {
                    isFirst.value = false
                    onFirst()
                }
                bound.value?.told(event, id: id)
            }
        }
        guard bound.value != nil else { return handle.cancel() }
        self.handles[id] = handle
    }

    private func told(_ event: ObservationEvent, id: IncomingID) {
        guard let handle = self.handles[id] else { return }
        var response: Response
        switch event {
        case .notified(let notification) where notification.code.isSuccess:
            response = notification
            response.options.observe = 0
        case .notified(let last):
            // For the peer that is the end (RFC 7641 §4.2).
            self.handles[id] = nil
            handle.cancel()
            response = last
        case .ended(let last):
            self.handles[id] = nil
            response = last
            response.options.observe = nil
        }
        self.connection.respond(to: id, with: response)
    }

    /// The peer does not want it any more.
    package func cancelled(_ id: IncomingID) {
        self.handles.removeValue(forKey: id)?.cancel()
    }

    /// The connection has ended.
    package func endAll() {
        self.bound.value = nil
        let handles = self.handles
        self.handles = [:]
        for handle in handles.values { handle.cancel() }
    }
}
