package import NIOCore
import Synchronization

/// Notices that an event loop stood still: the process was stopped, its machine slept, or something blocked the loop.
/// Whoever slept may have been taken for dead meanwhile, so it has to ask before it acts on what it still has.
///
/// Each loop notes the time twice a second and whenever it reads. The first thing a loop does after a pause looks at
/// the gap, and since reads come before timers every read looks too, before anything that came with it is handled.
/// `onPause` is called on the loop that paused, once for each of its pauses and with the length of the gap. After a
/// stop of the whole process that is once for each loop: each has to be fenced before its own first read, and none can
/// wait for another.
package final class LoopWatch: Sendable {
    private let limit: TimeAmount
    private let interval: TimeAmount
    private let clock: @Sendable () -> NIODeadline
    private let onPause: @Sendable (TimeAmount) -> Void
    private let turns = Mutex<[ObjectIdentifier: Watched]>([:])

    private struct Watched {
        let turn: LoopTurn
        let task: RepeatedTask
    }

    /// - Parameters:
    ///   - limit: a longer gap is a pause.
    ///   - interval: how often an idle loop notes the time; well below `limit`.
    ///   - clock: the monotonic time.
    package init(
        limit: TimeAmount = .seconds(5), interval: TimeAmount = .milliseconds(500),
        clock: @escaping @Sendable () -> NIODeadline = { .now() },
        onPause: @escaping @Sendable (TimeAmount) -> Void
    ) {
        self.limit = limit
        self.interval = interval
        self.clock = clock
        self.onPause = onPause
    }

    /// Watches every loop of `group`, from now on.
    package func start(on group: any EventLoopGroup) {
        for loop in group.makeIterator() {
            let turn = LoopTurn(limit: self.limit, start: self.clock(), onPause: self.onPause)
            let clock = self.clock
            let task = loop.scheduleRepeatedTask(initialDelay: self.interval, delay: self.interval) { _ in
                turn.check(now: clock())
            }
            let replaced = self.turns.withLock { turns in
                defer { turns[ObjectIdentifier(loop)] = Watched(turn: turn, task: task) }
                return turns[ObjectIdentifier(loop)]
            }
            replaced?.task.cancel()
        }
    }

    package func stop() {
        let watched = self.turns.withLock { turns in
            defer { turns = [:] }
            return Array(turns.values)
        }
        watched.forEach { $0.task.cancel() }
    }

    /// What whoever reads on `loop` keeps, so as to ask it before each read. Nil if the loop is not watched.
    package func turn(of loop: any EventLoop) -> LoopTurn? {
        self.turns.withLock { $0[ObjectIdentifier(loop)]?.turn }
    }

    /// Looks for a pause of `loop`, on which the caller is.
    package func check(on loop: any EventLoop) {
        loop.preconditionInEventLoop()
        self.turn(of: loop)?.check(now: self.clock())
    }
}

/// When one event loop was last seen turning.
package final class LoopTurn: Sendable {
    private let limit: TimeAmount
    private let onPause: @Sendable (TimeAmount) -> Void
    /// Written by its own loop only.
    private let lastSeen: Atomic<UInt64>

    init(limit: TimeAmount, start: NIODeadline, onPause: @escaping @Sendable (TimeAmount) -> Void) {
        self.limit = limit
        self.onPause = onPause
        self.lastSeen = Atomic(start.uptimeNanoseconds)
    }

    /// The loop turns: calls `onPause`, and returns when that has returned, if it had not for too long. To be called on
    /// the loop, with its monotonic time, before anything is handled that may have waited through a pause.
    package func check(now: NIODeadline) {
        let last = NIODeadline.uptimeNanoseconds(self.lastSeen.load(ordering: .relaxed))
        guard now > last else { return }
        self.lastSeen.store(now.uptimeNanoseconds, ordering: .relaxed)
        let gap = now - last
        if gap > self.limit {
            self.onPause(gap)
        }
    }
}
