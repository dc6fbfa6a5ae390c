import NIOCore
import NIOPosix
import NIOSSL
import TestSupport

/// A peer that sends bytes and reads bytes, over TLS if wanted.
final class RawPeer: Sendable {
    private let channel: any Channel
    private let inbox: NIOLoopBoundBox<Inbox>
    let localPort: Int

    private init(channel: any Channel, inbox: NIOLoopBoundBox<Inbox>) {
        self.channel = channel
        self.inbox = inbox
        self.localPort = channel.localAddress?.port ?? 0
    }

    static func connect(port: Int, tls: NIOSSLContext? = nil) async throws -> RawPeer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let inbox = NIOLoopBoundBox.makeBoxSendingValue(Inbox(), as: Inbox.self, eventLoop: loop)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: "localhost"))
                    }
                    try channel.pipeline.syncOperations.addHandler(InboxHandler(inbox: inbox.value))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .get()
        return RawPeer(channel: channel, inbox: inbox)
    }

    func send(_ bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    func send(_ text: String) async throws {
        try await self.send(Array(text.utf8))
    }

    func close() async {
        try? await self.channel.close()
    }

    /// So many bytes, once they have come.
    func receive(_ count: Int) async throws -> [UInt8] {
        try await self.wait { inbox in
            inbox.bytes.count >= count ? (inbox.bytes.prefix(count).map { $0 }, count) : nil
        }
    }

    /// Everything up to and with `end`.
    func receive(through end: String) async throws -> String {
        try await self.wait { inbox in
            let text = String(decoding: inbox.bytes, as: UTF8.self)
            guard let range = text.range(of: end) else { return nil }
            let head = text[..<range.upperBound]
            return (String(head), head.utf8.count)
        }
    }

    /// Everything up to the end of the connection.
    func receiveUntilClose() async throws -> [UInt8] {
        try await self.wait { inbox in inbox.isClosed ? (inbox.bytes, inbox.bytes.count) : nil }
    }

    private func wait<Value: Sendable>(
        _ look: @escaping @Sendable (Inbox) -> (value: Value, taken: Int)?
    ) async throws -> Value {
        let loop = self.channel.eventLoop
        let box = self.inbox
        return try await loop.flatSubmit { () -> EventLoopFuture<Value> in
            let inbox = box.value
            let promise = loop.makePromise(of: Value.self)
            let deadline = loop.scheduleTask(in: ScriptedPeer.patience) {
                box.value.waiter = nil
                promise.fail(PeerError("not received in time; what came is \(box.value.bytes.count) bytes"))
            }
            inbox.waiter = {
                if let found = look(inbox) {
                    inbox.bytes.removeFirst(found.taken)
                    inbox.waiter = nil
                    deadline.cancel()
                    promise.succeed(found.value)
                } else if inbox.isClosed {
                    inbox.waiter = nil
                    deadline.cancel()
                    promise.fail(PeerError("the connection was closed; what came is \(inbox.bytes.count) bytes"))
                }
            }
            inbox.waiter?()
            return promise.futureResult
        }.get()
    }

    private final class Inbox {
        var bytes: [UInt8] = []
        var isClosed = false
        var waiter: (() -> Void)?
    }

    private final class InboxHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let inbox: Inbox

        init(inbox: Inbox) {
            self.inbox = inbox
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.inbox.bytes += Array(self.unwrapInboundIn(data).readableBytesView)
            self.inbox.waiter?()
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.inbox.isClosed = true
            self.inbox.waiter?()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}

extension String {
    /// Where `other` stands first.
    fileprivate func range(of other: String) -> Range<String.Index>? {
        var start = self.startIndex
        while start < self.endIndex {
            if self[start...].hasPrefix(other) {
                return start..<self.index(start, offsetBy: other.count)
            }
            start = self.index(after: start)
        }
        return nil
    }
}
