import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Pods that fail", .timeLimit(.minutes(5)))
struct PodFaultTests {
    @Test("A pod is killed: what it had written is 502 for a POST, and its device is reached as soon as it is back")
    func killed() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let answer = cluster.http(0).request(
                "POST", "/lamp/light", token: owner.token, body: "{\"value\": true}")
            _ = try await device.peer.receiveRequest(.post, "light")
            await cluster.kill(cluster.coapInterfaces[0])
            #expect(try await answer.status == 502)

            let again = try await device.login.signIn(on: cluster.connect(to: 0))
            async let served = AnsweringDevice.serve(again.peer, saying: "back")
            for door in cluster.northbounds.indices {
                let answer = try await cluster.http(door).get("/lamp/light", token: owner.token)
                #expect(answer.status == 200 && answer.text == "back", "\(answer.status) \(answer.text)")
            }
            await again.peer.close()
            #expect(try await served.requests.count == 2)
        }
    }

    @Test("A pod is frozen while its device signs in elsewhere: after waking it delivers nothing and ends the session")
    func frozen() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            _ = try await cluster.device("witness", of: owner, at: 0)
            async let old = AnsweringDevice.serve(device.peer, saying: "old")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "old")

            let pod = cluster.coapInterfaces[0]
            pod.process.signal(SIGSTOP)
            // It lies in the frozen pod's socket until that wakes.
            let lost = try await cluster.http(0).request(
                "POST", "/lamp/light", token: owner.token, headers: [("prefer", "wait=1")], body: "{}")
            #expect([502, 503, 504].contains(lost.status))
            let next = try await device.login.signIn(on: cluster.connect(to: 1))
            async let new = AnsweringDevice.serve(next.peer, saying: "new")
            for door in cluster.northbounds.indices {
                try await cluster.eventually("the new session is reached") {
                    try await cluster.http(door).get("/lamp/light", token: owner.token).text == "new"
                }
            }
            // That is longer than the pause after which an event loop mistrusts itself.
            try await cluster.eventually("the lease of the frozen pod has lapsed", within: .seconds(30)) {
                try await cluster.status(of: "witness", token: owner.token) == "offline"
            }
            pod.process.signal(SIGCONT)

            let ended = try await old
            #expect(ended.requests.filter { $0.code == .post }.isEmpty)
            #expect(ended.abort != nil, "the old session is told that it was superseded")
            for door in cluster.northbounds.indices {
                #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "new")
            }
            await next.peer.close()
            _ = try await new
        }
    }

    @Test("C-44: an old connection that closes late, after the device signed in on the other pod, takes nothing away")
    func lateClose() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let login = try await owner.signedUp("lamp")
            let slow = try await ScriptedPeer.connect(
                port: cluster.coapInterfaces[0].port("coap"), staysHalfOpen: true)
            let first = try await login.signIn(on: slow)
            let second = try await login.signIn(on: cluster.connect(to: 1))
            #expect(try await first.peer.receivePastCSM().code == .abort)
            async let served = AnsweringDevice.serve(second.peer, saying: "second")
            await first.peer.close()
            for door in cluster.northbounds.indices {
                #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "second")
                #expect(try await cluster.status(of: "lamp", token: owner.token) == "online")
            }
            await second.peer.close()
            _ = try await served
        }
    }

    @Test("A northbound that remembers the pod before finds the new one with the first request, whatever the method")
    func staleRoute() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let old = AnsweringDevice.serve(device.peer, saying: "old")
            for door in cluster.northbounds.indices {
                #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "old")
            }
            let next = try await device.login.signIn(on: cluster.connect(to: 1))
            async let new = AnsweringDevice.serve(next.peer, saying: "new")
            for (door, method) in [(0, "POST"), (1, "GET"), (0, "DELETE"), (1, "POST")] {
                let answer = try await cluster.http(door).request(method, "/lamp/light", token: owner.token)
                #expect(answer.text == "new", "\(method): \(answer.status) \(answer.text)")
            }
            #expect(try await old.abort != nil)
            await next.peer.close()
            _ = try await new
        }
    }

    @Test("A new pod at the address of a dead one is not taken for it")
    func reusedAddress() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let old = AnsweringDevice.serve(device.peer, saying: "old")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "old")
            let dead = cluster.coapInterfaces[0]
            let port = try dead.port("pod")
            await cluster.kill(dead)
            _ = try await old

            let heir = try await cluster.startCoAPInterface(["POD_PORT": "\(port)"])
            try await heir.isReady()
            let stranger = try await cluster.owner("bob")
            let index = try #require(cluster.coapInterfaces.firstIndex { $0 === heir })
            let other = try await cluster.device("lock", of: stranger, at: index)
            async let others = AnsweringDevice.serve(other.peer, saying: "lock")
            let nobody = try await cluster.http(0).request(
                "POST", "/lamp/light", token: owner.token, headers: [("prefer", "wait=1")], body: "{}")
            #expect(nobody.status == 503, "\(nobody.status) \(nobody.text)")

            let back = try await device.login.signIn(on: cluster.connect(to: index))
            async let new = AnsweringDevice.serve(back.peer, saying: "new")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "new")
            #expect(try await cluster.http(1).get("/lock/light", token: stranger.token).text == "lock")
            for peer in [back.peer, other.peer] { await peer.close() }
            #expect(try await others.requests.count == 1)
            _ = try await new
        }
    }
}
