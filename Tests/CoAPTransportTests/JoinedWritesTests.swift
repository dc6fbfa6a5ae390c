import CoAP
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import CoAPTransport

/// How many writes the channel sees.
@Suite("Messages that go out together are one write", .timeLimit(.minutes(1)))
struct JoinedWritesTests {
    private final class Delegate: ConnectionDelegate {
        var connection: CoAPConnection?
        var received: (CoAPConnection, IncomingID) -> Void = { _, _ in }

        func connectionOpened(_ connection: CoAPConnection) { self.connection = connection }
        func connectionReceived(_ request: Request, id: IncomingID) {
            if let connection = self.connection { self.received(connection, id) }
        }
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) { self.connection = nil }
    }

    private struct Bench {
        let channel = EmbeddedChannel()
        let delegate = Delegate()
        let handler: ConnectionHandler

        init(_ scheme: URIScheme = .tcp) throws {
            var arrival = ConnectionArrival()
            arrival.scheme = scheme
            self.handler = ConnectionHandler(
                configuration: SharedConfiguration(ConnectionConfiguration()),
                limits: TransportLimits(messagesPerSecond: nil), delegate: self.delegate, tokenSeed: 1,
                ended: self.channel.eventLoop.makePromise(), arrival: arrival, logger: ListenerBench.logger)
            try self.channel.pipeline.syncOperations.addHandler(self.handler)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5683)).wait()
            // Our CSM.
            _ = try self.written()
        }

        /// Lets all of them come in one read cycle.
        func receive(_ messages: [Message]) throws {
            var bytes = ByteBuffer()
            for message in messages { message.writeFrame(into: &bytes) }
            try self.channel.writeInbound(bytes)
        }

        /// The codes of the messages in each write since the last call.
        func written() throws -> [[Code]] {
            var writes: [[Code]] = []
            while var bytes = try self.channel.readOutbound(as: ByteBuffer.self) {
                var codes: [Code] = []
                while let message = try Message(readingFrameFrom: &bytes, limits: FrameLimits()) {
                    codes.append(message.code)
                }
                #expect(bytes.readableBytes == 0, "a write ends in the middle of a message")
                writes.append(codes)
            }
            return writes
        }
    }

    private static func pings(_ count: Int) -> [Message] {
        (0..<count).map { Message(code: .ping, token: Token(eightBytes: UInt64($0))) }
    }

    private static func requests(_ count: Int) -> [Message] {
        (0..<count).map { Message(code: .get, token: Token(eightBytes: UInt64($0))) }
    }

    @Test("All Pings of one read are answered with one write")
    func pongs() throws {
        let bench = try Bench()
        try bench.receive(Self.pings(16))
        #expect(try bench.written() == [Array(repeating: .pong, count: 16)])
        // Those behind the sixteenth have their turn later, and a write of their own.
        try bench.receive(Self.pings(24))
        bench.channel.embeddedEventLoop.run()
        #expect(try bench.written() == [Array(repeating: .pong, count: 16), Array(repeating: .pong, count: 8)])
        _ = try bench.channel.finish()
    }

    @Test("What is written outside of a read goes out at once")
    func alone() throws {
        let bench = try Bench()
        bench.handler.ping()
        #expect(try bench.written() == [[.ping]])
        bench.handler.ping()
        bench.handler.release(holdOffSeconds: nil)
        #expect(try bench.written() == [[.ping], [.release]])
        _ = try bench.channel.finish()
    }

    @Test("Nothing is joined behind a request of ours, so that it counts as sent when its own last byte is")
    func behindRequest() throws {
        let bench = try Bench()
        bench.delegate.received = { connection, id in
            if id.rawValue == 2 {
                connection.send(Request(.put, path: ["light"]), deadline: .distantFuture) { _ in }
            }
            connection.respond(to: id, with: Response(.content))
        }
        try bench.receive(Self.requests(3))
        #expect(try bench.written() == [[.content, .put], [.content, .content]])
        _ = try bench.channel.finish()
    }

    @Test("At most 16 KiB are joined")
    func bounded() throws {
        let bench = try Bench()
        bench.delegate.received = { connection, id in
            connection.respond(to: id, with: Response(.content, payload: ByteBuffer(repeating: 7, count: 1000)))
        }
        try bench.receive(Self.requests(16))
        #expect(try bench.written() == [Array(repeating: .content, count: 16)])
        bench.delegate.received = { connection, id in
            connection.respond(to: id, with: Response(.content, payload: ByteBuffer(repeating: 7, count: 1100)))
        }
        try bench.receive(Self.requests(16))
        #expect(try bench.written() == [Array(repeating: .content, count: 14), Array(repeating: .content, count: 2)])
        _ = try bench.channel.finish()
    }

    @Test("What was joined goes out before the connection is closed")
    func closing() throws {
        let bench = try Bench()
        bench.delegate.received = { connection, id in
            connection.respond(to: id, with: Response(.content))
            connection.close(reason: "enough")
        }
        try bench.receive(Self.pings(1) + Self.requests(1))
        #expect(try bench.written() == [[.pong, .content]])
    }

    @Test("RFC 8323 §4.2: a WebSocket carries each message by itself")
    func webSocket() throws {
        let bench = try Bench(.webSocket)
        try bench.receive(Self.pings(3))
        #expect(try bench.written() == [[.pong], [.pong], [.pong]])
        _ = try bench.channel.finish()
    }
}
