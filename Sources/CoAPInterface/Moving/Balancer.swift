import Cloud
import CoAPTransport
package import Logging
import NIOCore
import ServiceLifecycle
package import ServiceShell
import Synchronization

/// Asks devices to go elsewhere while this pod has more than its share: obeys `Rebalancing`.
package final class Balancer: Service {
    private struct State {
        var rule: Rebalancing
        var pods: [LeasedPod] = []
        var released = 0
        var nextLook = NIODeadline.now()
        var wasOn = false
    }

    /// How often it looks what is due.
    private static let period: Duration = .milliseconds(250)
    /// Of so many chosen for each that is to go, one is idle as a rule.
    private static let choice = 4
    /// Sign-ins that wait for longer would wait for longer still.
    private static let signInWait: Duration = .milliseconds(500)

    private let keeper: RouteKeeper
    private let isMoving: Bool
    private let trouble: @Sendable () -> String?
    private let signInWait: @Sendable () -> Duration
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - isMoving: false to look only.
    ///   - trouble: why a device could not sign in elsewhere just now; nil if it could.
    ///   - signInWait: how long a sign-in waits for its turn.
    package init(
        keeper: RouteKeeper, isMoving: Bool, trouble: @escaping @Sendable () -> String?,
        signInWait: @escaping @Sendable () -> Duration, logger: Logger
    ) {
        self.keeper = keeper
        self.isMoving = isMoving
        self.trouble = trouble
        self.signInWait = signInWait
        self.logger = logger
        self.state = Mutex(State(rule: Rebalancing(pod: keeper.pod.name)))
    }

    /// How the sessions are spread.
    package var status: ClusterStatus {
        self.state.withLock { state in
            let view = state.rule.view
            return ClusterStatus(
                pod: self.keeper.pod.name,
                pods: state.pods.map {
                    .init(
                        pod: $0.pod.name, sessions: $0.sessions, isDraining: $0.isDraining,
                        ageSeconds: Int($0.age.components.seconds),
                        countAgeSeconds: Int($0.countAge.components.seconds))
                },
                balance: self.isMoving
                    ? .init(
                        isOn: state.rule.isOn, mean: view.mean, deviation: view.deviation,
                        releasesPerSecond: view.rate, hindrance: view.hindrance?.rawValue, released: state.released)
                    : nil)
        }
    }

    package func run() async throws {
        self.keeper.onSession { session in
            self.state.withLock { $0.rule.signedIn(session.di) }
        }
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                self.tick(now: .now())
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: Self.period)
            }
        }
    }

    private func tick(now: NIODeadline) {
        let isLook = self.state.withLock { state in
            guard state.nextLook <= now else { return false }
            state.nextLook = now + Rebalancing.look
            return true
        }
        if isLook { self.look() }
        guard self.isMoving else { return }
        let due = self.state.withLock { $0.rule.due(now: now) }
        guard due > 0 else { return }
        let chosen = self.keeper.sessions.sample(due * Self.choice, now: now)
        for first in 0..<min(due, chosen.count) {
            // Each of those that are due has others behind it, in case it is not idle.
            self.release(stride(from: first, to: chosen.count, by: due).map { chosen[$0] }[...])
        }
    }

    private func release(_ candidates: ArraySlice<SessionHandle>) {
        guard let handle = candidates.first else { return }
        handle.connection.onLoop { connection in
            connection.moveIfIdle(handle.session) { isMoving in
                guard isMoving else { return self.release(candidates.dropFirst()) }
                self.keeper.metrics.releasedForBalance()
                self.state.withLock { state in
                    state.released += 1
                    state.rule.releases(handle.session.di, now: .now())
                }
            }
        }
    }

    // MARK: Looking

    private func look() {
        self.keeper.routes.leases { result in
            // Without the leases nobody knows who has too many: the next look finds out.
            let pods = (try? result.get()) ?? []
            self.looked(at: pods, hindrance: self.hindrance(isStoreSilent: pods.isEmpty), now: .now())
        }
    }

    private func hindrance(isStoreSilent: Bool) -> Rebalancing.Hindrance? {
        if isStoreSilent || self.trouble() != nil { return .unhealthy }
        return self.signInWait() > Self.signInWait ? .signInsQueue : nil
    }

    private func looked(at pods: [LeasedPod], hindrance: Rebalancing.Hindrance?, now: NIODeadline) {
        self.keeper.looked(at: pods)
        let sessions = self.keeper.sessions.count
        let (view, isOn, isNews) = self.state.withLock { state in
            state.pods = pods
            state.rule.looked(at: pods, sessions: sessions, hindrance: hindrance, now: now)
            let isOn = state.rule.isOn && state.rule.view.hindrance == nil
            defer { state.wasOn = isOn }
            return (state.rule.view, isOn, isOn != state.wasOn)
        }
        self.keeper.metrics.looked(view)
        guard self.isMoving, isNews else { return }
        self.logger.info(
            isOn ? "sessions are moved for balance" : "sessions are not moved for balance any more",
            metadata: [
                "sessions": "\(sessions)", "sessions.mean": "\(Int(view.mean))", "pods": "\(view.pods)",
                "hindrance": "\(view.hindrance?.rawValue ?? "none")",
            ])
    }
}
