import NIOCore

/// Carries out what the machine of the connection that listens decides.
final class RedisSubscriptionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var machine: RedisSubscriptionMachine
    private let reader: RedisReader
    private let ready: EventLoopPromise<Void>
    private let listeners: RedisListeners
    private var context: ChannelHandlerContext?
    private var isOpen = false
    private var end: String?
    private var ticking: RepeatedTask?

    /// - Parameter ready: completed in any case.
    init(
        _ configuration: RedisConfiguration, listeners: RedisListeners, ready: EventLoopPromise<Void>
    ) throws(RedisError) {
        self.machine = RedisSubscriptionMachine(configuration, channels: listeners.channels, now: .now())
        self.reader = try RedisReader(maximumBytes: configuration.limits.replyBytes)
        self.listeners = listeners
        self.ready = ready
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.open(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.finish()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        self.open(context)
        context.fireChannelActive()
    }

    private func open(_ context: ChannelHandlerContext) {
        guard !self.isOpen else { return }
        self.isOpen = true
        self.send(self.machine.opening)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        self.ticking = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            bound.value.tick()
        }
    }

    /// Listens to what was added since.
    func refresh() {
        self.send(self.listeners.channels.compactMap { self.machine.subscribe($0) })
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.end == nil else { return }
        do throws(RedisError) {
            try self.reader.feed(self.unwrapInboundIn(data))
            while self.end == nil, let value = try self.reader.next() { self.received(value) }
        } catch {
            self.close("\(error)")
        }
    }

    private func received(_ value: RedisValue) {
        switch self.machine.received(value, now: .now()) {
        case .wait: break
        case .ready(let commands):
            self.send(commands)
            self.ready.succeed()
            self.refresh()
        case .subscribed(let channel): self.listeners.subscribed(channel)
        case .message(let channel, let payload): self.listeners.heard(payload, on: channel)
        case .close(let reason): self.close(reason)
        }
    }

    private func send(_ commands: [RedisCommand]) {
        guard let context = self.context, self.end == nil, !commands.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: 256)
        for command in commands { _ = command.write(into: &buffer) }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    private func tick() {
        guard self.end == nil else { return }
        switch self.machine.tick(now: .now()) {
        case .wait: break
        case .send(let command): self.send([command])
        case .close(let reason): self.close(reason)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.close(redisReason(error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.finish()
        context.fireChannelInactive()
    }

    private func close(_ reason: String) {
        if self.end == nil { self.end = reason }
        let context = self.context
        self.finish()
        context?.close(promise: nil)
    }

    private func finish() {
        let reason = self.end ?? "Redis closed the connection of a listener"
        self.end = reason
        self.ticking?.cancel()
        self.ready.fail(RedisError.unavailable(reason))
    }
}
