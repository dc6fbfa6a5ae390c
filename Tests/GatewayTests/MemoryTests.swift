import CoAP
import TestServers
import TestSupport
import Testing

@Suite("When memory runs short", .timeLimit(.minutes(3)))
struct MemoryTests {
    /// All but the end of one large message, which is kept until it is whole.
    private static let half: [UInt8] = {
        // RFC 8323 §3.2: a length of 15 says that four bytes follow, of what is above 65805.
        let length = 260_000
        let rest = UInt32(length - 65_805)
        let head: [UInt8] = [0xF0] + (0..<4).map { UInt8(truncatingIfNeeded: rest >> (24 - 8 * $0)) } + [0x02]
        return head + [UInt8](repeating: 0xFF, count: length - 1000)
    }()

    @Test("BI-88: from 80 % of the limit on new connections are refused, those there are go on, until there is room")
    func ceiling() async throws {
        try await GatewayProcess.with(["MEMORY_LIMIT": "192MiB"]) { gateway in
            let device = try await gateway.cloud.owner("alice").device("00000000-0000-4000-8000-000000000003")
            let admin = HTTPTestClient(port: gateway.admin)
            var hogs: [ScriptedPeer] = []
            while !gateway.process.outputSoFar.contains("memory is short"), hogs.count < 2000 {
                for peer in await gateway.flood(20) {
                    try? await peer.send(bytes: Self.half)
                    hogs.append(peer)
                }
            }
            try await gateway.process.waitFor("memory is short: new connections are refused")
            #expect(try await admin.get("/metrics").text.contains("\nprocess_memory_short 1"))

            let late = try? await gateway.cloud.connect()
            #expect((try? await late?.receive()) == nil)
            #expect(try await gateway.refused("memory") >= 1)
            let refused = try await HTTPTestClient(port: gateway.http).get("/errors")
            #expect(refused.status == 503)
            #expect(refused.member("type") == "/errors#no-room")
            _ = try await device.discover()
            // Where to look, and what the balancer asks: see docs/decisions/0025-ceilings.md.
            #expect(try await admin.get("/readyz").status == 200)

            for peer in hogs { await peer.close() }
            try await gateway.process.waitFor("memory is there again: new connections are taken")
            let next = try await gateway.cloud.connect()
            _ = try await next.receive()
            #expect(try await HTTPTestClient(port: gateway.http).get("/errors").status == 200)
            #expect(try await admin.get("/metrics").text.contains("\nprocess_memory_short 0"))
            _ = try await device.discover()
            await next.close()
            await device.peer.close()
        }
    }
}
