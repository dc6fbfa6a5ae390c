import Certificates
import CoAP
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOSSL
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("What a TLS client offers", .timeLimit(.minutes(2)))
struct ClientHelloTests {
    private static func hello(_ protocols: [String]) throws -> ByteBuffer {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.applicationProtocols = protocols
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: NIOSSLContext(configuration: configuration), serverHostname: "localhost"))
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        return try #require(try channel.readOutbound(as: ByteBuffer.self))
    }

    @Test(
        "C-90: no ALPN, or coap among others, is taken; others alone are not",
        arguments: [
            ([], false), (["coap"], false), (["h2", "coap"], false), (["h2"], true), (["h2", "http/1.1"], true),
        ]
            as [([String], Bool)])
    func protocols(_ offered: [String], isRefused: Bool) throws {
        let hello = try Self.hello(offered)
        #expect(ClientHello.offersOnlyOthers(hello) == isRefused)
        // Cut anywhere it cannot be told, and nothing is read past the end.
        for length in 0..<hello.readableBytes {
            let cut = try #require(hello.getSlice(at: hello.readerIndex, length: length))
            #expect(!ClientHello.offersOnlyOthers(cut) || isRefused)
        }
    }

    /// A ClientHello with one extension (RFC 8446 §4.1.2).
    private static func hello(with type: UInt16, _ data: [UInt8]) -> ByteBuffer {
        var body = ByteBuffer(bytes: [3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0x13, 1, 1, 0])
        body.writeInteger(UInt16(4 + data.count))
        body.writeInteger(type)
        body.writeInteger(UInt16(data.count))
        body.writeBytes(data)
        var record = ByteBuffer(bytes: [0x16, 3, 1])
        record.writeInteger(UInt16(4 + body.readableBytes))
        record.writeBytes([1, 0])
        record.writeInteger(UInt16(body.readableBytes))
        record.writeBuffer(&body)
        return record
    }

    @Test("RFC 8446 §4.2.11, RFC 5077 §3.2: a key of an earlier session or a ticket, unless it is empty, resumes one")
    func resuming() throws {
        #expect(ClientHello.resumes(Self.hello(with: 41, [0, 1])))
        #expect(ClientHello.resumes(Self.hello(with: 35, [1])))
        #expect(!ClientHello.resumes(Self.hello(with: 35, [])))
        #expect(!ClientHello.resumes(try Self.hello([])))
    }

    @Test("A ClientHello is whole with the last byte of its record, and never before")
    func whole() throws {
        let hello = try Self.hello([])
        #expect(ClientHello.isWhole(hello))
        for length in 0..<hello.readableBytes {
            let cut = try #require(hello.getSlice(at: hello.readerIndex, length: length))
            #expect(!ClientHello.isWhole(cut))
        }
    }

    @Test("C-90: over the wire a client with ALPN h2 alone is refused, with coap or none it is served")
    func onTheWire() async throws {
        let certificates = try TestCertificates()
        let dialer = CoAPDialer(group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)
        try await ListenerBench.with(transport: .tls(try certificates.server())) { bench in
            for protocols in [[], ["coap"], ["h2"]] {
                let context = try certificates.client {
                    $0.applicationProtocols = protocols
                    $0.maximumTLSVersion = .tlsv12
                    $0.cipherSuiteValues = [.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
                }
                let client = try? await dialer.connect(
                    host: "127.0.0.1", port: bench.listener.port, transport: .tls(context), timeout: .seconds(20),
                    server: nil)
                #expect((client == nil) == (protocols == ["h2"]))
                await client?.close()
            }
            let refusal = try await bench.refusal()
            #expect(refusal == .handshakeFailed)
        }
    }
}
