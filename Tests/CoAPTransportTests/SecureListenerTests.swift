import Certificates
import CoAP
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("CoAP over TLS", .timeLimit(.minutes(2)))
struct SecureListenerTests {
    private static let dialer = CoAPDialer(
        group: MultiThreadedEventLoopGroup.singleton, logger: ListenerBench.logger)

    private static let echo: ListenerBench.Handling = { connection, request, id in
        connection.respond(to: id, with: Response(.content, payload: request.payload))
    }

    @Test("RFC 8323 §8.2: a request over TLS is answered; the delegate hears of the handshake before anything else")
    func exchange() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server()), handling: Self.echo) { bench in
            let client = try await Self.dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, transport: .tls(try certificates.client()),
                timeout: .seconds(20), server: nil)
            let answer = try await client.send(
                Request(.post, path: ["x"], payload: ByteBuffer(string: "hello")), timeout: .seconds(20))
            #expect(answer.payload == ByteBuffer(string: "hello"))
            var order: [String] = []
            _ = try await bench.next("request") { event -> Bool? in
                switch event {
                case .opened(let connection):
                    order.append("opened \(connection.arrival.scheme.rawValue)")
                case .secured:
                    order.append("secured")
                case .received:
                    order.append("received")
                    return true
                default: break
                }
                return nil
            }
            #expect(order == ["opened coaps+tcp", "secured", "received"])
            await client.close()
        }
    }

    @Test("C-91: our CSM comes first and is longer than 6 bytes, so a peer that always reads 6 at first is not stuck")
    func csmFirst() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server())) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port, tls: try certificates.client())
            let first = try await peer.receive(7)
            #expect(first[0] & 0xF == 8)
            let csm = first[0] >> 4 == 13 ? first[2] : first[1]
            #expect(csm == Code.capabilitiesAndSettings.rawValue)
            await peer.close()
        }
    }

    @Test(
        "BI-7: what is no TLS on the TLS port is closed at once, with a log line that names the plain port",
        arguments: [
            "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\0\0\0\0\0", "\u{2}\u{3}\u{1}\u{1}",
        ])
    func plainOnTLS(_ bytes: String) async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server()), plainPort: 5683) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send(bytes)
            #expect(try await peer.receiveUntilClose() == [])
            #expect(try await bench.refusal() == .plainOnTLS)
            let line = try await bench.logLine()
            #expect(line.message.contains("does not speak TLS"))
            #expect(line.metadata["port.meant"] == "5683 (coap+tcp)")
            #expect(line.metadata["peer.address"] == "127.0.0.1:\(peer.localPort)")
        }
    }

    @Test("BI-6, BI-7: a TLS client on the plain port is closed with a log line; CoAP beside it goes on")
    func tlsOnPlain() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(handling: Self.echo) { bench in
            let good = try await bench.connect()
            await #expect(throws: TransportError.self) {
                try await Self.dialer.connect(
                    host: "127.0.0.1", port: bench.listener.port, transport: .tls(try certificates.client()),
                    timeout: .seconds(20), server: nil)
            }
            #expect(try await bench.refusal() == .tlsOnPlain)
            #expect(try await bench.logLine().message.contains("speaks TLS"))
            // However much of it is not read: what tells it that this is CoAP comes before the end.
            let large = try await RawPeer.connect(port: bench.listener.port)
            try await large.send([0x16, 0x03, 0x01, 0x20, 0x00, 0x01] + [UInt8](repeating: 0, count: 8191))
            let received = try await large.receiveUntilClose()
            #expect(received.dropFirst().first == Code.capabilitiesAndSettings.rawValue, "\(received)")
            #expect(try await good.ask(Request(.get, path: ["x"])).code == .content)
        }
    }

    @Test("One line in ten seconds: who knocks all the time does not fill the log, and is counted all the same")
    func rareLines() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server())) { bench in
            for _ in 0..<5 {
                let peer = try await RawPeer.connect(port: bench.listener.port)
                try await peer.send("hello")
                _ = try await peer.receiveUntilClose()
            }
            var lines = 0
            var refusals = 0
            _ = try await bench.next("five refusals") { event -> Bool? in
                if case .logged = event { lines += 1 }
                if case .refused = event { refusals += 1 }
                return refusals == 5 ? true : nil
            }
            #expect(lines == 1)
        }
    }

    @Test("A handshake that is not over in time ends the connection, is counted, and its place is given back")
    func handshakeTimeout() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(
            limits: TransportLimits(openingTimeout: .seconds(3)), maximumConnections: 1,
            transport: .tls(try certificates.server())
        ) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            // The beginning of a record, and no more of it.
            try await peer.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            #expect(try await peer.receiveUntilClose() == [])
            #expect(try await bench.refusal() == .timedOut)
            try await bench.emptied()
        }
    }

    @Test("A handshake that fails is counted: a client with no cipher suite that fits the key")
    func handshakeFails() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server())) { bench in
            let old = try certificates.client {
                $0.maximumTLSVersion = .tlsv12
                $0.cipherSuiteValues = [.TLS_RSA_WITH_AES_128_GCM_SHA256]
            }
            await #expect(throws: TransportError.self) {
                try await Self.dialer.connect(
                    host: "127.0.0.1", port: bench.listener.port, transport: .tls(old), timeout: .seconds(20),
                    server: nil)
            }
            #expect(try await bench.refusal() == .handshakeFailed)
        }
    }

    @Test("A connection that is still in its handshake does not hold up the stop")
    func stopWhileOpening() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server())) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await eventually("a connection") { bench.listener.connectionCount > 0 }
            await bench.listener.releaseAll(grace: .seconds(30))
            #expect(try await peer.receiveUntilClose() == [])
        }
    }

    @Test("Over TLS the answer in flight and the Abort after it arrive before the end")
    func abort() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server())) { bench in
            let client = try await Self.dialer.connect(
                host: "localhost", port: bench.listener.port, transport: .tls(try certificates.client()),
                timeout: .seconds(20), server: nil)
            let server = try await bench.next("a connection") { if case .opened(let it) = $0 { it } else { nil } }
            server.abort("go away")
            #expect(await client.ended == .abortedByPeer(diagnostic: "go away"))
        }
    }

    @Test("Where certificates are required, a client without one never comes to CoAP")
    func required() async throws {
        let certificates = try TestCertificates()
        try await ListenerBench.with(transport: .tls(try certificates.server(.required))) { bench in
            let context = try certificates.client()
            // In TLS 1.3 the client is done before the server has looked.
            let client = try? await Self.dialer.connect(
                host: "127.0.0.1", port: bench.listener.port, transport: .tls(context), timeout: .seconds(20),
                server: nil)
            let refusal = try await bench.refusal()
            #expect(refusal == .handshakeFailed)
            if let client { _ = await client.ended }
        }
    }
}
