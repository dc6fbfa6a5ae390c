import CBOR
import CoAP
import TestServers
import TestSupport
import Testing

@Suite("What devices last said, in a cluster", .timeLimit(.minutes(5)))
struct StoredStateTests {
    private static func light(_ state: String) -> Response {
        var response = Response(.content, payload: DataItem.map(["state": .text(state)]).encoded())
        response.options.contentFormat = .ocfCBOR
        response.options.observe = 0
        return response
    }

    /// Every northbound says so: a status, or the state.
    private static func expect(_ wanted: String, _ cluster: RunningCluster, _ owner: Owner) async throws {
        for door in cluster.northbounds.indices {
            let http = try cluster.http(door)
            try await cluster.eventually("\(wanted) at northbound \(door + 1)") {
                let answer = try await http.get("/lamp/light?stored=true", token: owner.token)
                return answer.status == 200 ? answer.text == #"{"state":"\#(wanted)"}"# : wanted == "\(answer.status)"
            }
        }
    }

    private static func age(_ cluster: RunningCluster, _ owner: Owner) async throws -> Int {
        let answer = try await cluster.http.request(
            "GET", "/lamp/light", token: owner.token, headers: [("Cache-Control", "only-if-cached")])
        guard let age = answer.headers.first(where: { $0.0.lowercased() == "age" }).flatMap({ Int($0.1) }) else {
            throw PeerError("no age: \(answer.status) \(answer.headers)")
        }
        return age
    }

    /// How the states come about.
    enum Mode: String, Sendable, CaseIterable {
        case observe, passive
    }

    /// The device is registered for its light, by the gateway or by a client at the other pod.
    private static func registration(
        _ mode: Mode, _ cluster: RunningCluster, _ owner: Owner, _ lamp: SignedIn
    ) async throws -> Message {
        switch mode {
        case .observe:
            try await lamp.publish("/light")
        case .passive:
            let phone = try await owner.signUp(
                "phone", code: cluster.clientCode("phone", mediator: owner.mediator))
            let peer = try await phone.signIn(on: cluster.connect(to: 1)).peer
            try await peer.register("lamp/light", token: Token(eightBytes: 7))
        }
        return try await lamp.peer.receiveGet("light", observe: 0)
    }

    @Test(
        "A pod is killed: every northbound shows what its device said, and its age, until it says more at another pod",
        arguments: Mode.allCases)
    func outlives(_ mode: Mode) async throws {
        try await RunningCluster.with(.init(settings: ["STORED_STATE": mode.rawValue])) { cluster in
            let owner = try await cluster.owner("alice")
            let stranger = try await cluster.owner("bob")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let registration = try await Self.registration(mode, cluster, owner, lamp)
            try await lamp.peer.answer(registration, Self.light("off"))
            try await lamp.peer.answer(registration, Self.light("on"))
            try await Self.expect("on", cluster, owner)
            await cluster.kill(cluster.coapInterfaces[0])
            try await Self.expect("on", cluster, owner)
            #expect(try await cluster.http.get("/lamp/light?stored=true", token: stranger.token).status == 403)
            try await cluster.eventually("it grows older") { try await Self.age(cluster, owner) >= 2 }

            // Back at the other pod, which the client of the passive mode has observed it through all the time.
            let back = try await lamp.login.signIn(on: cluster.connect(to: 0)).peer
            try await back.answer(try await back.receiveGet("light", observe: 0), Self.light("dim"))
            try await Self.expect("dim", cluster, owner)
            #expect(try await Self.age(cluster, owner) < 60)
            await back.close()
            try await Self.expect("dim", cluster, owner)

            #expect(try await cluster.http.request("DELETE", "/devices/lamp", token: owner.token).status == 204)
            try await Self.expect("404", cluster, owner)
            try await cluster.eventually("nothing of it is in Redis") {
                try await cluster.redis.command("EXISTS", "cg:state:{lamp}").hasPrefix("0")
            }
            // Who has the id next sees nothing of it either.
            _ = try await cluster.device("lamp", of: stranger, at: 0)
            try await Self.expect("504", cluster, stranger)
            try await Self.expect("403", cluster, owner)
        }
    }

    @Test("Redis is emptied: what connected devices said is there again without asking them, and goes on")
    func emptied() async throws {
        try await RunningCluster.with(.init(settings: ["STORED_STATE": "observe"])) { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let registration = try await Self.registration(.observe, cluster, owner, lamp)
            try await lamp.peer.answer(registration, Self.light("on"))
            try await Self.expect("on", cluster, owner)
            try await cluster.redis.command("FLUSHALL")
            try await Self.expect("504", cluster, owner)
            try await Self.expect("on", cluster, owner)
            try await lamp.peer.expectSilence()
            try await lamp.peer.answer(registration, Self.light("off"))
            try await Self.expect("off", cluster, owner)
            await lamp.peer.close()
            // Of a device that is not connected nobody knows what it said.
            try await cluster.redis.command("FLUSHALL")
            try await Self.expect("504", cluster, owner)
        }
    }

    @Test("Redis stands still: devices are served as ever, states are 503, and the newest is there afterwards")
    func standsStill() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(settings: ["STORED_STATE": "observe"], redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let registration = try await Self.registration(.observe, cluster, owner, lamp)
            try await lamp.peer.answer(registration, Self.light("on"))
            try await Self.expect("on", cluster, owner)
            redis.pause()
            try await lamp.peer.answer(registration, Self.light("off"))
            try await Self.expect("503", cluster, owner)
            // A sign-in does not wait for it longer than it does without states.
            let before = ContinuousClock.now
            let fan = try await cluster.device("fan", of: owner, at: 0)
            #expect(ContinuousClock.now - before < .seconds(5))
            try await fan.peer.expectSilence()
            // It says so, and leaves.
            await lamp.peer.close()
            redis.resume()
            try await Self.expect("off", cluster, owner)
        }
        await redis.stop()
    }

    @Test("Who has the name of a deleted user does not see what that one's devices said, though Redis still has it")
    func reusedName() async throws {
        try await RunningCluster.with(.init(settings: ["STORED_STATE": "observe"])) { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let registration = try await Self.registration(.observe, cluster, owner, lamp)
            try await lamp.peer.answer(registration, Self.light("on"))
            try await Self.expect("on", cluster, owner)
            await lamp.peer.close()
            try await cluster.eventually("the lamp is offline") {
                try await cluster.status(of: "lamp", token: owner.token) == "offline"
            }
            let deletion = try await cluster.http.request("DELETE", "/users/alice", token: owner.token)
            #expect(deletion.status == 204)
            let next = try await cluster.owner("alice")
            _ = try await cluster.device("lamp", of: next, at: 0)
            try await Self.expect("504", cluster, next)
            #expect(try await cluster.redis.command("EXISTS", "cg:state:{lamp}").hasPrefix("1"))
        }
    }
}
