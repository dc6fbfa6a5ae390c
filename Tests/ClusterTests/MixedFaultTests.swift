import CoAP
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestServers
import TestSupport
import Testing

@Suite("Everything at once", .timeLimit(.minutes(3)))
struct MixedFaultTests {
    private static let devices = 20

    @Test("BI-86: 20 devices move about while pods die and freeze and Redis is emptied: every epoch keeps to its pod")
    func everything() async throws {
        let redis = try await RedisServer.start()
        let shape = RunningCluster.Shape(settings: ["LOG_LEVEL": "debug", "ACCESS_LOG": "off"], redis: redis)
        try await RunningCluster.with(shape) { cluster in
            let owner = try await cluster.owner("alice")
            var logins: [IssuedLogin] = []
            for number in 0..<Self.devices { logins.append(try await owner.signedUp("lamp-\(number)")) }
            let flag = Flag()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for login in logins { group.addTask { await Self.roam(login, in: cluster, until: flag) } }
                for lane in 0..<2 {
                    group.addTask {
                        while !flag.isSet {
                            let di = "lamp-\(Int.random(in: 0..<Self.devices))"
                            // Any answer will do: the judge reads what was delivered.
                            _ = try? await cluster.http(lane).request(
                                Bool.random() ? "POST" : "GET", "/\(di)/light", token: owner.token,
                                headers: [("prefer", "wait=1")])
                        }
                    }
                }
                defer { flag.set() }
                try await Self.faults(cluster, redis)
            }
            // And all is well afterwards.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for login in logins { group.addTask { try await Self.reach(login, in: cluster, token: owner.token) } }
                try await group.waitForAll()
            }
            let history = DeliveryHistory(cluster.podLogs)
            #expect(history.violations.isEmpty, "\(history.violations.prefix(5))")
            #expect(history.deliveries > 100)
            #expect(history.acknowledgements > 5)
        }
        await redis.stop()
    }

    private final class Flag: Sendable {
        private let value = Atomic(false)

        var isSet: Bool { self.value.load(ordering: .relaxed) }

        func set() {
            self.value.store(true, ordering: .relaxed)
        }
    }

    /// Signs in at any pod, again and again. Half of the sessions are still there when the next one begins.
    private static func roam(_ login: IssuedLogin, in cluster: RunningCluster, until flag: Flag) async {
        await withTaskGroup(of: Void.self) { group in
            var peers: [ScriptedPeer] = []
            while !flag.isSet {
                if let port = cluster.coapInterfaces.randomElement()?.ports["coap"],
                    let peer = try? await ScriptedPeer.connect(port: port)
                {
                    peers.append(peer)
                    group.addTask {
                        if (try? await login.signIn(on: peer)) != nil {
                            _ = try? await AnsweringDevice.serve(peer, saying: login.di)
                        }
                        await peer.close()
                    }
                }
                try? await Self.pass(.milliseconds(.random(in: 500...5000)))
                if Bool.random() { await peers.last?.close() }
            }
            for peer in peers { await peer.close() }
        }
    }

    /// Signs in once more, and is reached from everywhere.
    private static func reach(_ login: IssuedLogin, in cluster: RunningCluster, token: String) async throws {
        var session: ScriptedPeer?
        try await cluster.eventually("\(login.di) signs in", within: .seconds(30)) {
            let peer = try await cluster.connect()
            let answer = try await peer.ask(
                .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken))
            if answer.code == .changed { session = peer }
            return answer.code == .changed
        }
        guard let peer = session else { return }
        async let served = AnsweringDevice.serve(peer, saying: "after all")
        for door in cluster.northbounds.indices {
            try await cluster.eventually("\(login.di) is reached") {
                try await cluster.http(door).get("/\(login.di)/light", token: token).text == "after all"
            }
        }
        await peer.close()
        _ = try await served
    }

    /// A fault lasts: this is how long.
    private static func pass(_ time: TimeAmount) async throws {
        try await MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: time) {}.futureResult.get()
    }

    private static func faults(_ cluster: RunningCluster, _ redis: RedisServer) async throws {
        try await Self.pass(.seconds(2))
        _ = try await redis.command("FLUSHALL")
        try await Self.pass(.seconds(2))
        let frozen = cluster.coapInterfaces[0].process
        frozen.signal(SIGSTOP)
        try await Self.pass(.seconds(6))
        frozen.signal(SIGCONT)
        try await Self.pass(.seconds(2))
        let killed = cluster.coapInterfaces[1]
        try await cluster.startCoAPInterface().isReady()
        await cluster.kill(killed)
        try await Self.pass(.seconds(1))
        redis.pause()
        try await Self.pass(.seconds(2))
        redis.resume()
        try await Self.pass(.seconds(1))
        try await redis.restart()
        try await Self.pass(.seconds(3))
    }
}
