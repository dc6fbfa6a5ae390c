import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Redis in the way", .timeLimit(.minutes(5)))
struct RedisFaultTests {
    /// No reply begins like the first; the second promises more than anybody sends; the third is a reply to nothing.
    private static let garbage = ["\u{1}\u{2}nonsense\r\n", "*2147483647\r\n$9999999999999\r\n", "+surplus\r\n"]

    @Test("BI-68: garbage on the wire from Redis cuts that connection alone, and everything works on a new one")
    func garbage() async throws {
        let redis = try await RedisServer.start()
        let proxy = try await FaultyProxy.start(to: redis.port)
        let shape = RunningCluster.Shape(settings: ["CACHE_URI": "127.0.0.1:\(proxy.port)"], redis: redis)
        try await RunningCluster.with(shape) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            // Known once: while a northbound cannot ask Redis it serves what it remembers.
            for door in cluster.northbounds.indices {
                #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "lamp")
            }
            for (number, text) in Self.garbage.enumerated() {
                let before = proxy.connections
                proxy.inject(Array(text.utf8))
                for door in cluster.northbounds.indices {
                    #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "lamp")
                }
                try await cluster.eventually("new connections after garbage \(number)") {
                    proxy.connections >= before + cluster.running.count
                }
                let di = "lock-\(number)"
                let other = try await cluster.device(di, of: owner, at: 1)
                async let others = AnsweringDevice.serve(other.peer, saying: di)
                for door in cluster.northbounds.indices {
                    try await cluster.eventually("the route of \(di)") {
                        try await cluster.http(door).get("/\(di)/light", token: owner.token).text == di
                    }
                }
                await other.peer.close()
                _ = try await others
            }
            for process in cluster.running {
                try await cluster.eventually("\(process.name) has Redis again") {
                    try await process.admin.get("/readyz").status == 200
                }
            }
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
        await proxy.stop()
        await redis.stop()
    }

    @Test("Every connection to Redis is killed again and again under load: no request fails, no sign-in is refused")
    func clientKill() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let devices = [
                try await cluster.device("lamp", of: owner, at: 0), try await cluster.device("lock", of: owner, at: 1),
            ]
            let login = try await owner.signedUp("bell")
            async let lamp = AnsweringDevice.serve(devices[0].peer, saying: "lamp")
            async let lock = AnsweringDevice.serve(devices[1].peer, saying: "lock")
            // Known once; what is forgotten while Redis is away is another test's.
            for door in cluster.northbounds.indices {
                for di in ["lamp", "lock"] {
                    #expect(try await cluster.http(door).get("/\(di)/light", token: owner.token).text == di)
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        for _ in 0..<100 {
                            let di = lane % 2 == 0 ? "lamp" : "lock"
                            let answer = try await cluster.http(lane / 2).get("/\(di)/light", token: owner.token)
                            #expect(answer.text == di, "\(answer.status) \(answer.text)")
                        }
                    }
                }
                group.addTask {
                    for round in 0..<5 {
                        _ = try await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                        _ = try await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
                        let session = try await login.signIn(on: cluster.connect(to: round % 2))
                        await session.peer.close()
                    }
                }
                try await group.waitForAll()
            }
            for device in devices { await device.peer.close() }
            #expect(try await lamp.abort == nil)
            #expect(try await lock.abort == nil)
        }
        await redis.stop()
    }

    @Test("100 devices sign in while Redis stands still: each is in within 2 s, and reached once Redis goes on")
    func signInStorm() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            var logins: [IssuedLogin] = []
            for number in 0..<100 { logins.append(try await owner.signedUp("lamp-\(number)")) }
            redis.pause()
            let sessions = try await withThrowingTaskGroup(of: (SignedIn, Duration).self) { group in
                for (number, login) in logins.enumerated() {
                    group.addTask {
                        let peer = try await cluster.connect(to: number % 2)
                        let began = ContinuousClock.now
                        return (try await login.signIn(on: peer), began.duration(to: .now))
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            redis.resume()
            #expect(sessions.count == 100)
            let longest = try #require(sessions.map(\.1).max())
            #expect(longest < .seconds(2), "the device would repeat itself")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (session, _) in sessions {
                    group.addTask {
                        let end = try await AnsweringDevice.serve(session.peer, saying: session.di)
                        #expect(end.abort == nil, "\(session.di)")
                    }
                }
                for (session, _) in sessions {
                    try await cluster.eventually("\(session.di) is reached") {
                        try await cluster.http.get("/\(session.di)/light", token: owner.token).text == session.di
                    }
                }
                for (session, _) in sessions { await session.peer.close() }
                try await group.waitForAll()
            }
        }
        await redis.stop()
    }
}
