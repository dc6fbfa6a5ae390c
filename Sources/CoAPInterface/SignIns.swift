import CoAP
import NIOCore
import Synchronization

/// The identity requests of one process on their way to the registry: obeys `SignInQueue`, for all its event loops.
package final class SignIns: Sendable {
    /// What became of a request that asked for its turn.
    enum Turn: Hashable, Sendable {
        /// To be ended with `done`.
        case begin(waited: TimeAmount)
        /// The registry is not needed for it.
        case beginAside
        /// To be answered unprocessed.
        case late
    }

    private struct State {
        var queue: SignInQueue
        var turns: [SignInQueue.ID: @Sendable (Turn) -> Void] = [:]
        var isTicking = false
    }

    /// How often it looks for those that are too old while nothing else happens.
    private static let tick = TimeAmount.milliseconds(50)
    /// What those are told to wait, in seconds: not all the same, or they are back at once.
    static let maxAge: ClosedRange<UInt32> = 2...10

    private let state: Mutex<State>

    package init(limits: SignInQueue.Limits = .init(concurrent: 128)) {
        self.state = Mutex(State(queue: SignInQueue(limits: limits)))
    }

    /// How long the request has waited that waits the longest. Above 500 ms there is a storm, and nobody should be
    /// asked to come again.
    package var wait: Duration {
        let now = NIODeadline.now()
        return .nanoseconds(self.state.withLock { $0.queue.wait(now: now) }.nanoseconds)
    }

    /// Calls `turn` once, now or later, on any thread.
    /// - Parameters:
    ///   - isKnown: its peer has shown before who it is.
    ///   - turnedAway: how often it was too late for its peer since that was last served.
    ///   - isAnsweredHere: asked only if it would have to wait.
    func admit(
        isKnown: Bool, turnedAway: Int, isAnsweredHere: () -> Bool, on eventLoop: any EventLoop,
        turn: @escaping @Sendable (Turn) -> Void
    ) {
        if self.state.withLock({ $0.queue.begins() }) { return turn(.begin(waited: .zero)) }
        if isAnsweredHere() { return turn(.beginAside) }
        let (begins, late, ticks) = self.state.withLock { state -> (Bool, (@Sendable (Turn) -> Void)?, Bool) in
            switch state.queue.arrived(isKnown: isKnown, turnedAway: turnedAway, now: .now()) {
            case .begin:
                return (true, nil, false)
            case .wait(let id, let late):
                state.turns[id] = turn
                let ticks = !state.isTicking
                state.isTicking = true
                return (false, late.flatMap { state.turns.removeValue(forKey: $0) }, ticks)
            }
        }
        if begins { turn(.begin(waited: .zero)) }
        late?(.late)
        if ticks { self.scheduleTick(on: eventLoop) }
    }

    /// The registry has answered.
    func done() {
        let (begun, late) = self.state.withLock { state in
            let turns = state.queue.finished(now: .now())
            return (
                turns.begin.compactMap { next in state.turns.removeValue(forKey: next.id).map { ($0, next.wait) } },
                turns.late.compactMap { state.turns.removeValue(forKey: $0) }
            )
        }
        for turn in late { turn(.late) }
        for (turn, wait) in begun { turn(.begin(waited: wait)) }
    }

    private func scheduleTick(on eventLoop: any EventLoop) {
        eventLoop.scheduleTask(in: Self.tick) {
            let (late, goesOn) = self.state.withLock { state in
                let late = state.queue.late(now: .now()).compactMap { state.turns.removeValue(forKey: $0) }
                state.isTicking = state.queue.waitingCount > 0
                return (late, state.isTicking)
            }
            for turn in late { turn(.late) }
            if goesOn { self.scheduleTick(on: eventLoop) }
        }
    }
}
