import CoAP
import Foundation
import TestServers
import TestSupport
import Testing

@Suite("Sessions without a registry", .timeLimit(.minutes(2)))
struct KeptSessionTests {
    @Test("A session whose token runs out while the registry is away is kept and served, and ends soon after")
    func kept() async throws {
        try await RunningCluster.with(.init(settings: ["DEVICE_TOKEN_LIFETIME": "3"])) { cluster in
            let owner = try await cluster.owner("alice")
            let login = try await owner.signedUp("lamp")
            let device = try await login.signIn(on: cluster.connect(to: 0))
            let began = ContinuousClock.now
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            try await cluster.kill(cluster.registry)
            var answered = 0
            while began.duration(to: .now) < .seconds(7) {
                for door in cluster.northbounds.indices {
                    let answer = try await cluster.http(door).get("/lamp/light", token: owner.token)
                    #expect(answer.text == "lamp", "\(answer.status) \(answer.text)")
                    answered += 1
                }
            }
            #expect(answered > 2)
            try await cluster.startRegistry().isReady()
            for door in cluster.northbounds.indices {
                try await cluster.eventually("the session is over", within: .seconds(60)) {
                    try await cluster.http(door).request(
                        "GET", "/lamp/light", token: owner.token, headers: [("prefer", "wait=1")]
                    ).status == 503
                }
            }
            // The connection is the device's still, for a sign-in with fresh tokens.
            await device.peer.close()
            #expect(try await served.abort == nil)
            let answer = try await cluster.connect(to: 1).ask(
                .signIn(uid: login.uid, di: "lamp", accessToken: login.accessToken))
            #expect(answer.code == .unauthorized, "\(answer.code)")
            let fresh = try await cluster.connect(to: 1).refresh("lamp", of: login.uid, with: login.refreshToken)
            _ = try await fresh.signIn()
        }
    }
}
