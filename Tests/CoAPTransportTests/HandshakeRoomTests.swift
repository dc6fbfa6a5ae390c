import CoAP
import Glibc
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("TLS handshakes in a storm", .timeLimit(.minutes(3)))
struct HandshakeRoomTests {
    private static let echo: ListenerBench.Handling = { connection, request, id in
        connection.respond(to: id, with: Response(.content, payload: request.payload))
    }

    private static let dialer = CoAPDialer(
        group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)

    /// What a client with no certificate of its own says first.
    private static func hello() throws -> [UInt8] {
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(
                context: NIOSSLContext(configuration: .makeClientConfiguration()), serverHostname: "localhost"))
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        return Array(try #require(try channel.readOutbound(as: ByteBuffer.self)).readableBytesView)
    }

    /// Keeps an event loop from turning.
    private final class Standstill: Sendable {
        private let hasBegun = Atomic(false)
        private let isOver = Atomic(false)

        /// The loop stands still on return.
        init(of loop: any EventLoop) async {
            loop.execute {
                self.hasBegun.store(true, ordering: .releasing)
                while !self.isOver.load(ordering: .acquiring) { sched_yield() }
            }
            while !self.hasBegun.load(ordering: .acquiring) { await Task.yield() }
        }

        func end() { self.isOver.store(true, ordering: .releasing) }
    }

    @Test("BI-48, BI-56: 500 TLS clients at once with two slots are all served")
    func storm() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            maximumConnections: 1000, transport: .tls(try certificates.server()),
            handshakes: HandshakeLimits(slots: 2, patience: .seconds(60)), handling: Self.echo
        ) { bench in
            let context = try certificates.client()
            let port = bench.listener.port
            let served = try await withThrowingTaskGroup(of: Code.self) { tasks in
                for _ in 0..<500 {
                    tasks.addTask {
                        let client = try await Self.dialer.connect(
                            host: "127.0.0.1", port: port, transport: .tls(context), timeout: .seconds(60), server: nil)
                        let code = try await client.send(Request(.get, path: ["x"]), timeout: .seconds(60)).code
                        await client.close()
                        return code
                    }
                }
                return try await tasks.reduce(into: 0) { $0 += $1 == .content ? 1 : 0 }
            }
            #expect(served == 500)
        }
    }

    @Test("BI-48: peers that say nothing, or half a ClientHello, hold no slot: others go past them at once")
    func silent() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            limits: TransportLimits(openingTimeout: .hours(1)), transport: .tls(try certificates.server()),
            handshakes: HandshakeLimits(slots: 1, waiting: 2), handling: Self.echo
        ) { bench in
            var silent: [RawPeer] = []
            for index in 0..<40 {
                let peer = try await RawPeer.connect(port: bench.listener.port)
                if index % 2 == 0 { try await peer.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]) }
                silent.append(peer)
            }
            for _ in 0..<5 {
                let client = try await Self.dialer.connect(
                    host: "127.0.0.1", port: bench.listener.port, transport: .tls(try certificates.client()),
                    timeout: .seconds(20), server: nil)
                let answer = try await client.send(Request(.get, path: ["x"]), timeout: .seconds(20))
                #expect(answer.code == .content)
                await client.close()
            }
            for peer in silent { await peer.close() }
            try await bench.emptied()
        }
    }

    @Test("Of those that come at once one is begun, one waits and is served after it, and the others are reset")
    func full() async throws {
        let certificates = try TestCertificates()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        try await ListenerBench.with(
            transport: .tls(try certificates.server()), group: group,
            handshakes: HandshakeLimits(slots: 1, waiting: 1), handling: Self.echo
        ) { bench in
            let hello = try Self.hello()
            var peers: [RawPeer] = []
            for _ in 0..<5 { peers.append(try await RawPeer.connect(port: bench.listener.port)) }
            try await eventually("five connections") { bench.listener.connectionCount == 5 }
            // What they say is there when the loop turns again, so it reads all of it in one turn.
            let standstill = await Standstill(of: group.next())
            for peer in peers { try await peer.send(hello) }
            standstill.end()
            for _ in 0..<3 {
                let refusal = try await bench.refusal()
                #expect(refusal == .handshakeQueue)
            }
            for peer in peers.prefix(2) { #expect(try await peer.receive(5)[0] == 0x16) }
            for peer in peers.dropFirst(2) { #expect(try await peer.receiveUntilClose() == []) }
        }
        try await group.shutdownGracefully()
    }

    @Test("Its turn does not come in time: the peer is reset, its place is given back, and a log line says why")
    func late() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            transport: .tls(try certificates.server()),
            handshakes: HandshakeLimits(slots: 0, patience: .milliseconds(200))
        ) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send(try Self.hello())
            #expect(try await peer.receiveUntilClose() == [])
            #expect(try await bench.refusal() == .handshakeQueue)
            #expect(try await bench.logLine().message.contains("HANDSHAKES"))
            try await bench.emptied()
        }
    }

    @Test("A peer that goes while it waits gives its place back")
    func leaves() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            transport: .tls(try certificates.server()),
            handshakes: HandshakeLimits(slots: 0, patience: .hours(1))
        ) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send(try Self.hello())
            try await eventually("a connection") { bench.listener.connectionCount > 0 }
            await peer.close()
            try await bench.emptied()
        }
    }

    @Test("Plain TCP waits for no handshake: it is served while none can be done")
    func plain() async throws {
        try await ListenerBench.with(handshakes: HandshakeLimits(slots: 0), handling: Self.echo) { bench in
            let peer = try await bench.connect()
            #expect(try await peer.ask(Request(.get, path: ["x"])).code == .content)
        }
    }
}
