import NIOCore
import Synchronization

/// The open connections of the listener: bounded, and told when the program stops.
final class HTTPConnections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var isQuiescing = false
        var isEmpty: Bool { self.channels.isEmpty }
    }

    private let maximum: Int
    private let state = Mutex(State())
    private let draining = Atomic(false)

    init(maximum: Int) {
        self.maximum = maximum
    }

    /// False when there are too many, or none are wanted any more.
    func enter(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel as AnyObject)
        let isIn = self.state.withLock { state in
            guard !state.isQuiescing, state.channels.count < self.maximum else { return false }
            state.channels[key] = channel
            return true
        }
        if isIn {
            channel.closeFuture.whenComplete { _ in self.state.withLock { $0.channels[key] = nil } }
        }
        return isIn
    }

    /// The program will stop: each connection ends with its next answer, and new ones are still taken.
    func drain() {
        self.draining.store(true, ordering: .relaxed)
    }

    var isDraining: Bool { self.draining.load(ordering: .relaxed) }
    var isEmpty: Bool { self.state.withLock { $0.isEmpty } }

    /// Closes idle connections now and the others after their answer.
    func quiesce() {
        let open = self.state.withLock { state in
            state.isQuiescing = true
            return Array(state.channels.values)
        }
        for channel in open {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }
}
