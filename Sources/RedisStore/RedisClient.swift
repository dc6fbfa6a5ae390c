package import Logging
import Metrics
package import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

package enum RedisState: Hashable, Sendable {
    case connected
    /// In words for operators.
    case unavailable(String)
}

/// What readiness and operators want to know.
package struct RedisHealth: Hashable, Sendable {
    package var state: RedisState
    /// What the server does when its memory is full; nil: not known.
    package var evictionPolicy: String?
    /// What should be changed, although it works.
    package var warning: String?
}

/// The connections of this process to Redis: one for all commands, and one more that listens once there is something to
/// listen to.
///
/// One for all commands, and not one per event loop: it carries several times what the busiest pod needs, it keeps the
/// commands of a process in order, and there is one answer to whether Redis is there. Nothing queues while it is not:
/// what is asked then fails at once.
package final class RedisClient: Service {
    private struct State {
        var connection: RedisConnection?
        var made: UInt64 = 0
        var unavailable: String
        var facts = RedisServerFacts()
        /// The running connection that listens is told to look at the list again.
        var refresh: (@Sendable () -> Void)?
    }

    package let configuration: RedisConfiguration
    private let group: any EventLoopGroup
    private let logger: Logger
    private let metrics = RedisMetrics()
    private let listeners = RedisListeners()
    private let state: Mutex<State>
    private let wanted: AsyncStream<Void>
    private let want: AsyncStream<Void>.Continuation

    package init(_ configuration: RedisConfiguration, group: any EventLoopGroup, logger: Logger) {
        self.configuration = configuration
        self.group = group
        self.logger = logger
        self.state = Mutex(State(unavailable: "not connected yet to Redis at \(configuration.target)"))
        (self.wanted, self.want) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: - What others ask

    package var health: RedisHealth {
        self.state.withLock { state in
            let reason = state.connection == nil ? state.unavailable : state.connection?.trouble
            return RedisHealth(
                state: reason.map { .unavailable($0) } ?? .connected,
                evictionPolicy: state.facts.evictionPolicy, warning: state.facts.warning)
        }
    }

    /// Whether commands have a chance.
    package var isConnected: Bool { self.health.state == .connected }

    /// How many connections for commands were made.
    package var connection: UInt64 { self.state.withLock { $0.made } }

    /// Sends a command. `completion` is called exactly once, on any thread, at the latest 20 ms after `deadline`.
    package func send(
        _ command: RedisCommand, deadline: NIODeadline,
        completion: @escaping @Sendable (Result<RedisValue, RedisError>) -> Void
    ) {
        let (connection, reason) = self.state.withLock { ($0.connection, $0.unavailable) }
        guard let connection else {
            self.metrics.refused.increment()
            return completion(.failure(.unavailable(reason)))
        }
        connection.send([RedisRequest(command: command, deadline: deadline, completion: completion)])
    }

    /// Sends commands over one connection, in order. `completion` has their answers, and the number of the connection.
    package func send(
        _ commands: [RedisCommand], deadline: NIODeadline,
        completion: @escaping @Sendable (UInt64, [Result<RedisValue, RedisError>]) -> Void
    ) {
        let (connection, number, reason) = self.state.withLock { ($0.connection, $0.made, $0.unavailable) }
        guard let connection, !commands.isEmpty else {
            return completion(number, commands.map { _ in .failure(.unavailable(reason)) })
        }
        let gathering = Gathering(count: commands.count) { completion(number, $0) }
        connection.send(
            commands.enumerated().map { index, command in
                RedisRequest(command: command, deadline: deadline) { gathering.set(index, $0) }
            })
    }

    /// Listens to a channel, again after each reconnect.
    /// - Parameter subscribed: each time, from then on messages arrive.
    package func listen(
        to channel: String, subscribed: @escaping @Sendable () -> Void = {},
        heard: @escaping @Sendable ([UInt8]) -> Void
    ) {
        guard self.listeners.add(RedisListeners.Listener(subscribed: subscribed, heard: heard), to: channel) else {
            self.logger.error("too many Redis channels: this one is not listened to", metadata: ["path": "\(channel)"])
            return
        }
        self.want.yield()
        self.state.withLock { $0.refresh }?()
    }

    /// Does something later, on any thread.
    func schedule(in delay: TimeAmount, _ work: @escaping @Sendable () -> Void) {
        self.group.next().scheduleTask(in: delay, work)
    }

    // MARK: - Life

    /// Keeps the connections until graceful shutdown or cancellation.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.keep(for: .commands) { try await self.serveCommands() } }
                group.addTask {
                    for await _ in self.wanted { break }
                    await self.keep(for: .subscriptions) { try await self.serveSubscriptions() }
                }
            }
        }
        self.lost("the program ends", isFirst: false)
    }

    /// - Parameter serve: connects and serves until the connection ends; throws why it did not come about.
    private func keep(
        for purpose: RedisHandshake.Purpose, _ serve: () async throws -> Void
    ) async {
        var plan = RedisReconnectPlan()
        var isFirst = true
        while !Task.isCancelled {
            do {
                try await serve()
                plan.served()
                isFirst = true
            } catch {
                if Task.isCancelled { break }
                let reason = redisReason(error, target: self.configuration.target)
                if purpose == .commands {
                    self.lost(reason, isFirst: isFirst)
                } else {
                    self.logger.debug("no connection that listens to Redis", metadata: ["reason": "\(reason)"])
                }
                isFirst = false
            }
            try? await Task.sleep(for: plan.next(fraction: .random(in: 0..<1)))
        }
    }

    private func serveCommands() async throws {
        let eventLoop = self.group.next()
        let ready = eventLoop.makePromise(of: (RedisConnection, RedisServerFacts).self)
        let configuration = self.configuration
        let metrics = self.metrics
        let channel = try await self.connect(eventLoop, failing: ready) {
            try RedisConnectionHandler(configuration, metrics: metrics, ready: ready)
        }
        try await withTaskCancellationHandler {
            let (connection, facts) = try await ready.futureResult.get()
            self.connected(connection, facts)
            try await channel.closeFuture.get()
            self.lost(connection.trouble ?? "Redis closed the connection", isFirst: true)
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    private func serveSubscriptions() async throws {
        let eventLoop = self.group.next()
        let ready = eventLoop.makePromise(of: Void.self)
        let configuration = self.configuration
        let listeners = self.listeners
        let channel = try await self.connect(eventLoop, failing: ready) {
            try RedisSubscriptionHandler(configuration, listeners: listeners, ready: ready)
        }
        try await withTaskCancellationHandler {
            try await ready.futureResult.get()
            self.state.withLock { state in
                state.refresh = {
                    eventLoop.execute {
                        try? channel.pipeline.syncOperations.handler(type: RedisSubscriptionHandler.self).refresh()
                    }
                }
            }
            defer { self.state.withLock { $0.refresh = nil } }
            // What was added between the login and the line above.
            self.state.withLock { $0.refresh }?()
            try await channel.closeFuture.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    private func connect<Ready, Handler: ChannelInboundHandler>(
        _ eventLoop: any EventLoop, failing ready: EventLoopPromise<Ready>,
        _ handler: @escaping @Sendable () throws -> Handler
    ) async throws -> any Channel {
        let configuration = self.configuration
        do {
            let security = try RedisSecurity(configuration)
            return try await ClientBootstrap(group: eventLoop)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.socketOption(.so_keepalive), value: 1)
                .connectTimeout(TimeAmount(configuration.limits.opening))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try security.add(to: channel.pipeline.syncOperations)
                        try channel.pipeline.syncOperations.addHandler(handler())
                    }
                }
                .connect(host: configuration.host, port: configuration.port).get()
        } catch {
            ready.fail(error)
            throw error
        }
    }

    private func connected(_ connection: RedisConnection, _ facts: RedisServerFacts) {
        let (number, isNews) = self.state.withLock { state in
            defer {
                state.connection = connection
                state.made += 1
                state.facts = facts
            }
            return (state.made + 1, state.facts != facts || state.made == 0)
        }
        self.metrics.connections.increment()
        self.metrics.connected.record(1)
        self.metrics.evicts.record(facts.warning == nil ? 0 : 1)
        self.logger.info(
            "connected to Redis", metadata: ["address": "\(self.configuration.target)", "count": "\(number)"])
        if let warning = facts.warning {
            self.logger.log(level: isNews ? .warning : .debug, "\(warning)")
        } else if facts.evictionPolicy == nil {
            self.logger.debug("Redis does not tell its maxmemory-policy: it must be noeviction")
        }
    }

    /// - Parameter isFirst: not just one more attempt that failed.
    private func lost(_ reason: String, isFirst: Bool) {
        let isNews = self.state.withLock { state in
            defer {
                state.connection = nil
                state.unavailable = reason
            }
            return isFirst || state.unavailable != reason
        }
        self.metrics.connected.record(0)
        self.logger.log(
            level: isNews ? .warning : .debug, "Redis is not available", metadata: ["reason": "\(reason)"])
    }
}

/// Answers to several commands, in the order of the commands.
private final class Gathering: Sendable {
    private let state: Mutex<(left: Int, answers: [Result<RedisValue, RedisError>])>
    private let completion: @Sendable ([Result<RedisValue, RedisError>]) -> Void

    init(count: Int, completion: @escaping @Sendable ([Result<RedisValue, RedisError>]) -> Void) {
        self.state = Mutex((count, Array(repeating: .failure(.late), count: count)))
        self.completion = completion
    }

    func set(_ index: Int, _ answer: Result<RedisValue, RedisError>) {
        let complete = self.state.withLock { state -> [Result<RedisValue, RedisError>]? in
            state.answers[index] = answer
            state.left -= 1
            return state.left == 0 ? state.answers : nil
        }
        if let complete { self.completion(complete) }
    }
}
