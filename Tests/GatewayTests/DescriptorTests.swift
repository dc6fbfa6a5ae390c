import TestServers
import TestSupport
import Testing

@Suite("When descriptors run out", .timeLimit(.minutes(2)))
struct DescriptorTests {
    @Test("BI-51: with no descriptor left accepting pauses instead of spinning, and goes on when there is one again")
    func accept() async throws {
        try await GatewayProcess.with(descriptors: 120) { gateway in
            let began = ContinuousClock.now
            var peers: [ScriptedPeer] = []
            for _ in 0..<150 { peers.append(try await ScriptedPeer.connect(port: gateway.coap)) }
            try await gateway.process.waitFor("no more files can be opened")
            for peer in peers.prefix(60) { await peer.close() }
            // Those that waited in the kernel are served, none was closed.
            for peer in peers.dropFirst(60) { try await peer.expectSilence() }
            let page = try await HTTPTestClient(port: gateway.admin).get("/metrics").text
            let name = "coap_connections_refused_total{reason=\"no-descriptor\"} "
            let line = try #require(page.split(separator: "\n").first { $0.hasPrefix(name) })
            let attempts = try #require(Int(line.dropFirst(name.count)))
            // Four a second, on the one listener there is; an event loop that spins makes tens of thousands.
            let seconds = Int(began.duration(to: .now).components.seconds) + 1
            #expect((1...(seconds * 4 + 4)).contains(attempts))
            for peer in peers { await peer.close() }
        }
    }
}
