import Metrics
import NIOCore

/// Carries out what the machine of a connection for commands decides.
final class RedisConnectionHandler: RedisHandler {
    /// How exact deadlines are.
    static let grain: TimeAmount = .milliseconds(20)

    private var machine: RedisConnectionMachine
    private let metrics: RedisMetrics
    private let ready: EventLoopPromise<(RedisConnection, RedisServerFacts)>
    private let limits: RedisLimits
    /// In step with the machine's entries; nil where nobody waits.
    private var waiting = CircularBuffer<(@Sendable (Result<RedisValue, RedisError>) -> Void)?>()
    private var connection: RedisConnection?
    private var isStalled = false
    private var busyTick: Scheduled<Void>?

    /// - Parameter ready: completed in any case.
    init(
        _ configuration: RedisConfiguration, metrics: RedisMetrics,
        ready: EventLoopPromise<(RedisConnection, RedisServerFacts)>
    ) throws(RedisError) {
        self.machine = RedisConnectionMachine(configuration, now: .now())
        self.metrics = metrics
        self.ready = ready
        self.limits = configuration.limits
        try super.init(configuration)
    }

    override func opened(_ context: ChannelHandlerContext) -> [RedisCommand] {
        self.connection = RedisConnection(eventLoop: context.eventLoop, handler: self, limits: self.limits)
        return self.machine.opening
    }

    override func caughtUp() {
        self.setStall(nil)
    }

    override func received(_ value: RedisValue) {
        switch self.machine.received(value, now: .now()) {
        case .wait: break
        case .ready(let facts):
            if let connection = self.connection { self.ready.succeed((connection, facts)) }
        case .complete: self.complete(value)
        case .drop: _ = self.waiting.popFirst()
        case .completeAndClose(let reason):
            self.complete(value)
            self.close(reason)
        case .close(let reason): self.close(reason)
        }
    }

    private func complete(_ value: RedisValue) {
        guard let completion = self.waiting.popFirst() else { return }
        if case .error(let text) = value {
            self.metrics.failed.increment()
            completion?(.failure(.answered(text)))
        } else {
            self.metrics.answered.increment()
            completion?(.success(value))
        }
    }

    /// Sends what callers have handed over.
    func drain() {
        guard let connection = self.connection, let context = self.context else { return }
        let requests = connection.take()
        guard !requests.isEmpty else { return }
        let now = NIODeadline.now()
        var buffer = context.channel.allocator.buffer(
            capacity: requests.reduce(0) { $0 + $1.command.byteCount + 128 })
        var refused: [(RedisRequest, RedisError)] = []
        for request in requests {
            switch self.machine.submit(deadline: request.deadline, now: now) {
            case .write:
                self.waiting.append(request.completion)
                if !request.command.write(into: &buffer) { return self.close("no memory for a command to Redis") }
            case .refuse(let error):
                refused.append((request, error))
            }
        }
        if buffer.readableBytes > 0 { context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil) }
        self.scheduleTick(context)
        for (request, error) in refused {
            self.metrics.refused.increment()
            request.completion(.failure(error))
        }
    }

    private func scheduleTick(_ context: ChannelHandlerContext) {
        guard self.busyTick == nil, self.machine.outstanding > 0, self.end == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        self.busyTick = context.eventLoop.scheduleTask(in: Self.grain) {
            bound.value.busyTick = nil
            if bound.value.end == nil { bound.value.tick() }
        }
    }

    override func tick() {
        guard let context = self.context else { return }
        let action = self.machine.tick(now: .now())
        for place in action.late {
            let index = self.waiting.index(self.waiting.startIndex, offsetBy: place)
            let completion = self.waiting[index]
            self.waiting[index] = nil
            self.metrics.late.increment()
            completion?(.failure(.late))
        }
        if action.probe {
            self.waiting.append(nil)
            self.send([RedisCommand("PING")])
        }
        if let reason = action.close { return self.close(reason) }
        self.setStall(self.machine.stalled(now: .now()))
        self.scheduleTick(context)
    }

    private func setStall(_ reason: String?) {
        guard reason != nil || self.isStalled else { return }
        self.isStalled = reason != nil
        self.connection?.setStall(reason)
    }

    /// Tells everybody who still waits, once.
    override func ended(_ reason: String) {
        self.machine.ended()
        self.busyTick?.cancel()
        let waiting = self.waiting
        self.waiting.removeAll()
        let requests = self.connection?.end(reason) ?? []
        self.connection = nil
        self.ready.fail(RedisError.unavailable(reason))
        for completion in waiting { completion?(.failure(.unavailable(reason))) }
        for request in requests { request.completion(.failure(.unavailable(reason))) }
    }
}
