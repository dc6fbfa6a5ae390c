import NIOCore

/// What every connection to Redis does, whatever it is for: reads values, sends commands, looks at the time once a
/// second, and ends once. What it is for says a subclass, with the machine that decides.
class RedisHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let reader: RedisReader
    private(set) var context: ChannelHandlerContext?
    /// Why nothing comes or goes any more.
    private(set) var end: String?
    private var isOpen = false
    private var ticking: RepeatedTask?

    init(_ configuration: RedisConfiguration) throws(RedisError) {
        self.reader = try RedisReader(maximumBytes: configuration.limits.replyBytes)
    }

    // MARK: For subclasses

    /// - Returns: what to send first.
    func opened(_ context: ChannelHandlerContext) -> [RedisCommand] { [] }
    func received(_ value: RedisValue) {}
    /// Everything that had come was read.
    func caughtUp() {}
    func tick() {}
    /// Called again whenever it could have ended.
    func ended(_ reason: String) {}

    final func send(_ commands: [RedisCommand]) {
        guard let context = self.context, self.end == nil, !commands.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: 256)
        for command in commands { _ = command.write(into: &buffer) }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    final func close(_ reason: String) {
        if self.end == nil { self.end = reason }
        let context = self.context
        self.finish()
        context?.close(promise: nil)
    }

    // MARK: The channel

    final func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.open(context) }
    }

    final func handlerRemoved(context: ChannelHandlerContext) {
        self.finish()
        self.context = nil
    }

    final func channelActive(context: ChannelHandlerContext) {
        self.open(context)
        context.fireChannelActive()
    }

    private func open(_ context: ChannelHandlerContext) {
        guard !self.isOpen else { return }
        self.isOpen = true
        self.send(self.opened(context))
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        self.ticking = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            if bound.value.end == nil { bound.value.tick() }
        }
    }

    final func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.end == nil else { return }
        do throws(RedisError) {
            try self.reader.feed(self.unwrapInboundIn(data))
            while self.end == nil, let value = try self.reader.next() { self.received(value) }
            self.caughtUp()
        } catch {
            self.close("\(error)")
        }
    }

    final func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.close(redisReason(error))
    }

    final func channelInactive(context: ChannelHandlerContext) {
        self.finish()
        context.fireChannelInactive()
    }

    private func finish() {
        let reason = self.end ?? "Redis closed the connection"
        self.end = reason
        self.ticking?.cancel()
        self.ended(reason)
    }
}
