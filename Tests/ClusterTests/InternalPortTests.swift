import CBOR
import CoAP
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("The ports between our own programs", .timeLimit(.minutes(5)))
struct InternalPortTests {
    @Test("The pod port and the registry's refuse every request of a peer that has proved nothing")
    func withoutProof() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            for (process, name) in [(cluster.coapInterfaces[0], "pod"), (try cluster.registry, "registry")] {
                var forged = Request.ocf(.get, name == "pod" ? "lamp/light" : "registry/devices")
                forged.options.fence = Fence(uid: "alice")
                forged.options.caller = "northbound"
                let peer = try await ScriptedPeer.connect(port: process.port(name))
                try await peer.start(forged)
                let heard = try await peer.receiveUntilClose()
                #expect(heard.allSatisfy { !$0.code.isSuccess }, "\(name): \(heard.map(\.code))")
                #expect(heard.contains { $0.code == .unauthorized || $0.code == .abort }, "\(heard.map(\.code))")
            }
            try await device.peer.expectSilence()
        }
    }

    @Test("A northbound with another cluster secret reaches nobody, and says so to its operator")
    func anotherSecret() async throws {
        try await RunningCluster.with { cluster in
            let other = try await cluster.startNorthbound([
                "CLUSTER_SECRET": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
            ])
            let door = HTTPTestClient(port: try other.port("http"))
            let answer = try await door.post("/register/user", "{\"uid\": \"eve\", \"authprovider\": \"github\"}")
            #expect(answer.status == 503, "\(answer.status) \(answer.text)")
            try await cluster.eventually("its log says what is wrong") {
                other.log.contains { $0.contains("CLUSTER_SECRET") || $0.contains("secret") }
            }
        }
    }

    @Test("Internal options of devices, clients and HTTP never get in")
    func internalOptions() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let stranger = try await cluster.owner("bob")
            let code = try await cluster.clientCode("phone", mediator: stranger.mediator)
            let login = try await stranger.signUp("phone", code: code)
            let client = try await login.signIn(on: cluster.connect(to: 1))
            var forged = Request.ocf(.get, "lamp/light")
            forged.options.fence = Fence(uid: "alice")
            #expect(try await client.peer.ask(forged).code == .badOption)
            var other = Request.ocf(.get, "registry/devices", queries: ["uid=alice"])
            other.options.caller = "northbound"
            #expect(try await client.peer.ask(other).code == .badOption)
            try await device.peer.expectSilence()
        }
    }
}
