import Cloud
package import Logging
import NIOCore
import ServiceLifecycle
package import ServiceShell
import Synchronization

/// Empties this pod before it stops: obeys `DrainMachine`. It stands last among the services, so that all others run on
/// until every device has been asked to go elsewhere.
package final class Drain: Service {
    private struct State {
        var machine: DrainMachine?
        var sessions = 0
        var moved: [MoveEnd: Int] = [:]
        var wasHealthy = true
    }

    /// How often it looks what is due.
    private static let period: Duration = .milliseconds(100)
    /// How often it asks who else drains.
    private static let leasePeriod = TimeAmount.seconds(3)

    private let settings: DrainMachine.Settings
    private let keeper: RouteKeeper
    private let readiness: Readiness
    private let hurry: Hurry
    private let trouble: @Sendable () -> String?
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - hurry: ends it at once.
    ///   - trouble: why a device could not sign in elsewhere just now; nil if it could.
    package init(
        settings: DrainMachine.Settings, keeper: RouteKeeper, readiness: Readiness, hurry: Hurry,
        trouble: @escaping @Sendable () -> String?, logger: Logger
    ) {
        self.settings = settings
        self.keeper = keeper
        self.readiness = readiness
        self.hurry = hurry
        self.trouble = trouble
        self.logger = logger
    }

    /// How far it is; nil before it began.
    package var status: DrainStatus? {
        self.state.withLock { state in
            state.machine.map { machine in
                DrainStatus(
                    phase: machine.phase.rawValue, sessions: state.sessions,
                    moved: Dictionary(uniqueKeysWithValues: state.moved.map { ($0.key.rawValue, $0.value) }))
            }
        }
    }

    /// Waits for the shutdown, then returns when no session is left, or the deadline is reached.
    package func run() async throws {
        try? await gracefulShutdown()
        await self.hurry.cancels { await self.drain() }
    }

    private func drain() async {
        let now = NIODeadline.now()
        self.readiness.fail("draining", "this pod stops; devices are asked to connect anew")
        let sessions = self.keeper.sessions.handles().map {
            MovableSession(di: $0.session.di, epoch: $0.session.epoch)
        }
        self.state.withLock { state in
            state.machine = DrainMachine(settings: self.settings, sessions: sessions, now: now)
            state.sessions = sessions.count
        }
        self.keeper.beginDraining { session in self.state.withLock { $0.machine?.arrived(session) } }
        self.keeper.metrics.isDraining(true)
        self.log("draining: this pod is not ready any more, and serves on")
        var nextLook = now
        while !Task.isCancelled {
            if NIODeadline.now() >= nextLook {
                nextLook = .now() + Self.leasePeriod
                self.countPods()
            }
            guard self.tick() else { return }
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.period)
        }
        self.log("draining cut short")
    }

    /// False when it is over.
    private func tick() -> Bool {
        self.noteHealth()
        let present = self.keeper.sessions.count
        let actions = self.state.withLock { $0.machine?.tick(now: .now(), present: present) ?? [] }
        for action in actions {
            switch action {
            case .releasing:
                self.log("draining: devices are asked to connect anew")
            case .move(let session, let isFirm):
                self.keeper.move(session, isFirm: isFirm) { self.heard($0, of: session) }
            case .closeRest:
                // Whoever ends from here on is among those that are left.
                self.state.withLock { $0.moved[.closedAtDeadline] = 0 }
                let left = self.keeper.cutMovesShort()
                self.state.withLock { $0.moved[.closedAtDeadline] = left }
                self.log("draining: the time is over; what is left is closed", level: .warning)
                return false
            case .finished:
                self.log("drained")
                return false
            }
        }
        return true
    }

    private func heard(_ news: MoveNews, of session: MovableSession) {
        self.state.withLock { state in
            switch news {
            case .absent:
                state.machine?.left(session, wasReleased: false)
            case .busy(let inFlight):
                state.machine?.busy(session, inFlight: inFlight)
            case .ended where state.moved[.closedAtDeadline] != nil:
                // All of them are counted at once.
                break
            case .ended(let end):
                state.moved[end, default: 0] += 1
                state.machine?.left(session, wasReleased: true)
            }
        }
    }

    private func noteHealth() {
        let trouble = self.trouble()
        let isNews = self.state.withLock { state in
            defer { state.wasHealthy = trouble == nil }
            state.machine?.healthChanged(trouble == nil)
            return state.wasHealthy != (trouble == nil)
        }
        guard isNews else { return }
        if let trouble {
            self.logger.warning("draining waits", metadata: .init([.reason: trouble]))
        } else {
            self.logger.info("draining goes on")
        }
    }

    private func countPods() {
        self.keeper.routes.leases { result in
            guard case .success(let pods) = result else { return }
            self.keeper.looked(at: pods)
            self.state.withLock { $0.machine?.podsChanged(pods.filter(\.isDraining).count) }
        }
    }

    private func log(_ text: Logger.Message, level: Logger.Level = .info) {
        let (waiting, moving, moved) = self.state.withLock {
            ($0.machine?.waiting ?? 0, $0.machine?.movingCount ?? 0, $0.moved)
        }
        var metadata: Logger.Metadata = [
            "sessions": "\(self.keeper.sessions.count)", "sessions.waiting": "\(waiting)",
            "sessions.moving": "\(moving)",
        ]
        for (end, count) in moved { metadata["sessions.\(end.rawValue)"] = "\(count)" }
        self.logger.log(level: level, text, metadata: metadata)
    }
}
