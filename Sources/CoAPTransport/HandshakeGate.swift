import Glibc
import NIOCore

/// Stands before TLS, holds a ClientHello until there is a slot for its handshake, then goes away.
///
/// It takes in one ClientHello and no more: what the peer sends after it stays in the socket until the gate is open. A
/// peer that says nothing, or not all of it, waits for nobody and nobody waits for it.
final class HandshakeGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = NIOAny

    private enum State {
        case collecting
        case waiting
        case over
    }

    private let room: HandshakeRoom
    private let refused: () -> Void
    private var state = State.collecting
    private var held = ByteBuffer()
    private var hello = ClientHelloReader()
    private var wantsRead = false
    private var context: ChannelHandlerContext?

    /// - Parameter refused: called once, before the connection is reset.
    init(room: HandshakeRoom, refused: @escaping () -> Void) {
        self.room = room
        self.refused = refused
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.leave()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.state != .over else { return context.fireChannelRead(data) }
        var bytes = self.unwrapInboundIn(data)
        self.held.writeBuffer(&bytes)
        switch self.state {
        case .collecting:
            switch self.hello.read(self.held) {
            case .wait: break
            case .whole(let hello): self.enter(resumes: hello.resumes)
            // The TLS library refuses it.
            case .tooLarge: self.enter(resumes: false)
            }
        case .waiting where self.held.readableBytes > ClientHelloReader.limit * 2:
            // The end of a connection is read past the gate; nothing else that is good sends so much here.
            self.leave()
            context.close(promise: nil)
        case .waiting, .over:
            break
        }
    }

    private func enter(resumes: Bool) {
        self.state = .waiting
        self.hello = ClientHelloReader()
        self.room.enter(self, resumes: resumes)
    }

    /// Nothing more is read while it waits.
    func read(context: ChannelHandlerContext) {
        if self.state == .waiting {
            self.wantsRead = true
        } else {
            context.read()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.leave()
        context.fireChannelInactive()
    }

    private func leave() {
        if self.state == .waiting { self.room.leave(self) }
        self.state = .over
        self.held = ByteBuffer()
    }

    // MARK: The room

    /// There is a slot: TLS has answered on return.
    func begin() {
        guard self.state == .waiting, let context = self.context else { return }
        self.state = .over
        let held = self.held
        self.held = ByteBuffer()
        context.fireChannelRead(self.wrapInboundOut(held))
        context.fireChannelReadComplete()
        if self.wantsRead { context.read() }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    /// There will be none in time.
    func refuse() {
        guard self.state == .waiting, let context = self.context else { return }
        self.state = .over
        self.held = ByteBuffer()
        self.refused()
        context.channel.reset()
    }
}

extension Channel {
    /// Closes with a reset: the peer learns at once, and nothing of the connection is left in the kernel.
    func reset() {
        // If the option is not taken, it is an orderly end; on the event loop it is there at once.
        _ = (self as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        self.close(promise: nil)
    }
}
