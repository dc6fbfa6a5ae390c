import NIOCore

/// One end of a long wire: what it reads, the other end writes later by a fixed time, in order; the end of what it
/// reads, too.
///
/// Both ends are on one event loop. It reads no more while it holds `mostHeld` bytes, or while the other end's peer
/// takes nothing more.
final class DelayedPassing: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    static let mostHeld = 1 << 20

    private enum Item {
        case bytes(ByteBuffer)
        /// There is nothing more to read.
        case end
        /// There is nobody any more.
        case closed
    }

    private let delay: TimeAmount
    private var context: ChannelHandlerContext?
    private var other: DelayedPassing?
    private var held: CircularBuffer<(item: Item, due: NIODeadline)> = []
    private var heldBytes = 0
    private var isScheduled = false
    private var wantsToRead = false

    init(by delay: TimeAmount) {
        self.delay = delay
    }

    func passOn(to other: DelayedPassing) {
        self.other = other
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        // Two ends that know each other would keep each other.
        if self.held.isEmpty { self.other = nil }
    }

    // MARK: - What is read

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        self.heldBytes += bytes.readableBytes
        self.hold(.bytes(bytes), context.eventLoop)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { self.hold(.end, context.eventLoop) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.hold(.closed, context.eventLoop)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func read(context: ChannelHandlerContext) {
        if self.heldBytes < Self.mostHeld { context.read() } else { self.wantsToRead = true }
    }

    private func hold(_ item: Item, _ loop: any EventLoop) {
        self.held.append((item, loop.now + self.delay))
        self.schedule(loop)
    }

    /// One timer at a time: for what is due first.
    private func schedule(_ loop: any EventLoop) {
        guard !self.isScheduled, let first = self.held.first else { return }
        self.isScheduled = true
        loop.assumeIsolated().scheduleTask(deadline: first.due) {
            self.isScheduled = false
            self.pass(loop)
        }
    }

    // MARK: - What is written

    /// Hands on what is due, as far as the other end's peer takes it.
    private func pass(_ loop: any EventLoop) {
        while let first = self.held.first, first.due <= loop.now {
            guard let other = self.other, other.isWritable else { return }
            self.held.removeFirst()
            switch first.item {
            case .bytes(let bytes):
                self.heldBytes -= bytes.readableBytes
                other.write(bytes)
            case .end:
                other.end(.output)
            case .closed:
                other.end(.all)
                self.other = nil
            }
        }
        self.schedule(loop)
        if self.wantsToRead, self.heldBytes < Self.mostHeld {
            self.wantsToRead = false
            self.context?.read()
        }
    }

    /// One that is gone takes everything.
    private var isWritable: Bool { self.context?.channel.isWritable ?? true }

    private var lastWrite: EventLoopFuture<Void>?

    private func write(_ bytes: ByteBuffer) {
        guard let context = self.context else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        self.lastWrite = written.futureResult
        context.writeAndFlush(self.wrapOutboundOut(bytes), promise: written)
    }

    /// Not before everything was written: what is not would be dropped.
    private func end(_ mode: CloseMode) {
        guard let context = self.context else { return }
        guard let lastWrite = self.lastWrite else { return context.close(mode: mode, promise: nil) }
        lastWrite.assumeIsolated().whenComplete { _ in context.close(mode: mode, promise: nil) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // What the other end reads is what is written here.
        if context.channel.isWritable { self.other?.pass(context.eventLoop) }
        context.fireChannelWritabilityChanged()
    }
}
