import Foundation
import TestServers
import TestSupport
import Testing

@Suite("A cluster without IPv4", .timeLimit(.minutes(2)))
struct IPv6Tests {
    @Test("BI-77: everything on ::1, addresses of pods and the registry included: README's session, and a takeover")
    func loopback() async throws {
        let redis = try await RedisServer.start(.plain, ["--bind", "::1", "127.0.0.1"])
        let registry = try ServerProcess.freePort()
        let shape = RunningCluster.Shape(
            settings: [
                "BIND_ADDRESS": "::1", "POD_IP": "::1", "REGISTRY": "[::1]:\(registry)",
                "CACHE_URI": "[::1]:\(redis.port)",
            ],
            programSettings: [.registry: ["REGISTRY_PORT": "\(registry)"]], redis: redis)
        try await RunningCluster.with(shape) { cluster in
            try await Readme.runSession(
                host: "::1", http: cluster.northbounds[0].port("http"), coap: cluster.coapInterfaces[1].port("coap"))
            let owner = try await cluster.owner("bob")
            try await AnsweringDevice.moves("lamp", of: owner, in: cluster)
        }
        await redis.stop()
    }
}
