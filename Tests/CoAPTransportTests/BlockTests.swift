import CoAP
import NIOCore
import NIOEmbedded
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Block-wise transfers over a socket", .timeLimit(.minutes(4)))
struct BlockTests {
    /// Answers with the payload of the request and as many bytes as its path says.
    static let handling: ListenerBench.Handling = { connection, request, id in
        let count = request.options.path?.first.flatMap { Int($0) } ?? 0
        var answer = request.payload ?? ByteBuffer()
        answer.writeImmutableBuffer(Self.body(count))
        connection.respond(to: id, with: Response(request.method == .get ? .content : .changed, payload: answer))
    }

    static func body(_ count: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) })
    }

    /// An end of a connection that takes messages of this size and whole bodies of 256 KiB.
    static func taking(_ maximumMessageSize: Int) -> ConnectionConfiguration {
        ConnectionConfiguration(
            limits: FrameLimits(maximumMessageSize: maximumMessageSize), blocks: BlockLimits(bodyBytes: 256 << 10))
    }

    static func dialer(_ configuration: ConnectionConfiguration) -> CoAPDialer {
        CoAPDialer(
            group: MultiThreadedEventLoopGroup.singleton, configuration: configuration, logger: ListenerBench.logger)
    }

    /// Waits for the CSM of the other end, which says that it takes blocks.
    static func introduced(_ connection: CoAPConnection) async throws {
        #expect(try await connection.send(Request(.get, path: ["0"]), timeout: .seconds(40)).code == .content)
    }

    @Test(
        "Two of our ends exchange bodies of any size, both ways, whatever the largest message is",
        arguments: [100, 1152, 1153, 5000, 70_000])
    func bothWays(maximum: Int) async throws {
        let limits = TransportLimits(messagesPerSecond: nil)
        try await ListenerBench.with(Self.taking(maximum), limits: limits, handling: Self.handling) { bench in
            let client = try await Self.dialer(Self.taking(maximum)).connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(5), server: nil)
            try await Self.introduced(client)
            for (up, down) in [(0, 10_000), (10_000, 0), (9999, 10_001), (60_000, 60_000)] {
                let answer = try await client.send(
                    Request(.post, path: ["\(down)"], payload: Self.body(up)), timeout: .seconds(120))
                var expected = Self.body(up)
                expected.writeImmutableBuffer(Self.body(down))
                #expect(answer.code == .changed)
                #expect(answer.payload == expected)
                #expect(!answer.options.contains { $0.number == .block1 || $0.number == .block2 })
            }
            await client.close()
        }
    }

    @Test("Many transfers at one time do not mix, though all are to one resource")
    func parallel() async throws {
        var configuration = Self.taking(2000)
        configuration.blocks.uploads = 16
        configuration.blocks.keptAnswers = 16
        configuration.blocks.uploadBytes = 1 << 20
        try await ListenerBench.with(
            configuration, limits: TransportLimits(messagesPerSecond: nil), handling: Self.handling
        ) { bench in
            let client = try await Self.dialer(Self.taking(2000)).connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(5), server: nil)
            try await Self.introduced(client)
            let outcomes = Outcomes()
            for index in 1...16 {
                let payload = ByteBuffer(repeating: UInt8(index), count: 20_000)
                outcomes.send(index, on: client, timeout: .seconds(60), Request(.put, path: ["0"], payload: payload))
            }
            await outcomes.wait(for: 16)
            // The answers are of one key but for the Request-Tag of their uploads.
            for (index, results) in outcomes.all {
                #expect(results.count == 1)
                let payload = try results[0].get().payload
                #expect(payload == ByteBuffer(repeating: UInt8(index), count: 20_000), "\(index)")
            }
            await client.close()
        }
    }

    @Test("C-80: a scripted peer uploads 10 KB in blocks of 1024, with one missing it is 4.08")
    func upload() async throws {
        try await ListenerBench.with(handling: Self.handling) { bench in
            let (peer, _) = try await bench.pair()
            let all = Self.body(10_000)
            func block(_ number: Int) -> Request {
                let length = min(1024, 10_000 - number * 1024)
                var request = Request(.post, path: ["0"], payload: all.getSlice(at: number * 1024, length: length))
                request.options.block1 = BlockOption(number: number, more: number < 9, sizeExponent: 6)
                return request
            }
            for number in 0..<9 { #expect(try await peer.ask(block(number)).code == .continue) }
            let last = try await peer.ask(block(9))
            #expect(last.code == .changed)
            #expect(last.options.block1 == BlockOption(number: 9, more: false, sizeExponent: 6))
            var fetched = try #require(last.payload)
            // 10 KB come back above the 1152 bytes of a peer without a CSM, in blocks, since it used them.
            var answer = last
            while let block = answer.options.block2, block.more {
                var request = Request(.post, path: ["0"])
                request.options.block2 = BlockOption(
                    offset: fetched.readableBytes, more: false, sizeExponent: block.sizeExponent)
                answer = try await peer.ask(request)
                fetched.writeImmutableBuffer(try #require(answer.payload))
            }
            #expect(fetched == all)
            _ = try await peer.ask(block(0))
            #expect(try await peer.ask(block(2)).code == .requestEntityIncomplete)
        }
    }

    @Test("BI-24: a thousand half transfers on a connection are forgotten by a timer, without another message")
    func halves() throws {
        var configuration = ConnectionConfiguration()
        configuration.blocks.uploadIdle = .milliseconds(100)
        let channel = EmbeddedChannel()
        let handler = ConnectionHandler(
            configuration: SharedConfiguration(configuration), limits: TransportLimits(messagesPerSecond: nil),
            delegate: Silent(), tokenSeed: 1, ended: channel.eventLoop.makePromise(), logger: ListenerBench.logger)
        try channel.pipeline.syncOperations.addHandler(handler)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 5683)).wait()
        for index in 0..<1000 {
            var options = Options()
            options.path = ["\(index)"]
            options.block1 = BlockOption(number: 0, more: true, sizeExponent: 6)
            var bytes = ByteBuffer()
            Message(code: .post, token: .unique(), options: options, payload: Self.body(1024)).writeFrame(into: &bytes)
            try channel.writeInbound(bytes)
            #expect(handler.blocks.server.bytes <= 4096)
        }
        #expect(handler.blocks.server.bytes > 0)
        let over = NIODeadline.now() + .milliseconds(101)
        while NIODeadline.now() <= over {}
        channel.embeddedEventLoop.advanceTime(to: .now())
        #expect(handler.blocks.server.bytes == 0)
        _ = try channel.finish()
    }

    private final class Silent: ConnectionDelegate {
        func connectionOpened(_ connection: CoAPConnection) {}
        func connectionReceived(_ request: Request, id: IncomingID) {}
        func connectionReleased(to alternativeAddresses: [String]) {}
        func connectionIgnored(_ message: IgnoredMessage) {}
        func connectionEnded(_ end: ConnectionEnd) {}
    }

    @Test("Before the peer is known, where messages are limited, blocks are 4.02 and told to the delegate")
    func strangers() async throws {
        let limits = TransportLimits(firstMessageBytes: 8 << 10)
        try await ListenerBench.with(limits: limits, handling: Self.handling) { bench in
            let (peer, connection) = try await bench.pair()
            var request = Request(.post, path: ["0"], payload: Self.body(16))
            request.options.block1 = BlockOption(number: 0, more: true, sizeExponent: 0)
            #expect(try await peer.ask(request).code == .badOption)
            connection.takeLargeMessages(FrameLimits())
            // A loop reads its sockets before it does what it was asked to.
            try await connection.eventLoop.submit {}.get()
            #expect(try await peer.ask(request).code == .continue)
        }
    }

    @Test("A device that is sent blocks and goes away midway: the request was delivered, for all we know")
    func lostMidway() async throws {
        try await ListenerBench.with { bench in
            let (peer, connection) = try await bench.pair()
            var options = Options()
            options.append(OptionNumber(rawValue: 2), uint: 1152)
            options.append(OptionNumber(rawValue: 4))
            try await peer.send(Message(code: .capabilitiesAndSettings, token: .empty, options: options))
            try await peer.expectSilence()
            let outcomes = Outcomes()
            outcomes.send(1, on: connection, Request(.post, path: ["a"], payload: Self.body(5000)))
            let first = try await peer.receivePastCSM()
            #expect(first.options.block1 == BlockOption(number: 0, more: true, sizeExponent: 6))
            #expect(first.frameLength <= 1152)
            var next = Response(.continue)
            next.options.block1 = first.options.block1
            try await peer.answer(first, next)
            #expect(try await peer.receivePastCSM().options.block1?.number == 1)
            await peer.close()
            await outcomes.wait(for: 1)
            #expect(outcomes.errors == [ExchangeError(.connectionLost, delivered: true)])
        }
    }
}
