import CoAPTransport
import NIOCore
import NIOPosix
import NIOSSL

/// A TCP connection, with or without TLS, as bytes: what comes in waits until somebody asks for it.
final class ByteStream: Sendable {
    /// How much may wait unread; a cloud that sends more is cut off.
    static let maximumWaiting = 64 << 20

    private let channel: any Channel
    private let inbox: NIOLoopBound<Inbox>

    private init(channel: any Channel, inbox: NIOLoopBound<Inbox>) {
        self.channel = channel
        self.inbox = inbox
    }

    /// - Parameter tls: nil for plain TCP. The handshake begins here; whether it succeeds shows with the first byte.
    static func connect(
        host: String, port: Int, tls: NIOSSLContext?, within patience: Duration
    ) async throws -> ByteStream {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let name = "\(host):\(port)"
        do {
            let isName = (try? SocketAddress(ipAddress: host, port: 0)) == nil
            let made = NIOLoopBoundBox.makeBoxSendingValue(
                [:], as: [ObjectIdentifier: Inbox].self, eventLoop: eventLoop)
            return try await ClientBootstrap(group: eventLoop)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connectTimeout(TimeAmount(max(patience, .seconds(10))))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let inbox = Inbox()
                        made.value[ObjectIdentifier(channel)] = inbox
                        if let tls {
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: tls, serverHostname: isName ? host : nil))
                        }
                        try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox))
                    }
                }
                .connect(host: host, port: port)
                .flatMapThrowing { channel in
                    guard let inbox = made.value[ObjectIdentifier(channel)] else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    return ByteStream(channel: channel, inbox: NIOLoopBound(inbox, eventLoop: channel.eventLoop))
                }
                .get()
        } catch {
            throw CaseFailure(.given, expected: "a connection to \(name)", got: "\(error)")
        }
    }

    /// Returns when the bytes were handed to the system. A connection that the cloud has closed takes none: that shows
    /// where the case reads next.
    func send(_ bytes: ByteBuffer) async {
        try? await self.channel.writeAndFlush(bytes)
    }

    /// What came next; nil at the end of the connection.
    /// - Throws: `StreamError`.
    func next(within patience: Duration) async throws -> ByteBuffer? {
        try await self.channel.eventLoop.flatSubmit {
            self.inbox.value.next(on: self.channel.eventLoop, within: TimeAmount(patience))
        }.get()
    }

    func close() async {
        try? await self.channel.close()
    }
}

enum StreamError: Error {
    case timedOut
    /// The transport broke: what it said.
    case failed(String)
}

/// What came in, in order. Lives on one event loop.
private final class Inbox {
    private var waiting = ByteBuffer()
    private var end: Result<Void, StreamError>?
    private var reader: (promise: EventLoopPromise<ByteBuffer?>, deadline: Scheduled<Void>)?

    func took(_ bytes: inout ByteBuffer) {
        self.waiting.writeBuffer(&bytes)
        self.serve()
    }

    var isFull: Bool { self.waiting.readableBytes > ByteStream.maximumWaiting }

    func ended(_ how: Result<Void, StreamError>) {
        if self.end == nil { self.end = how }
        self.serve()
    }

    func next(on eventLoop: any EventLoop, within patience: TimeAmount) -> EventLoopFuture<ByteBuffer?> {
        let promise = eventLoop.makePromise(of: ByteBuffer?.self)
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let deadline = eventLoop.scheduleTask(in: patience) {
            bound.value.reader = nil
            promise.fail(StreamError.timedOut)
        }
        self.reader = (promise, deadline)
        self.serve()
        return promise.futureResult
    }

    private func serve() {
        guard let reader = self.reader else { return }
        if self.waiting.readableBytes > 0 {
            reader.promise.succeed(self.waiting)
            self.waiting = ByteBuffer()
        } else {
            switch self.end {
            case nil: return
            case .success?: reader.promise.succeed(nil)
            case .failure(let error)?: reader.promise.fail(error)
            }
        }
        reader.deadline.cancel()
        self.reader = nil
    }
}

private final class InboxHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let inbox: Inbox

    init(_ inbox: Inbox) {
        self.inbox = inbox
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.inbox.took(&bytes)
        if self.inbox.isFull { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.inbox.ended(.success(()))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset is an end like any other.
        switch error {
        case is IOError, NIOSSLError.uncleanShutdown: self.inbox.ended(.success(()))
        default:
            let text = "\(error)"
            let isForeign = text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("unableToValidateCertificate")
            let advice = "the certificate comes from no authority believed here, or not for this name: --ca FILE"
            self.inbox.ended(.failure(.failed(isForeign ? advice : text)))
        }
        context.close(promise: nil)
    }
}
