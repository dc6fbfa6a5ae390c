import Synchronization

/// Who listens to which channel. Each channel has one or a few listeners, set up at start and never taken away.
final class RedisListeners: Sendable {
    struct Listener: Sendable {
        /// The channel was subscribed to, at first or again: messages may have been lost before.
        let subscribed: @Sendable () -> Void
        let heard: @Sendable ([UInt8]) -> Void
    }

    static let maximumChannels = 1024

    private let table = Mutex<[String: [Listener]]>([:])

    var channels: [String] { self.table.withLock { $0.keys.sorted() } }

    /// False if there are too many channels.
    func add(_ listener: Listener, to channel: String) -> Bool {
        self.table.withLock { table in
            guard table.count < Self.maximumChannels || table[channel] != nil else { return false }
            table[channel, default: []].append(listener)
            return true
        }
    }

    func subscribed(_ channel: String) {
        for listener in self.table.withLock({ $0[channel] ?? [] }) { listener.subscribed() }
    }

    func heard(_ payload: [UInt8], on channel: String) {
        for listener in self.table.withLock({ $0[channel] ?? [] }) { listener.heard(payload) }
    }
}
