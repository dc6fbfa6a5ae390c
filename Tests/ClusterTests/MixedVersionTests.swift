import Foundation
import TestServers
import TestSupport
import Testing

/// What an upgrade is made of. `scripts/test-versions` gives the programs of the commit before; without it the ones of
/// this run stand in for them.
@Suite("BI-79: two versions side by side", .timeLimit(.minutes(5)))
struct MixedVersionTests {
    private static let previous = ProcessInfo.processInfo.environment["PREVIOUS_PRODUCTS"] ?? Subprocess.products

    @Test("A northbound and a pod of the version before, beside new ones, with the new registry")
    func newRegistry() async throws {
        try await RunningCluster.with { cluster in
            try await Self.goThrough(cluster, joining: Self.previous)
        }
    }

    @Test("A new northbound and a new pod, beside those of the version before, with its registry")
    func previousRegistry() async throws {
        let shape = RunningCluster.Shape(
            products: [.registry: Self.previous, .coapInterface: Self.previous, .northbound: Self.previous])
        try await RunningCluster.with(shape) { cluster in
            try await Self.goThrough(cluster, joining: Subprocess.products)
        }
    }

    @Test("The registry is replaced by the other version and back, under sessions that stay")
    func registryReplaced() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            for products in [Self.previous, Subprocess.products] {
                let registry = try cluster.registry
                #expect(await registry.stop().status == 0)
                cluster.forget(registry)
                try await cluster.startRegistry(products: products).isReady()
                #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
                try await cluster.eventually("the registry answers") {
                    try await cluster.status(of: "lamp", token: owner.token) == "online"
                }
            }
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
    }

    /// Two pods and two northbounds of one version run; one more of each joins.
    private static func goThrough(_ cluster: RunningCluster, joining products: String) async throws {
        try await cluster.startCoAPInterface(products: products).isReady()
        try await cluster.startNorthbound(products: products).isReady()
        let (host, joined) = (0, 2)
        for (door, pod) in [(host, joined), (joined, host)] {
            try await Readme.runSession(
                http: cluster.northbounds[door].port("http"), coap: cluster.coapInterfaces[pod].port("coap"),
                suffix: "-\(door)")
        }
        let owner = try await cluster.owner("bob")
        var session = try await cluster.device("lamp", of: owner, at: host)
        for next in [joined, host, joined] {
            let held = session
            async let old = AnsweringDevice.serve(held.peer, saying: "old")
            for door in cluster.northbounds.indices {
                #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "old")
            }
            session = try await held.login.signIn(on: cluster.connect(to: next))
            #expect(try await old.abort != nil, "the pod before is told, whichever version it is")
        }
        let last = session
        async let new = AnsweringDevice.serve(last.peer, saying: "new")
        for door in cluster.northbounds.indices {
            for method in ["GET", "POST", "DELETE"] {
                let answer = try await cluster.http(door).request(method, "/lamp/light", token: owner.token)
                #expect(answer.text == "new", "\(method) at \(door): \(answer.status) \(answer.text)")
            }
        }
        await last.peer.close()
        _ = try await new
    }
}
