import Logging
import NIOCore

/// Looks at the first bytes of a connection and ends it if they belong on another port. Then it goes away. For TLS it
/// holds them back until the ClientHello is whole; whoever waits for the handshake says how long that may take.
final class FirstBytesHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let scheme: URIScheme
    private let refuse: (ListenerRefusal, Logger.Metadata) -> Void
    private var held = ByteBuffer()
    private var hello = ClientHelloReader()
    private var isOver = false

    /// - Parameter refuse: called once, before the connection is closed.
    init(scheme: URIScheme, refuse: @escaping (ListenerRefusal, Logger.Metadata) -> Void) {
        self.scheme = scheme
        self.refuse = refuse
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        var bytes = self.unwrapInboundIn(data)
        if self.held.readableBytes == 0 { self.held = bytes } else { self.held.writeBuffer(&bytes) }
        let spoken = FirstBytes(self.held.readableBytesView)
        if let refusal = self.foreign(spoken) {
            return self.end(context, refusal, ["received": "\(spoken.name)"])
        }
        // Over WebSocket it is the protocol of HTTP that is negotiated.
        switch self.scheme == .tls ? self.hello.read(self.held) : .whole(ClientHello()) {
        case .wait:
            return
        case .whole(let hello) where hello.offersOnlyOthers:
            return self.end(context, .handshakeFailed, ["reason": "it offers other protocols than coap (ALPN)"])
        case .tooLarge:
            let reason = "its ClientHello is larger than \(ClientHelloReader.limit) bytes"
            return self.end(context, .handshakeFailed, ["reason": "\(reason)"])
        case .whole:
            break
        }
        let held = self.held
        self.forget()
        context.fireChannelRead(self.wrapInboundOut(held))
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func end(_ context: ChannelHandlerContext, _ refusal: ListenerRefusal, _ metadata: Logger.Metadata) {
        self.isOver = true
        self.forget()
        self.refuse(refusal, metadata)
        // Whoever stands behind closes: over plain TCP that is the connection's handler, which has sent its CSM.
        context.fireErrorCaught(ForeignPeer(refusal: refusal))
    }

    private func forget() {
        self.held = ByteBuffer()
        self.hello = ClientHelloReader()
    }

    private func foreign(_ spoken: FirstBytes) -> ListenerRefusal? {
        // From a source that may send one it was taken off before: here it is from somebody else, or the second.
        if spoken == .proxy { return .proxyHeader }
        guard self.scheme.isSecure else { return spoken == .tls ? .tlsOnPlain : nil }
        return FirstBytes.mayBeTLS(self.held.readableBytesView) ? nil : .plainOnTLS
    }
}

/// The peer speaks something that belongs on another port.
struct ForeignPeer: Error, CustomStringConvertible {
    let refusal: ListenerRefusal

    var description: String { "the peer does not speak what this port is for: \(self.refusal.rawValue)" }
}
