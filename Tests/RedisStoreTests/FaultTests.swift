import Cloud
import NIOCore
import NIOPosix
import Synchronization
import TestServers
import TestSupport
import Testing

@testable import RedisStore

/// Each with a server of its own, since it comes to harm.
@Suite("Redis in trouble")
struct FaultTests {
    private func withServer(
        _ variant: RedisServer.Variant = .plain, _ settings: [String] = [],
        _ body: (RedisServer) async throws -> Void
    ) async throws {
        let server = try await RedisServer.start(variant, settings)
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func ping(_ client: RedisClient) async -> Result<RedisValue, RedisError> {
        await client.ask(RedisCommand("ECHO", "here"), within: .seconds(30))
    }

    @Test("Restarted empty: another connection and another generation, and the lease is gone")
    func restartedEmpty() async throws {
        try await self.withServer { server in
            try await withRoutes(.redis, server: server) { bench in
                let client = try #require(bench.client)
                _ = try await bench.renew()
                let before = try await bench.renew()
                _ = try await bench.claim()
                let heard = Mutex(0)
                RedisNudge(client: client).listen(to: .changes) { heard.withLock { $0 += 1 } }
                try await eventually("subscribed") { heard.withLock { $0 } == 1 }
                await server.kill()
                try await eventually("noticed") { !client.isConnected }
                // At once, and not after a minute, which is how long this client waits for answers.
                let start = NIODeadline.now()
                await #expect(throws: RouteStoreUnavailable.self) { try await bench.find() }
                await #expect(throws: RouteStoreUnavailable.self) { try await bench.outcome("pod-1") }
                #expect(await bench.presence() == .unknown)
                #expect(NIODeadline.now() - start < .seconds(20))
                try await server.restart()
                try await eventually("back") { client.isConnected }
                let after = try await bench.renew()
                #expect(after.hadLapsed)
                #expect(after.connection > before.connection)
                #expect(after.generation != before.generation)
                #expect(try await bench.find() == nil)
                try await eventually("subscribed again") { heard.withLock { $0 } >= 2 }
                // Emptied without a word.
                try await server.command("FLUSHALL")
                let last = try await bench.renew()
                #expect(last.hadLapsed)
                #expect(last.connection == after.connection)
                #expect(last.generation != after.generation)
            }
        }
    }

    @Test("Stopped for 2 s: every call comes back in time, and later answers are not mixed up")
    func paused() async throws {
        try await self.withServer { server in
            try await withRedis(server) {
                $0.limits.stall = .milliseconds(500)
            } _: { client in
                let made = client.connection
                server.pause()
                let start = NIODeadline.now()
                let outcomes = await withTaskGroup(of: Bool.self) { group in
                    for index in 0..<100 {
                        group.addTask {
                            let answer = await client.ask(RedisCommand("ECHO", "\(index)"), within: .milliseconds(500))
                            // Late; or refused at once, if it was sent after the silence was noticed.
                            guard case .failure = answer else { return false }
                            return true
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(outcomes.allSatisfy { $0 })
                // The server stands still until it is told to go on below: nothing came from there.
                try await eventually("it is noticed") { !client.isConnected }
                // From now on at once.
                guard case .failure(.unavailable(let reason)) = await self.ping(client) else {
                    throw PeerError("a stopped server is asked")
                }
                #expect(reason.contains("has not answered"))
                try await eventually("2 s are over") { NIODeadline.now() - start > .seconds(2) }
                server.resume()
                try await eventually("it answers again") { client.isConnected }
                for index in 100..<200 {
                    let answer = await client.ask(RedisCommand("ECHO", "\(index)"), within: .seconds(60))
                    #expect(answer == .success(.bytes(Array("\(index)".utf8))))
                }
                #expect(client.connection == made)
            }
        }
    }

    @Test("A claim that the server reaches late changes nothing; without knowing its clock, the answer comes late")
    func lateClaims() async throws {
        try await self.withServer { server in
            try await withRoutes(.redis, server: server, limits: RedisLimits()) { bench in
                // Nothing is known of the server's clock yet.
                server.pause()
                async let unknowing = bench.claim("pod-1")
                try await Self.pass(.milliseconds(2000))
                server.resume()
                let answered = try await unknowing
                try await eventually("it is asked again") { bench.client?.isConnected == true }
                #expect(try await bench.find()?.route == answered.route)
                // That one was so long under way that it told little about the clock.
                let first = try await bench.claim("pod-1")

                server.pause()
                async let late = bench.outcome("pod-2")
                // Longer than the margin, what a slow first answer leaves open about the clock, and the limit together.
                try await Self.pass(.milliseconds(4000))
                server.resume()
                do {
                    _ = try await late
                    Issue.record("carried out")
                } catch is RouteStoreUnavailable {}
                try await eventually("it is asked again") { bench.client?.isConnected == true }
                #expect(try await bench.find()?.route == first.route)
                // The answer told the time.
                #expect(try await bench.claim("pod-2").displaced?.pod == first.route.pod)
            }
        }
    }

    private static func pass(_ time: TimeAmount) async throws {
        let end = NIODeadline.now() + time
        try await eventually("time passes") { NIODeadline.now() > end }
    }

    @Test("What the server's clock shows at most follows from what it showed last, whatever clock it goes by")
    func serverClock() {
        let asked = NIODeadline.uptimeNanoseconds(5_000_000_000)
        var clock = RedisServerClock()
        #expect(clock.latest(at: asked) == nil)
        clock.heard(Timestamp(milliseconds: 77_000), asked: asked)
        clock.heard(Timestamp(milliseconds: 10), asked: asked - .seconds(1))
        #expect(clock.latest(at: asked + .milliseconds(500)) == Timestamp(milliseconds: 78_500))
        #expect(clock.latest(at: asked + RedisServerClock.trust) == nil)
    }

    @Test("A wrong password is told with its setting, attempts go on, and the right one is taken")
    func password() async throws {
        try await self.withServer(.password("right")) { server in
            try await withRedis(server, connected: false) {
                $0.password = RedisPassword("wrong")
            } _: { client in
                try await eventually("refused: \(client.health)") { self.reason(client).contains("redis.password") }
                #expect(!self.reason(client).contains("wrong"))
                try await server.command("CONFIG", "SET", "requirepass", "wrong")
                try await eventually("it goes on trying") { client.isConnected }
            }
            try await withRedis(server, connected: false) { client in
                try await eventually("refused: \(client.health)") {
                    self.reason(client).contains("asks for a password")
                }
            }
        }
    }

    private func reason(_ client: RedisClient) -> String {
        guard case .unavailable(let reason) = client.health.state else { return "" }
        return reason
    }

    @Test("A user with the rights that docs/redis.md names can do everything, and nothing beyond")
    func user() async throws {
        let document = try DocumentTests.document()
        let line = try #require(document.split(separator: "\n").first { $0.hasPrefix("ACL SETUSER gateway") })
        let rules = line.split(separator: " ").map(String.init).dropFirst(3).filter { !$0.hasPrefix(">") && $0 != "on" }
        try await self.withServer(.user("gateway", password: "hush", rules: Array(rules))) { server in
            try await withRedis(server) {
                $0.username = "gateway"
                $0.password = RedisPassword("hush")
                $0.keyPrefix = "cg:"
            } _: { client in
                let store = RedisRouteStore(client: client)
                let bench = RouteBench(
                    clock: SteppedClock(), store: store, client: nil, di: DeviceID(stored: "lamp"))
                let (heard, continuation) = AsyncStream.makeStream(of: Route.self)
                store.listen(as: "edge-1") { continuation.yield($0) }
                let nudged = Mutex(0)
                let nudge = RedisNudge(client: client)
                nudge.listen(to: .changes) { nudged.withLock { $0 += 1 } }
                try await eventually("subscribed") { nudged.withLock { $0 } == 1 }
                try await bench.renew()
                #expect(try await bench.wait() == nil)
                let route = try await bench.claim().route
                var messages = heard.makeAsyncIterator()
                #expect(await messages.next() == route)
                #expect(await bench.presence() == .online(since: route.since))
                #expect(try await bench.assert("pod-1", route.epoch) == .ours(displaced: nil))
                nudge.nudge(.changes)
                try await eventually("nudged") { nudged.withLock { $0 } == 2 }
                let log = RedisEventLog(client: client)
                let event = OwnerEvent(kind: .tokenReuse, di: nil, at: Timestamp(milliseconds: 1), text: "x")
                log.append(event, of: bench.uid)
                #expect(try await log.events(of: bench.uid, after: nil, limit: 9).map(\.event) == [event])
                let cache = RedisTokenCache(client: client)
                let principal = Principal(kind: .user, uid: bench.uid, di: nil, expiresAt: nil)
                let entry = CachedPrincipal(principal: principal, sequence: 1)
                cache.keep(entry, for: SecretHash(of: "t"), lifetime: .seconds(9))
                #expect(await cache.find(SecretHash(of: "t")) == entry)
                let states = RedisStateStore(client: client)
                let resources = (0...StoredStateLimits.perDevice).map {
                    StoredResource(di: bench.di, path: ["\($0)"], queries: [])
                }
                let state = StoredState(
                    uid: bench.uid, payload: [1], contentFormat: nil, age: .zero,
                    order: StateOrder(epoch: 1, number: 1))
                for resource in resources {
                    #expect(
                        await withCheckedContinuation { done in
                            states.keep(state, of: resource) { done.resume(returning: $0) }
                        })
                }
                #expect(try await states.state(of: resources[StoredStateLimits.perDevice])?.payload == [1])
                states.forget(bench.di)
                #expect(try await states.state(of: resources[0]) == nil)
                #expect(client.health.evictionPolicy == "noeviction")
                for words in [["FLUSHALL"], ["KEYS", "*"], ["GET", "other"], ["CONFIG", "GET", "*"]] {
                    guard
                        case .failure(.answered(let text)) = await client.ask(RedisCommand(words), within: .seconds(60))
                    else { throw PeerError("\(words) is allowed") }
                    #expect(text.hasPrefix("NOPERM"))
                }
                store.drop(bench.di, pod: route.pod, epoch: route.epoch)
                store.resign(route.pod)
                #expect(try await bench.find() == nil)
            }
        }
    }

    @Test("Over TLS the server's name must be the certificate's, and its authority one of ours")
    func encryption() async throws {
        try await self.withServer(.tls(names: ["localhost"])) { server in
            let authority = server.certificateAuthority
            try await withRedis(server) {
                $0.host = "localhost"
                $0.encryption = .tls(authorities: authority)
            } _: { client in
                #expect(await client.ask(RedisCommand("ECHO", "x"), within: .seconds(60)) == .success(.bytes([120])))
                RedisNudge(client: client).listen(to: .changes) {}
                try await eventually("subscribed") { try await client.listeners("bus:changes") == 1 }
            }
            for (host, authorities) in [("127.0.0.1", authority), ("localhost", nil)] {
                try await withRedis(server, connected: false) {
                    $0.host = host
                    $0.encryption = .tls(authorities: authorities)
                } _: { client in
                    try await eventually("refused: \(client.health)") { self.reason(client).contains("TLS failed") }
                }
            }
            try await withRedis(server, connected: false) {
                $0.encryption = .tls(authorities: "/nowhere.pem")
            } _: { client in
                try await eventually("refused: \(client.health)") { self.reason(client).contains("redis.tls.ca") }
            }
        }
    }

    @Test("Every connection killed: both come back, and what is sent meanwhile fails")
    func killed() async throws {
        try await self.withServer { server in
            try await withRoutes(.redis, server: server) { bench in
                let client = try #require(bench.client)
                var heard = try await bench.listen().makeAsyncIterator()
                for round in 1...5 {
                    let made = client.connection
                    try await server.command("CLIENT", "KILL", "TYPE", "normal")
                    try await server.command("CLIENT", "KILL", "TYPE", "pubsub")
                    try await eventually("reconnected, round \(round)") {
                        client.connection > made && client.isConnected
                    }
                    try await eventually("listening again") { try await client.listeners("edge:edge-1") == 1 }
                    let one = bench.with("device-\(round)")
                    #expect(try await one.wait() == nil)
                    let route = try await one.claim().route
                    #expect(await heard.next() == route)
                }
            }
        }
    }

    @Test("A replica is not served from, and a master that becomes one is left")
    func replica() async throws {
        try await self.withServer { master in
            try await self.withServer { server in
                try await withRoutes(.redis, server: server) { bench in
                    let client = try #require(bench.client)
                    _ = try await bench.claim()
                    try await server.command("REPLICAOF", "127.0.0.1", "\(master.port)")
                    await #expect(throws: RouteStoreUnavailable.self) { try await bench.outcome("pod-1") }
                    try await eventually("refused: \(client.health)") { self.reason(client).contains("replica") }
                    try await server.command("REPLICAOF", "NO", "ONE")
                    try await eventually("master again") { client.isConnected }
                    _ = try await bench.claim()
                }
            }
        }
    }

    @Test("A server that evicts is used, and health says what to change")
    func eviction() async throws {
        try await self.withServer(.plain, ["--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"]) { server in
            try await withRedis(server) { client in
                #expect(client.health.state == .connected)
                #expect(client.health.evictionPolicy == "allkeys-lru")
                #expect(client.health.warning?.contains("noeviction") == true)
            }
        }
    }

    @Test("Out of memory without eviction: claims are unavailable, and nothing is lost that was there")
    func full() async throws {
        try await self.withServer { server in
            try await withRoutes(.redis, server: server) { bench in
                let route = try await bench.claim().route
                try await server.command("CONFIG", "SET", "maxmemory", "1")
                await #expect(throws: RouteStoreUnavailable.self) { try await bench.with("other").outcome("pod-1") }
                #expect(try await bench.find()?.route == route)
                try await server.command("CONFIG", "SET", "maxmemory", "0")
                _ = try await bench.with("other").claim()
            }
        }
    }

    @Test("Scripts that the server forgot are sent again")
    func scriptFlush() async throws {
        try await self.withServer { server in
            try await withRoutes(.redis, server: server) { bench in
                _ = try await bench.claim()
                try await server.command("SCRIPT", "FLUSH")
                _ = try await bench.claim()
                #expect(try await bench.find() != nil)
            }
        }
    }

    @Test("Where keys are spread over servers, each script still has all its keys on one")
    func cluster() async throws {
        let bus = try ServerProcess.freePort()
        try await self.withServer(.plain, ["--cluster-enabled", "yes", "--cluster-port", "\(bus)"]) { server in
            try await server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            try await eventually("serving") { try await server.command("CLUSTER", "INFO").contains("state:ok") }
            try await withRoutes(.redis, server: server) { bench in
                for id in ["lamp", "}", "{", "a{b}c", "}{", "{}x", "é"] {
                    let bench = bench.with(id)
                    try await bench.renew(id)
                    #expect(try await bench.wait() == nil)
                    let route = try await bench.claim(id).route
                    #expect(try await bench.assert(id, route.epoch) == .ours(displaced: nil))
                    bench.store.mark(bench.di, pod: route.pod, epoch: route.epoch, as: .moving)
                    #expect(try await bench.find()?.route.state == .moving)
                    bench.store.drop(bench.di, pod: route.pod, epoch: route.epoch)
                    #expect(try await bench.find() == nil)
                }
            }
        }
    }
}
