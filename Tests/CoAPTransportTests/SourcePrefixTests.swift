import CoAP
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import CoAPTransport

@Suite("Sources of connections", .timeLimit(.minutes(1)))
struct SourcePrefixTests {
    private static func prefix(_ text: String) throws -> SourcePrefix {
        try #require(SourcePrefix(try SocketAddress(ipAddress: text, port: 1)))
    }

    @Test(
        "An IPv4 address is a source of its own, also inside an IPv6 one; IPv6 addresses of one /64 are one source",
        arguments: [
            ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true), ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ])
    func prefixes(_ one: String, _ other: String, areEqual: Bool) throws {
        #expect(try (Self.prefix(one) == Self.prefix(other)) == areEqual)
    }

    @Test("BI-55: a source that may not open more is reset, counted and in the log; behind a proxy that is the peer's")
    func refused() async throws {
        let asked = Mutex<[SourcePrefix]>([])
        try await ListenerBench.with(admits: { source in
            asked.withLock { $0.append(source) }; return false
        }) { bench in
            // The reset may come before the client has noticed that it is connected.
            if let peer = try? await RawPeer.connect(port: bench.listener.port) {
                let received = try await peer.receiveUntilClose()
                #expect(received.isEmpty)
            }
            let refusal = try await bench.refusal()
            #expect(refusal == .sourceRate)
            let line = try await bench.logLine()
            #expect(line.message.contains("SOURCE_RATE"))
            try await bench.emptied()
        }
        let local = try #require(ProxySources(["127.0.0.0/8"]))
        try await ListenerBench.with(
            proxies: local,
            admits: { source in
                asked.withLock { $0.append(source) }; return false
            }
        ) { bench in
            let peer = try await RawPeer.connect(port: bench.listener.port)
            try await peer.send("PROXY TCP4 192.0.2.7 198.51.100.1 12345 5683\r\n")
            let received = try await peer.receiveUntilClose()
            #expect(received.isEmpty)
            let refusal = try await bench.refusal()
            #expect(refusal == .sourceRate)
            try await bench.emptied()
        }
        let expected = [try Self.prefix("127.0.0.1"), try Self.prefix("192.0.2.7")]
        #expect(asked.withLock { $0 } == expected)
    }
}
