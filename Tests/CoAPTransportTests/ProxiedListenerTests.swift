import CoAP
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("PROXY protocol in front of a listener", .timeLimit(.minutes(2)))
struct ProxiedListenerTests {
    private static let local = ProxySources(["127.0.0.0/8"]) ?? ProxySources()
    private static let elsewhere = ProxySources(["192.0.2.1"]) ?? ProxySources()
    private static let header = Array("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5683\r\n".utf8)

    private static let echo: ListenerBench.Handling = { connection, request, id in
        connection.respond(to: id, with: Response(.content, payload: request.payload))
    }

    @Test("The address it gives is the peer's, what was dialled is ours, and bytes behind it are the peer's first")
    func named() async throws {
        try await ListenerBench.with(proxies: Self.local, handling: Self.echo) { bench in
            let peer = try await bench.connect()
            var glued = ByteBuffer(bytes: Self.header)
            Message(code: .get, token: .unique(), options: Request(.get, path: ["x"]).options)
                .writeFrame(into: &glued)
            // One byte at a time, and the last ones together with a request.
            for byte in glued.readableBytesView.prefix(20) { try await peer.send(bytes: [byte]) }
            try await peer.send(bytes: Array(glued.readableBytesView.dropFirst(20)))
            #expect(try await peer.receivePastCSM().code == .content)
            let connection = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            #expect(connection.peerAddress == "192.0.2.7:12345")
            #expect(connection.dialledAddress?.hostAndPort == "198.51.100.1:5683")
        }
    }

    @Test("It stands in front of TLS")
    func tls() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            transport: .tls(try certificates.server()), proxies: Self.local, handling: Self.echo
        ) { bench in
            let dialer = CoAPDialer(group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)
            let context = try certificates.client()
            let client = try await dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, timeout: .seconds(20),
                on: MultiThreadedEventLoopGroup.singleton.next(),
                prepare: { channel in
                    let pipeline = channel.pipeline.syncOperations
                    let addresses: [UInt8] = [192, 0, 2, 9, 127, 0, 0, 1, 0, 9, 0, 1]
                    try pipeline.addHandler(HeaderFirst(ProxyHeaderTests.binary(1, 0x11, addresses)))
                    try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: "localhost"))
                },
                makeDelegate: { Silent() }
            ).get()
            let answer = try await client.send(Request(.get, path: ["x"]), timeout: .seconds(20))
            #expect(answer.code == .content)
            let connection = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            #expect(connection.peerAddress == "192.0.2.9:9")
            await client.close()
        }
    }

    @Test("A proxy's own look whether we live keeps its own address")
    func localCommand() async throws {
        try await ListenerBench.with(proxies: Self.local) { bench in
            let peer = try await bench.connect()
            try await peer.send(bytes: ProxyHeaderTests.binary(0, 0, []))
            try await peer.expectSilence()
            let connection = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            #expect(connection.peerAddress == "127.0.0.1:\(peer.localPort)")
        }
    }

    @Test(
        "BI-50: missing, bad or given twice by a listed source: closed before CoAP says a word, and counted",
        arguments: [
            ([0x00, 0x01, 0x02], false), (Array("PROXY TCP4 nonsense\r\n".utf8), false),
            (ProxyHeaderTests.binary(1, 0x11, [192, 0, 2, 9, 127, 0, 0, 1, 0, 9, 0, 1, 4, 0, 9]), false),
            (header + header, true), (header + ProxyHeaderTests.binary(0, 0, []), true),
        ] as [([UInt8], Bool)])
    func bad(_ bytes: [UInt8], cameToCoAP: Bool) async throws {
        try await ListenerBench.with(proxies: Self.local) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send(bytes)
            #expect(try await peer.receiveUntilClose().isEmpty == !cameToCoAP)
            #expect(try await bench.refusal() == .proxyHeader)
            #expect(try await bench.logLine().message.contains("PROXY header"))
            try await bench.emptied()
        }
    }

    @Test(
        "BI-50: from a source that is not listed, or with the protocol off, a header never changes the address",
        arguments: [elsewhere, ProxySources()])
    func spoofed(_ proxies: ProxySources) async throws {
        try await ListenerBench.with(proxies: proxies, handling: Self.echo) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send(Self.header)
            _ = try await peer.receiveUntilClose()
            #expect(try await bench.refusal() == .proxyHeader)
            #expect(try await bench.logLine().metadata["peer.address"] == "127.0.0.1:\(peer.localPort)")
            // Who sends none is served as ever.
            #expect(try await bench.connect().ask(Request(.get, path: ["x"])).code == .content)
        }
    }

    @Test("BI-50: a listed source that never sends its header whole is closed when its time is over")
    func slow() async throws {
        try await ListenerBench.with(
            limits: TransportLimits(openingTimeout: .seconds(3)), proxies: Self.local
        ) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send("PROXY TCP4 ")
            #expect(try await peer.receiveUntilClose() == [])
            #expect(try await bench.refusal() == .timedOut)
        }
    }
}

/// Sends bytes before anything else.
private final class HeaderFirst: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: self.bytes)), promise: nil)
        context.fireChannelActive()
    }
}

private final class Silent: ConnectionDelegate {
    func connectionOpened(_ connection: CoAPConnection) {}
    func connectionReceived(_ request: Request, id: IncomingID) {}
    func connectionReleased(to alternativeAddresses: [String]) {}
    func connectionIgnored(_ message: IgnoredMessage) {}
    func connectionEnded(_ end: ConnectionEnd) {}
}
