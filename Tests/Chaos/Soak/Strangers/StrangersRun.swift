import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// Strangers come at a steady rate, whatever becomes of those before.
package final class StrangersRun: Sendable {
    package struct Plan: Sendable {
        /// Where devices and where clients are served.
        package var coap: (host: String, port: Int)
        package var http: (host: String, port: Int)
        /// A second.
        package var rate: Double
        /// At a time; who would come then does not.
        package var most: Int
        package var leavings: [StrangerLeaving]
        package var seed: UInt64

        package init(
            coap: (host: String, port: Int), http: (host: String, port: Int), rate: Double, most: Int = 4000,
            leavings: [StrangerLeaving], seed: UInt64
        ) {
            self.coap = coap
            self.http = http
            self.rate = rate
            self.most = most
            self.leavings = leavings
            self.seed = seed
        }
    }

    private struct State {
        var generator: SeededGenerator
        var count = SoakRecord.Strangers(due: 0, begun: 0)
        var open = 0
    }

    private let plan: Plan
    private let targets: TrafficTargets
    private let state: Mutex<State>

    package init(_ plan: Plan, _ targets: TrafficTargets) {
        self.plan = plan
        self.targets = targets
        self.state = Mutex(State(generator: SeededGenerator(seed: plan.seed)))
    }

    package var count: SoakRecord.Strangers { self.state.withLock { $0.count } }

    /// Until the task is cancelled.
    package func run() async {
        let begun = ContinuousClock.now
        while (try? await Patience.pass(.milliseconds(20))) != nil {
            let due = Int((ContinuousClock.now - begun) / .seconds(1) * self.plan.rate)
            while let stranger = self.stranger(due: due) { self.send(stranger) }
        }
    }

    private struct Stranger {
        var habit: StrangerHabit
        var steps: [StrangerHabit.Step]
        var leaving: StrangerLeaving
        var stay: TimeAmount
    }

    /// The next one, if one is due and there is room.
    private func stranger(due: Int) -> Stranger? {
        self.state.withLock { state in
            while state.count.due < due {
                state.count.due += 1
                guard state.open < self.plan.most,
                    let habit = StrangerHabit.allCases.randomElement(using: &state.generator),
                    let leaving = self.plan.leavings.randomElement(using: &state.generator)
                else { continue }
                state.count.begun += 1
                state.count.habits[habit.rawValue, default: 0] += 1
                state.open += 1
                return Stranger(
                    habit: habit, steps: habit.steps(self.knowledge(&state.generator), using: &state.generator),
                    leaving: leaving, stay: .milliseconds(.random(in: 0...3000, using: &state.generator)))
            }
            return nil
        }
    }

    private func knowledge(_ generator: inout SeededGenerator) -> StrangerHabit.Knowledge {
        guard let group = self.targets.groups.randomElement(using: &generator) else { return .init(di: "", token: "") }
        let number = Int.random(in: 1...group.count, using: &generator)
        return .init(di: "\(group.prefix)\(number)", token: group.token)
    }

    private func send(_ stranger: Stranger) {
        let door = stranger.habit.isHTTP ? self.plan.http : self.plan.coap
        let habit = stranger.habit
        ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(10))
            .channelOption(.autoRead, value: habit.reads)
            .channelOption(.socketOption(.so_rcvbuf), value: 4096)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = StrangerConnection(
                        stranger.steps, leaving: stranger.leaving, stay: stranger.stay
                    ) { self.ended(habit, $0) }
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .connect(host: door.host, port: door.port)
            .whenFailure { _ in
                self.state.withLock { state in
                    state.count.refused += 1
                    state.open -= 1
                }
            }
    }

    private func ended(_ habit: StrangerHabit, _ end: StrangerConnection.End) {
        self.state.withLock { state in
            state.open -= 1
            switch end {
            case .left: break
            case .closed: state.count.closed += 1
            case .outstayed:
                state.count.outstayed += 1
                state.count.outstayedHabits[habit.rawValue, default: 0] += 1
            }
        }
    }

    /// Whether this process may put sockets away without a packet.
    /// - Throws: ``RunError`` if not: then nobody vanishes, and nobody should believe it.
    package static func checkVanishing() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        defer { server.close(promise: nil) }
        guard let address = server.localAddress else { throw RunError("A server on loopback has no address.") }
        let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address).get()
        defer { client.close(promise: nil) }
        do {
            guard let socket = client as? any SocketOptionProvider else { throw RunError("it is no socket") }
            try await socket.unsafeSetSocketOption(level: .tcp, name: StrangerConnection.repair, value: CInt(1)).get()
        } catch {
            throw RunError(
                "Nobody can vanish here, for TCP_REPAIR is refused (\(error)): start with scripts/soak, which makes a "
                    + "network where this is allowed.")
        }
    }
}
