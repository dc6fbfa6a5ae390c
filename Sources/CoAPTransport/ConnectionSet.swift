import Certificates
import Logging
import NIOCore
import Synchronization

/// The connections of one listener, those among them that have not come to CoAP yet included.
final class ConnectionSet: Sendable {
    private struct State {
        var opening: [ObjectIdentifier: any Channel] = [:]
        var connections: [ObjectIdentifier: CoAPConnection] = [:]
        /// When the first of their certificates ends, or earlier: seconds since 1970.
        var firstEnd = Int64.max
    }

    let group: ListenerGroup
    private let state = Mutex(State())

    init(sharing group: ListenerGroup) {
        self.group = group
    }

    var count: Int { self.state.withLock { $0.opening.count + $0.connections.count } }
    var all: [CoAPConnection] { self.state.withLock { Array($0.connections.values) } }

    /// Why there is no place for it; whoever got one calls `remove` at the end.
    func reserve(_ channel: any Channel) -> ListenerRefusal? {
        if let refusal = self.group.reserve() {
            self.group.refused(
                refusal, metadata: channel.localAddress?.port.map { ["port": "\($0)"] } ?? [:])
            return refusal
        }
        self.state.withLock { $0.opening[ObjectIdentifier(channel as AnyObject)] = channel }
        return nil
    }

    func insert(_ key: ObjectIdentifier, _ connection: CoAPConnection) {
        self.state.withLock { state in
            state.opening[key] = nil
            state.connections[key] = connection
            state.firstEnd = min(state.firstEnd, connection.arrival.certificate?.notAfter ?? .max)
        }
    }

    /// Those whose certificate is over; each is told of once. Nobody is looked at before the first of them is.
    /// - Parameter now: seconds since 1970.
    func takeEnded(now: Int64) -> [CoAPConnection] {
        self.state.withLock { state in
            guard state.firstEnd < now else { return [] }
            state.firstEnd = .max
            return state.connections.values.filter { connection in
                guard let end = connection.arrival.certificate?.notAfter else { return false }
                if end >= now { state.firstEnd = min(state.firstEnd, end) }
                return end < now
            }
        }
    }

    func remove(_ key: ObjectIdentifier) {
        // Before it is gone from here: whoever sees none left finds all places free.
        self.group.giveBack()
        self.state.withLock { state in
            state.opening[key] = nil
            state.connections[key] = nil
        }
    }

    /// Closes those that CoAP has not begun on: there is nobody to say goodbye to.
    func closeOpening() {
        for channel in self.state.withLock({ Array($0.opening.values) }) {
            channel.close(promise: nil)
        }
    }
}
