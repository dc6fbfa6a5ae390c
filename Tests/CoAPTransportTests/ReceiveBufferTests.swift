import CoAP
import NIOCore
import NIOEmbedded
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("What one connection keeps of what it received, and when its end is known", .timeLimit(.minutes(1)))
struct ReceiveBufferTests {
    private final class Delegate: ConnectionDelegate {
        var end: ConnectionEnd?
        var received = 0
        var refused: [Code] = []

        func connectionOpened(_ connection: CoAPConnection) {}
        func connectionReceived(_ request: Request, id: IncomingID) { self.received += 1 }
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionRefused(with code: Code) { self.refused.append(code) }
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) { self.end = end }
    }

    private struct Bench {
        let channel = EmbeddedChannel()
        let delegate = Delegate()
        let handler: ConnectionHandler

        init(isMemoryShort: @escaping @Sendable () -> Bool = { false }) throws {
            self.handler = ConnectionHandler(
                configuration: SharedConfiguration(ConnectionConfiguration(maximumIncoming: 1 << 20)),
                limits: TransportLimits(messagesPerSecond: nil, messagesPerTurn: 1 << 20), delegate: self.delegate,
                tokenSeed: 1, ended: self.channel.eventLoop.makePromise(), isMemoryShort: isMemoryShort,
                logger: ListenerBench.logger)
            try self.channel.pipeline.syncOperations.addHandler(self.handler)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5683)).wait()
        }
    }

    @Test("A peer whose every segment ends in the middle of a message does not make the buffer grow")
    func cutAcross() throws {
        let bench = try Bench()
        var bytes = ByteBuffer()
        let message = Message(code: .post, token: .empty, payload: ByteBuffer(repeating: 7, count: 999))
        for _ in 0..<2 { message.writeFrame(into: &bytes) }
        let length = message.frameLength
        try bench.channel.writeInbound(ByteBuffer(bytes: bytes.readableBytesView.prefix(length / 2)))
        // From the middle of one message to the middle of the next, each time.
        let segment = ByteBuffer(bytes: bytes.readableBytesView.dropFirst(length / 2).prefix(length))
        for _ in 0..<2000 { try bench.channel.writeInbound(segment) }
        #expect(bench.delegate.received == 2000)
        #expect(bench.handler.buffer.readableBytes == length / 2)
        #expect(bench.handler.buffer.capacity <= 16 * 1024)
        _ = try bench.channel.finish()
    }

    @Test(
        "BI-88: while memory is short no more than 8 KiB of a message are read from a stranger, and all once it is known"
    )
    func strangers() throws {
        let isShort = Mutex(false)
        let bench = try Bench(isMemoryShort: { isShort.withLock { $0 } })
        var bytes = ByteBuffer()
        Message(code: .post, token: .empty, payload: ByteBuffer(repeating: 7, count: 20_000)).writeFrame(into: &bytes)
        func receive(_ count: Int) throws {
            let segment = bytes.readSlice(length: count)
            try bench.channel.writeInbound(#require(segment))
            // As the channel asks by itself after each.
            bench.channel.read()
        }
        try receive(10_000)
        #expect(!bench.handler.heldRead)
        isShort.withLock { $0 = true }
        try receive(1000)
        #expect(bench.handler.heldRead)
        bench.handler.becomeKnown()
        #expect(!bench.handler.heldRead)
        try receive(bytes.readableBytes)
        #expect(bench.delegate.received == 1)
        #expect(!bench.handler.heldRead)
        _ = try bench.channel.finish()
    }

    @Test("A sign-in is read from a stranger while memory is short: it fits into what is kept")
    func shortMessages() throws {
        let bench = try Bench(isMemoryShort: { true })
        var bytes = ByteBuffer()
        for _ in 0..<20 {
            Message(code: .post, token: .empty, payload: ByteBuffer(repeating: 7, count: 2000)).writeFrame(into: &bytes)
        }
        try bench.channel.writeInbound(bytes)
        bench.channel.read()
        #expect(bench.delegate.received == 20)
        #expect(!bench.handler.heldRead)
        _ = try bench.channel.finish()
    }

    @Test("Whoever stands behind a connection is told of its end with the Abort, not when the peer has closed")
    func toldAtOnce() async throws {
        try await ListenerBench.with(limits: TransportLimits(abortLinger: .hours(1))) { bench in
            let (peer, _) = try await bench.pair(staysHalfOpen: true)
            try await peer.send(bytes: [0x0F, 0x01])
            #expect(try await bench.end() == .malformed(.tokenLength(nibble: 15)))
            #expect(bench.listener.connectionCount == 1)
        }
    }

    @Test("RFC 7252 §5.4.1: a request refused for its options is told to whoever counts; a Pong is not")
    func refused() throws {
        let bench = try Bench()
        var bytes = ByteBuffer()
        var request = Message(code: .get, token: .unique())
        request.options.append(OptionNumber(rawValue: 2051), bytes: [1])
        request.writeFrame(into: &bytes)
        Message(code: .ping, token: .unique()).writeFrame(into: &bytes)
        try bench.channel.writeInbound(bytes)
        #expect(bench.delegate.refused == [.badOption])
        _ = try bench.channel.finish()
    }
}
