import NIOCore

/// Looks at the first bytes of a connection and ends it if they belong on another port. Then it goes away.
final class FirstBytesHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let scheme: URIScheme
    private let refuse: (ListenerRefusal, FirstBytes) -> Void
    private var isOver = false

    /// - Parameter refuse: called once, before the connection is closed.
    init(scheme: URIScheme, refuse: @escaping (ListenerRefusal, FirstBytes) -> Void) {
        self.scheme = scheme
        self.refuse = refuse
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        let buffer = self.unwrapInboundIn(data)
        let bytes = buffer.readableBytesView
        let spoken = FirstBytes(bytes)
        if let refusal = Self.refusal(spoken, buffer, on: self.scheme) {
            self.isOver = true
            self.refuse(refusal, spoken)
            context.fireErrorCaught(ForeignPeer(refusal: refusal))
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private static func refusal(
        _ spoken: FirstBytes, _ buffer: ByteBuffer, on scheme: URIScheme
    ) -> ListenerRefusal? {
        // From a source that may send one it was taken off before: here it is from somebody else, or the second.
        if spoken == .proxy { return .proxyHeader }
        guard !scheme.isSecure else {
            guard FirstBytes.mayBeTLS(buffer.readableBytesView) else { return .plainOnTLS }
            return scheme == .tls && ClientHello.offersOnlyOthers(buffer) ? .handshakeFailed : nil
        }
        return spoken == .tls ? .tlsOnPlain : nil
    }
}

/// The peer speaks something that belongs on another port.
struct ForeignPeer: Error, CustomStringConvertible {
    let refusal: ListenerRefusal

    var description: String { "the peer does not speak what this port is for: \(self.refusal.rawValue)" }
}
