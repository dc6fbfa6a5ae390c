import NIOCore

/// Where connections of one event loop wait for their TLS handshake: obeys `HandshakeQueue`.
///
/// One for each event loop, since a handshake is work of its loop and of no other: so nothing is shared, and nobody
/// waits for a loop that is not his.
final class HandshakeRoom {
    /// How long after a ClientHello was answered its slot is free again. A task that were queued at once would run
    /// before the loop looks at its sockets.
    private static let pause = TimeAmount.microseconds(100)

    private let eventLoop: any EventLoop
    private var queue: HandshakeQueue<ObjectIdentifier>
    private let onWait: @Sendable (TimeAmount) -> Void
    private var gates: [ObjectIdentifier: HandshakeGate] = [:]
    private var finished = 0
    private var timer: Scheduled<Void>?

    init(eventLoop: any EventLoop, limits: HandshakeLimits, onWait: @escaping @Sendable (TimeAmount) -> Void) {
        self.eventLoop = eventLoop
        self.queue = HandshakeQueue(limits: limits)
        self.onWait = onWait
    }

    /// Calls `begin` or `refuse` of the gate, now or later, unless it leaves.
    func enter(_ gate: HandshakeGate, resumes: Bool) {
        let id = ObjectIdentifier(gate)
        switch self.queue.arrived(id, resumes: resumes, now: .now()) {
        case .begin:
            self.begin(gate)
        case .wait:
            self.gates[id] = gate
            self.schedule()
        case .refuse:
            gate.refuse()
        }
    }

    func leave(_ gate: HandshakeGate) {
        let id = ObjectIdentifier(gate)
        self.queue.left(id)
        self.gates[id] = nil
    }

    private func begin(_ gate: HandshakeGate) {
        gate.begin()
        self.finished += 1
        guard self.finished == 1 else { return }
        self.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.turn() }
    }

    private func turn() {
        let finished = self.finished
        self.finished = 0
        let turns = self.queue.finished(finished, now: .now())
        for id in turns.refuse { self.gates.removeValue(forKey: id)?.refuse() }
        for next in turns.begin {
            self.onWait(next.wait)
            guard let gate = self.gates.removeValue(forKey: next.id) else { continue }
            self.begin(gate)
        }
    }

    private func schedule() {
        guard self.timer == nil, let deadline = self.queue.deadline() else { return }
        self.timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.timer = nil
            for id in self.queue.expired(now: .now()) { self.gates.removeValue(forKey: id)?.refuse() }
            self.schedule()
        }
    }
}
