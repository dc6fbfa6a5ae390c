import CoAP
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// A device that behaves as the reference stack does: it closes as soon as it is sent a Release, whatever that says,
/// stays away for some seconds, connects wherever the balancer puts it, refreshes its token and then signs in.
final class ReturningDevice: Sendable {
    /// One request that reached the device.
    struct Asked: Hashable, Sendable {
        let method: Code
        /// What the test told it apart by.
        let query: String
        /// Which of its sessions it came over.
        let session: Int
    }

    private struct State {
        var asked: [Asked] = []
        var releases: [Message] = []
        var releasedAt: [ContinuousClock.Instant] = []
        var ports: [Int] = []
        var peer: ScriptedPeer?
        var isStopped = false
    }

    let di: String
    private let login: IssuedLogin
    private let away: Duration
    private let heedsRelease: Bool
    private let connect: @Sendable () async throws -> ScriptedPeer
    /// How long it takes to answer what.
    private let takes: @Sendable (Message) -> Duration
    private let state = Mutex(State())

    /// - Parameters:
    ///   - login: its session may not have begun.
    ///   - heedsRelease: closes on Release.
    ///   - connect: where the balancer puts it next.
    init(
        _ login: IssuedLogin, away: Duration = .seconds(2), heedsRelease: Bool = true,
        takes: @escaping @Sendable (Message) -> Duration = { _ in .zero },
        connect: @escaping @Sendable () async throws -> ScriptedPeer
    ) {
        self.di = login.di
        self.login = login
        self.away = away
        self.heedsRelease = heedsRelease
        self.takes = takes
        self.connect = connect
    }

    var asked: [Asked] { self.state.withLock { $0.asked } }
    var releases: [Message] { self.state.withLock { $0.releases } }
    var releasedAt: [ContinuousClock.Instant] { self.state.withLock { $0.releasedAt } }
    /// How often it signed in.
    var sessions: Int { self.state.withLock { $0.ports.count } }

    func stop() async {
        let peer = self.state.withLock { state in
            state.isStopped = true
            return state.peer
        }
        await peer?.close()
    }

    private var isStopped: Bool { self.state.withLock { $0.isStopped } }

    /// Connects and serves, again and again, until it is stopped.
    func run() async throws {
        var login = self.login
        while !self.isStopped {
            let peer = try await self.connect()
            do {
                if self.sessions > 0 {
                    login = try await peer.refresh(self.di, of: login.uid, with: login.refreshToken)
                }
                _ = try await login.signIn(on: peer)
            } catch is PeerError {
                // The pod it came back to closed, or sent a Release, before it was signed in: it tries again.
                await peer.close()
                try await Self.pass(self.away)
                continue
            }
            let session = self.state.withLock { state in
                state.ports.append(peer.localPort)
                state.peer = peer
                return state.ports.count - 1
            }
            // Stopped in between, nobody closes it but us.
            if self.isStopped { await peer.close() }
            try await self.serve(peer, session)
            await peer.close()
            if !self.isStopped { try await Self.pass(self.away) }
        }
    }

    /// The time such a device takes for itself; no test waits for anything by it.
    private static func pass(_ time: Duration) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        try await loop.scheduleTask(in: TimeAmount(time)) {}.futureResult.get()
    }

    private func serve(_ peer: ScriptedPeer, _ session: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            while let message = try await peer.receiveOrEnd() {
                switch message.code {
                case .get, .post, .put, .delete:
                    let query = message.options.queries?.first ?? ""
                    self.state.withLock {
                        $0.asked.append(Asked(method: message.code, query: query, session: session))
                    }
                    let answer = Response(.content, payload: ByteBuffer(string: "\(self.di) \(query)"))
                    let time = self.takes(message)
                    group.addTask {
                        if time > .zero { try await Self.pass(time) }
                        // A connection that ends meanwhile takes no answer; whoever asked finds out.
                        try? await peer.answer(message, answer)
                    }
                case .ping:
                    try? await peer.send(Message(code: .pong, token: message.token))
                case .release:
                    self.state.withLock { state in
                        state.releases.append(message)
                        state.releasedAt.append(.now)
                    }
                    if self.heedsRelease {
                        group.cancelAll()
                        return
                    }
                default:
                    break
                }
            }
            group.cancelAll()
        }
    }
}
