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

    static let offers: [([String], ClientHelloReader.Verdict)] = [
        ([], .serve), (["coap"], .serve), (["h2", "coap"], .serve), (["h2"], .onlyOtherProtocols),
        (["h2", "http/1.1"], .onlyOtherProtocols),
    ]

    /// A loaded machine may take long over so many segments.
    private static let patient = TransportLimits(openingTimeout: .seconds(100))

    /// The same handshake message in records of so many bytes (RFC 8446 §5.1).
    private static func records(_ hello: ByteBuffer, of size: Int) -> ByteBuffer {
        var rest = hello
        rest.moveReaderIndex(forwardBy: 5)
        var cut = ByteBuffer()
        while let part = rest.readSlice(length: min(size, rest.readableBytes)), part.readableBytes > 0 {
            cut.writeBytes([0x16, 0x03, 0x01])
            cut.writeInteger(UInt16(part.readableBytes))
            cut.writeImmutableBuffer(part)
        }
        return cut
    }

    private static func verdict(_ bytes: ByteBuffer) -> ClientHelloReader.Verdict {
        var reader = ClientHelloReader()
        return reader.read(bytes)
    }

    @Test(
        "C-90: no ALPN, or coap among others, is taken; others alone are not, in however many records",
        arguments: offers)
    func protocols(_ offered: [String], verdict: ClientHelloReader.Verdict) throws {
        let hello = try Self.hello(offered)
        for size in [1, 3, 100, 16_384] {
            let records = Self.records(hello, of: size)
            #expect(Self.verdict(records) == verdict)
            // One byte after another: nothing is said before the last, and nothing is read past the end.
            var reader = ClientHelloReader()
            for length in 0..<records.readableBytes {
                let cut = try #require(records.getSlice(at: records.readerIndex, length: length))
                #expect(reader.read(cut) == .wait)
            }
            #expect(reader.read(records) == verdict)
        }
    }

    @Test("What is no ClientHello, or too large for one, is the library's to refuse; endless small records are ours")
    func others() throws {
        let hello = try Self.hello(["h2"])
        var other = hello
        other.setInteger(UInt8(2), at: other.readerIndex + 5)
        #expect(Self.verdict(other) == .serve)
        #expect(Self.verdict(ByteBuffer(bytes: [0x15, 3, 1, 0, 2, 2, 0])) == .serve)
        #expect(Self.verdict(ByteBuffer(bytes: [0x16, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF])) == .serve)
        // Another kind of record in the midst of it.
        var mixed = Self.records(hello, of: 16)
        mixed.setInteger(UInt8(0x17), at: mixed.readerIndex + 21)
        #expect(Self.verdict(mixed) == .serve)
        var empty = ByteBuffer()
        while empty.readableBytes <= ClientHelloReader.limit { empty.writeBytes([0x16, 3, 1, 0, 0]) }
        #expect(Self.verdict(empty) == .tooLarge)
        // Extensions that are cut short inside a whole message.
        for length in 0..<(hello.readableBytes - 9) {
            var short = try #require(hello.getSlice(at: hello.readerIndex + 5, length: 4 + length))
            short.setInteger(UInt32(0x0100_0000) | UInt32(length), at: short.readerIndex)
            let verdict = Self.verdict(Self.records(Self.record(short), of: 16_384))
            #expect(verdict == .serve || verdict == .onlyOtherProtocols)
        }
    }

    private static func record(_ message: ByteBuffer) -> ByteBuffer {
        var record = ByteBuffer(bytes: [0x16, 3, 1])
        record.writeInteger(UInt16(message.readableBytes))
        record.writeImmutableBuffer(message)
        return record
    }

    @Test("C-90: a ClientHello with ALPN h2 alone is refused, though it comes byte by byte")
    func byteByByte() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(limits: Self.patient, transport: .tls(try certificates.server())) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            for byte in try Self.hello(["h2"]).readableBytesView { try await peer.send([byte]) }
            #expect(try await peer.receiveUntilClose() == [])
            #expect(try await bench.refusal() == .handshakeFailed)
        }
    }

    @Test("C-90: a ClientHello with coap, or without ALPN, is answered, though it comes byte by byte")
    func byteByByteServed() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(limits: Self.patient, transport: .tls(try certificates.server())) { bench in
            for offered in [["h2", "coap"], []] {
                let peer = try await RawPeer.connect(port: bench.listener.port)
                for byte in try Self.hello(offered).readableBytesView { try await peer.send([byte]) }
                // A handshake record: ServerHello (RFC 8446 §4.1.3).
                let answer = try await peer.receive(6)
                #expect(answer[0] == 0x16)
                #expect(answer[5] == 2)
                await peer.close()
            }
        }
    }

    @Test("BI-48: a ClientHello that never ends is refused at its bound")
    func endless() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(limits: Self.patient, transport: .tls(try certificates.server())) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            let record: [UInt8] = [0x16, 3, 1, 0, 0]
            try? await peer.send((0...ClientHelloReader.limit / record.count).flatMap { _ in record })
            #expect(try await bench.refusal() == .handshakeFailed)
            await peer.close()
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
        for (hello, resumes) in [
            (Self.hello(with: 41, [0, 1]), true), (Self.hello(with: 35, [1]), true), (Self.hello(with: 35, []), false),
            (try Self.hello([]), false),
        ] {
            #expect(Self.verdict(hello) == .whole(ClientHello(resumes: resumes)))
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

extension ClientHelloReader.Verdict {
    static let serve = Self.whole(ClientHello())
    static let onlyOtherProtocols = Self.whole(ClientHello(offersOnlyOthers: true))
}
