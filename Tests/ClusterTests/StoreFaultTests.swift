import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Stores that fail", .timeLimit(.minutes(5)))
struct StoreFaultTests {
    @Test("Redis restarts empty: sessions and requests go on, sign-ins succeed meanwhile, and every route heals")
    func emptiedRedis() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let first = try await cluster.device("lamp", of: owner, at: 0)
            let login = try await owner.signedUp("lock")
            async let served = AnsweringDevice.serve(first.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            await redis.kill()

            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            let second = try await login.signIn(on: cluster.connect(to: 1))
            async let others = AnsweringDevice.serve(second.peer, saying: "lock")
            let unknown = try await cluster.http(1).get("/lock/light", token: owner.token)
            #expect(unknown.status == 503 && unknown["retry-after"] != nil, "\(unknown.status) \(unknown.text)")
            #expect(try await cluster.status(of: "lamp", token: owner.token) == "unknown")

            try await redis.restart()
            // One that remembers nothing.
            let door = try await cluster.startNorthbound()
            try await door.isReady()
            for name in ["lamp", "lock"] {
                try await cluster.eventually("the route of \(name) is back") {
                    try await cluster.http(2).get("/\(name)/light", token: owner.token).text == name
                }
                try await cluster.eventually("\(name) is online") {
                    try await cluster.status(of: name, token: owner.token) == "online"
                }
            }
            for peer in [first.peer, second.peer] { await peer.close() }
            #expect(try await served.abort == nil)
            #expect(try await others.abort == nil)
        }
        await redis.stop()
    }

    @Test("Redis stalls for 2 s: a sign-in is answered within 1 s, requests go on, nobody is cut off")
    func stalledRedis() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let login = try await owner.signedUp("lock")
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            redis.pause()
            let began = ContinuousClock.now
            let second = try await login.signIn(on: cluster.connect(to: 1))
            #expect(began.duration(to: .now) < .seconds(1.5))
            while began.duration(to: .now) < .seconds(2) {
                #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            }
            redis.resume()
            async let others = AnsweringDevice.serve(second.peer, saying: "lock")
            for door in cluster.northbounds.indices {
                try await cluster.eventually("the route of the second device") {
                    try await cluster.http(door).get("/lock/light", token: owner.token).text == "lock"
                }
            }
            for peer in [device.peer, second.peer] { await peer.close() }
            #expect(try await served.abort == nil)
            #expect(try await others.abort == nil)
        }
        await redis.stop()
    }

    @Test("BI-68: a wrong Redis password is named with its setting, devices sign in all the same, HTTP gets 503")
    func wrongPassword() async throws {
        let redis = try await RedisServer.start(.password("right"))
        let shape = RunningCluster.Shape(
            settings: ["CACHE_PASSWORD": "wrong-password-of-nobody"], redis: redis, isAwaited: false)
        try await RunningCluster.with(shape) { cluster in
            try await cluster.registry.isReady()
            let owner = try await cluster.owner("alice")
            _ = try await cluster.device("lamp", of: owner, at: 0)
            let answer = try await cluster.http(0).get("/lamp/light", token: owner.token)
            #expect(answer.status == 503 && answer["retry-after"] != nil, "\(answer.status) \(answer.text)")
            for process in cluster.coapInterfaces + cluster.northbounds {
                try await cluster.eventually("\(process.name) says which setting is wrong") {
                    process.log.contains { $0.contains("CACHE_PASSWORD") }
                }
                #expect(!process.log.contains { $0.contains("wrong-password-of-nobody") })
            }
        }
        await redis.stop()
    }

    @Test("MySQL is killed and restarted: requests go on, sign-ups get 5.03, nothing acknowledged is lost")
    func killedMySQL() async throws {
        let database = try await MariaDBServer()
        try await RunningCluster.with(.init(database: database)) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")

            // Codes are provisioned all the while; whoever got one must be able to sign up with it afterwards.
            async let provisioned = withTaskGroup(of: (String, String)?.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let di = "lamp-\(number)"
                        return (try? await cluster.deviceCode(di, mediator: owner.mediator)).map { (di, $0) }
                    }
                }
                return await group.reduce(into: [(String, String)]()) { if let pair = $1 { $0.append(pair) } }
            }
            _ = try await cluster.deviceCode("first", mediator: owner.mediator)
            await database.kill()
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            let peer = try await cluster.connect(to: 1)
            let refused = try await peer.ask(.signUp(di: "lock", code: "no-code"))
            #expect(refused.code == .serviceUnavailable && refused.options.maxAge != nil, "\(refused.code)")
            let failed = try await cluster.http(1).post(
                "/register/user", "{\"uid\": \"late\", \"authprovider\": \"github\"}")
            #expect(failed.status == 503 && failed["retry-after"] != nil, "\(failed.status) \(failed.text)")

            try await database.restart()
            for (di, code) in await provisioned {
                let peer = try await cluster.connect(to: 0)
                try await cluster.eventually("the acknowledged code of \(di) is good") {
                    let answer = try await peer.ask(.signUp(di: di, code: code))
                    guard answer.code == .changed || answer.code == .serviceUnavailable else {
                        throw PeerError("the code of \(di) was acknowledged, and now \(answer.code) \(answer.text)")
                    }
                    return answer.code == .changed
                }
                await peer.close()
            }
            try await cluster.eventually("another device is provisioned and signs in") {
                guard let lock = try? await owner.device("lock") else { return false }
                await lock.peer.close()
                return true
            }
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
        await database.stop()
    }

    @Test("MySQL stalls for 5 s: sign-ins that need it get 5.03, cached ones succeed, and all works afterwards")
    func stalledMySQL() async throws {
        let database = try await MariaDBServer()
        try await RunningCluster.with(.init(database: database)) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let login = try await owner.signedUp("lock")
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            database.pause()
            let began = ContinuousClock.now
            let answer = try await cluster.connect(to: 1).ask(
                .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken))
            #expect(answer.code == .serviceUnavailable, "BI-43: never 4.01")
            while began.duration(to: .now) < .seconds(5) {
                #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            }
            database.resume()
            try await cluster.eventually("the sign-in is taken", within: .seconds(30)) {
                try await cluster.connect(to: 1).ask(
                    .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken)
                ).code == .changed
            }
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
        await database.stop()
    }

    @Test("The registry restarts: sessions and requests go on, a known device signs in, a refresh gets 5.03")
    func registryRestart() async throws {
        try await RunningCluster.with(.init(settings: ["DEVICE_TOKEN_LIFETIME": "permanent"])) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            let registry = try cluster.registry
            await cluster.kill(registry)

            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            let next = try await device.login.signIn(on: cluster.connect(to: 1))
            #expect(try await served.abort != nil, "the newer sign-in won, without any registry")
            async let others = AnsweringDevice.serve(next.peer, saying: "again")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "again")
            let refused = try await cluster.connect(to: 0).ask(
                .refresh(uid: device.uid, di: "lamp", refreshToken: device.login.refreshToken))
            #expect(refused.code == .serviceUnavailable && refused.options.maxAge != nil, "\(refused.code)")
            let closed = try await cluster.http(1).post(
                "/register/user", "{\"uid\": \"bob\", \"authprovider\": \"github\"}")
            #expect(closed.status == 503 && closed["retry-after"] != nil)

            try await cluster.startRegistry()
            try await cluster.eventually("the registry answers again") {
                (try? await cluster.register("carol")) != nil
            }
            await next.peer.close()
            #expect(try await others.abort == nil)
        }
    }

    @Test("Both stores down: live sessions are served, new ones get 5.03, and the programs are degraded and alive")
    func bothDown() async throws {
        let redis = try await RedisServer.start()
        let database = try await MariaDBServer()
        try await RunningCluster.with(.init(database: database, redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let login = try await owner.signedUp("lock")
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            await redis.kill()
            await database.kill()
            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            let answer = try await cluster.connect(to: 1).ask(
                .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken))
            #expect(answer.code == .serviceUnavailable)
            for process in cluster.running {
                #expect(try await process.admin.get("/livez").status == 200)
            }
            try await redis.restart()
            try await database.restart()
            for process in cluster.running { try await process.isReady() }
            try await cluster.eventually("the other device gets in") {
                try await cluster.connect(to: 1).ask(
                    .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken)
                ).code == .changed
            }
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
        await redis.stop()
        await database.stop()
    }
}
