import Cloud
import CoAP
import OCF
import ServiceLifecycle
import Synchronization

/// Holds requests for changes until there are some, without a worker: one reader of the change log serves them all. It
/// reads at once when this registry has committed a change or was nudged, and else every 500 ms while anybody waits.
final class ChangeFeed: Service {
    typealias Receiver = @Sendable (ChangeWaiters.Outcome) -> Void

    /// How often it is looked whose time is over.
    private static let tick: Duration = .milliseconds(100)

    private struct State {
        var waiters = ChangeWaiters()
        var receivers: [UInt64: Receiver] = [:]
        var nextID: UInt64 = 0
    }

    private let log: ChangeLog
    private let nudge: (any Nudge)?
    private let state: Mutex<State>
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init(log: ChangeLog, nudge: (any Nudge)?, limits: ChangeWaiters.Limits = .init()) {
        self.log = log
        self.nudge = nudge
        self.state = Mutex(State(waiters: ChangeWaiters(limits: limits)))
        (self.signals, self.signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        nudge?.listen(to: .changes) { [signal] in signal.yield() }
    }

    /// How many requests are held.
    var waiting: Int { self.state.withLock { $0.waiters.count } }

    /// This registry has written into the log.
    func committed() {
        self.signal.yield()
        self.nudge?.nudge(.changes)
    }

    /// `receiver` is called exactly once, on any thread.
    func wait(after: Int64?, for wait: Duration, receiver: @escaping Receiver) {
        let now = ContinuousClock.now
        let arrival = self.state.withLock { state in
            state.nextID += 1
            let arrival = state.waiters.arrived(state.nextID, after: after, wait: wait, now: now)
            if case .wait = arrival { state.receivers[state.nextID] = receiver }
            return arrival
        }
        switch arrival {
        case .answer(let outcome): receiver(outcome)
        case .wait(let read): if read { self.signal.yield() }
        }
    }

    func run() async {
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await withDiscardingTaskGroup { group in
                    group.addTask { await self.keepTime() }
                    await self.follow()
                    group.cancelAll()
                }
            } onGracefulShutdown: {
                self.signal.finish()
            }
        } onCancel: {
            self.signal.finish()
        }
        self.answer { $0.close() }
    }

    private func keepTime() async {
        while !Task.isCancelled {
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.tick)
            let now = ContinuousClock.now
            self.answer { $0.expire(now: now) }
            if self.state.withLock({ $0.waiters.isReadDue(now: now) }) { self.signal.yield() }
        }
    }

    private func follow() async {
        for await _ in self.signals {
            guard let after = self.state.withLock({ $0.waiters.beginRead() }) else { continue }
            let begun = ContinuousClock.now
            do {
                let page = try await self.log.read(after: after, limit: RegistryProtocol.maximumChanges)
                self.answer { $0.read(page, begun: begun) }
                if page.changes.count >= RegistryProtocol.maximumChanges { self.signal.yield() }
            } catch {
                self.answer { $0.readFailed() }
            }
            await self.catchUp()
        }
    }

    /// Reads for each of those who are further behind than what is kept.
    private func catchUp() async {
        while let (id, after) = self.state.withLock({ $0.waiters.nextBehind() }) {
            let outcome: ChangeWaiters.Outcome
            do {
                outcome = .page(try await self.log.read(after: after, limit: RegistryProtocol.maximumChanges))
            } catch {
                outcome = .unavailable
            }
            self.answer { _ in [ChangeWaiters.Answer(id: id, outcome: outcome)] }
        }
    }

    private func answer(_ decide: (inout ChangeWaiters) -> [ChangeWaiters.Answer]) {
        let due = self.state.withLock { state in
            decide(&state.waiters).compactMap { answer in
                state.receivers.removeValue(forKey: answer.id).map { (receiver: $0, outcome: answer.outcome) }
            }
        }
        for (receiver, outcome) in due { receiver(outcome) }
    }
}
