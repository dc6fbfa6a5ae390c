import Glibc
import NIOCore
import NIOPosix

/// One stranger's connection: says what it has to say, and goes.
final class StrangerConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum End: Sendable {
        /// It went by itself.
        case left
        /// The gateway ended it.
        case closed
        /// Nobody did, for as long as it waits.
        case outstayed
    }

    /// Whoever has not signed in is shown out earlier.
    static let patience = TimeAmount.seconds(90)

    private var steps: ArraySlice<StrangerHabit.Step>
    private let leaving: StrangerLeaving
    /// Between the last bytes and the end.
    private let stay: TimeAmount
    private let ended: @Sendable (End) -> Void
    private var end = End.closed
    private var isOver = false

    init(
        _ steps: [StrangerHabit.Step], leaving: StrangerLeaving, stay: TimeAmount,
        ended: @escaping @Sendable (End) -> Void
    ) {
        self.steps = steps[...]
        self.leaving = leaving
        self.stay = stay
        self.ended = ended
    }

    func channelActive(context: ChannelHandlerContext) {
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        let this = NIOLoopBound(self, eventLoop: context.value.eventLoop)
        context.value.eventLoop.scheduleTask(in: Self.patience) {
            guard !this.value.isOver else { return }
            // Who goes by itself has gone by then.
            this.value.end = .outstayed
            this.value.reset(context.value)
        }
        self.next(context.value)
    }

    private func next(_ context: ChannelHandlerContext) {
        let step = self.steps.popFirst()
        let this = NIOLoopBound(self, eventLoop: context.eventLoop)
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.value.eventLoop.scheduleTask(in: step?.pause ?? self.stay) {
            guard !this.value.isOver else { return }
            if let step {
                context.value.writeAndFlush(this.value.wrapOutboundOut(step.bytes), promise: nil)
                this.value.next(context.value)
            } else {
                this.value.leave(context.value)
            }
        }
    }

    private func leave(_ context: ChannelHandlerContext) {
        if self.leaving != .stay && self.leaving != .halfClose { self.end = .left }
        switch self.leaving {
        case .stay: break
        case .close: context.close(promise: nil)
        case .halfClose: context.close(mode: .output, promise: nil)
        case .reset: self.reset(context)
        case .vanish: self.vanish(context)
        }
    }

    private func reset(_ context: ChannelHandlerContext) {
        let channel = context.channel
        guard let socket = channel as? any SocketOptionProvider else { return context.close(promise: nil) }
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in channel.close(promise: nil) }
    }

    /// A socket in repair is put away without a packet (tcp(7), `TCP_REPAIR`).
    private func vanish(_ context: ChannelHandlerContext) {
        let channel = context.channel
        guard let socket = channel as? any SocketOptionProvider else { return context.close(promise: nil) }
        socket.unsafeSetSocketOption(level: .tcp, name: Self.repair, value: CInt(1)).whenComplete { _ in
            channel.close(promise: nil)
        }
    }

    static let repair = NIOBSDSocket.Option(rawValue: 19)

    func channelInactive(context: ChannelHandlerContext) {
        self.isOver = true
        self.ended(self.end)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset is an end like any other.
        context.close(promise: nil)
    }
}
