package import Cloud
import CoAP
package import NIOCore

/// A device of a cloud: its connection, its tokens, and how it comes back. What to print and when to act by hand is for
/// others; everything that happens goes to the observer.
///
/// One task runs `run()`; commands, lost connections and timers queue up there and are handled strictly one after the
/// other, so that account, session and tokenrefresh never cross on a connection.
package actor CloudDevice {
    package struct Configuration: Sendable {
        package var answers: Answers
        /// What an earlier run was given by the cloud.
        package var tokens: Tokens?
        package var connectTimeout: Duration
        package var requestTimeout: Duration
        /// The first delay before a new attempt, at most; later ones double.
        package var retryBase: Duration

        package init(
            answers: Answers,
            tokens: Tokens? = nil,
            connectTimeout: Duration = .seconds(10),
            requestTimeout: Duration = .seconds(20),
            retryBase: Duration = .seconds(2),
        ) {
            self.answers = answers
            self.tokens = tokens
            self.connectTimeout = connectTimeout
            self.requestTimeout = requestTimeout
            self.retryBase = retryBase
        }
    }

    enum Job: Sendable {
        case connect(CheckedContinuation<Outcome, Never>)
        case operation(Operation, CheckedContinuation<Outcome, Never>)
        case ended(generation: Int, ConnectionLoss)
        case timer(generation: Int)
    }

    let configuration: Configuration
    let dialer: any CloudDialer
    let server: DeviceServer
    let clock: any WallClock
    let observer: @Sendable (DeviceEvent) -> Void
    private let eventLoop: any EventLoop
    /// Unbounded, but every job has its one sender: a caller who waits, the connection, the timer.
    private let jobs: AsyncStream<Job>
    private let queue: AsyncStream<Job>.Continuation

    var plan: ReconnectPlan
    var address: ServerAddress
    var tokens: Tokens?
    var connection: (any CloudConnection)?
    /// Which connection `connection` is; an end that names another one comes too late to matter.
    private var generation = 0
    /// Whether the cloud was asked, and whether it has answered, on this connection.
    var wasAsked = false
    var wasHeard = false
    var isSignedIn = false
    var published: [String: Int64] = [:]
    private var timer: Scheduled<Void>?
    private var timerGeneration = 0
    private var watch: (generation: Int, connection: any CloudConnection)?
    private(set) var isStopping = false

    /// - Parameter eventLoop: where timers run.
    package init(
        configuration: Configuration,
        dialer: any CloudDialer,
        server: DeviceServer,
        eventLoop: any EventLoop,
        clock: any WallClock = SystemWallClock(),
        observer: @escaping @Sendable (DeviceEvent) -> Void,
    ) {
        self.configuration = configuration
        self.dialer = dialer
        self.server = server
        self.eventLoop = eventLoop
        self.clock = clock
        self.observer = observer
        self.plan = ReconnectPlan(base: configuration.retryBase)
        self.address = configuration.answers.address
        self.tokens = configuration.tokens
        (self.jobs, self.queue) = AsyncStream.makeStream()
    }

    // MARK: - From outside

    /// Serves until `stop()` or until the task is cancelled; then the connection is closed.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await job in self.jobs {
                guard !self.isStopping else {
                    Self.refuse(job)
                    continue
                }
                await self.handle(job)
                if let (generation, connection) = self.watch {
                    self.watch = nil
                    group.addTask { [queue = self.queue] in
                        queue.yield(.ended(generation: generation, await connection.loss))
                    }
                }
            }
            await self.stop()
        }
    }

    /// Ends `run()`: what waits for an answer fails, the connection is closed.
    package func stop() async {
        self.isStopping = true
        self.queue.finish()
        self.disarm()
        let connection = self.connection
        self.connection = nil
        self.isSignedIn = false
        await connection?.close()
    }

    /// Connects unless there is a connection.
    package nonisolated func connect() async -> Outcome {
        await self.perform { .connect($0) }
    }

    /// Carries out one operation, connecting first if need be, when those before it are done.
    package nonisolated func perform(_ operation: Operation) async -> Outcome {
        await self.perform { .operation(operation, $0) }
    }

    private nonisolated func perform(_ job: (CheckedContinuation<Outcome, Never>) -> Job) async -> Outcome {
        await withCheckedContinuation { continuation in
            switch self.queue.yield(job(continuation)) {
            case .enqueued: break
            case .dropped, .terminated: continuation.resume(returning: .stopped)
            @unknown default: continuation.resume(returning: .stopped)
            }
        }
    }

    /// What a person wants to know about a device.
    package struct Status: Sendable {
        package let address: ServerAddress
        package let isConnected: Bool
        package let isSignedIn: Bool
        package let uid: String
        package let di: String
        package let answers: Answers
        package let tokens: Tokens?
        package let published: [String: Int64]
        package let served: Int
    }

    package var status: Status {
        Status(
            address: self.address, isConnected: self.connection != nil, isSignedIn: self.isSignedIn, uid: self.uid,
            di: self.di, answers: self.configuration.answers, tokens: self.tokens, published: self.published,
            served: self.server.served
        )
    }

    // MARK: - The queue

    private func handle(_ job: Job) async {
        switch job {
        case .connect(let continuation):
            continuation.resume(returning: await self.ensureConnection() == nil ? .failed : .done)
        case .operation(let operation, let continuation):
            continuation.resume(returning: await self.carryOut(operation))
        case .ended(let generation, let loss):
            guard generation == self.generation else { return }
            await self.connectionEnded(loss)
        case .timer(let generation):
            guard generation == self.timerGeneration else { return }
            await self.follow(self.plan.timerFired())
        }
    }

    private static func refuse(_ job: Job) {
        switch job {
        case .connect(let continuation), .operation(_, let continuation): continuation.resume(returning: .stopped)
        case .ended, .timer: break
        }
    }

    // MARK: - Connection and timer

    /// The connection there is, or a new one; nil if it cannot be had, which was reported.
    func ensureConnection() async -> (any CloudConnection)? {
        if let connection = self.connection {
            return connection
        }
        self.observer(.connecting(self.address))
        do throws(ConnectFailure) {
            let connection = try await self.dialer.connect(
                to: self.address, timeout: self.configuration.connectTimeout, server: self.server
            )
            guard !self.isStopping else {
                await connection.close()
                return nil
            }
            self.generation += 1
            self.connection = connection
            self.wasAsked = false
            self.wasHeard = false
            self.watch = (self.generation, connection)
            self.observer(.connected(self.address))
            return connection
        } catch {
            self.observer(.notConnected(self.address, error, comesBack: self.plan.isActive))
            return nil
        }
    }

    /// Leaves the connection without waiting for the peer's word.
    func dropConnection() async {
        let connection = self.connection
        self.connection = nil
        self.isSignedIn = false
        await connection?.close()
    }

    func arm(_ instant: ReconnectPlan.Instant) {
        self.disarm()
        let generation = self.timerGeneration
        let nanoseconds = max(.zero, instant - .now) / .nanoseconds(1)
        self.timer = self.eventLoop.scheduleTask(in: .nanoseconds(Int64(nanoseconds))) { [queue = self.queue] in
            _ = queue.yield(.timer(generation: generation))
        }
    }

    func disarm() {
        self.timer?.cancel()
        self.timer = nil
        self.timerGeneration += 1
    }
}
