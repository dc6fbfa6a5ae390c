import Synchronization

/// Nudges within one process.
package final class InProcessNudge: Nudge {
    private let listeners = Mutex<[NudgeTopic: [@Sendable () -> Void]]>([:])

    package init() {}

    package func nudge(_ topic: NudgeTopic) {
        for heard in self.listeners.withLock({ $0[topic] ?? [] }) { heard() }
    }

    package func listen(to topic: NudgeTopic, heard: @escaping @Sendable () -> Void) {
        self.listeners.withLock { $0[topic, default: []].append(heard) }
    }
}
