import CoAP
import TestServers
import TestSupport
import Testing

@Suite("An owner's events in a cluster", .timeLimit(.minutes(5)))
struct EventStreamTests {
    /// More than the northbound reads from the log at a time.
    private static let many = 120

    /// A device signs in, publishes `count` times and signs out; the witness hears of each of the three before the next
    /// begins, since the events come from different programs.
    private static func story(
        _ login: IssuedLogin, at index: Int, publishing count: Int, in cluster: RunningCluster,
        heardBy witness: EventReader
    ) async throws -> [EventReader.Event] {
        var events: [EventReader.Event] = []
        func hear(_ name: String, _ count: Int = 1) async throws {
            for event in try await witness.next(count) {
                #expect(event.name == name)
                #expect(event.data.contains("\"di\":\"\(login.di)\""), "\(event.data)")
                events.append(event)
            }
        }
        let device = try await login.signIn(on: cluster.connect(to: index))
        try await hear("device.signed-in")
        // A link that is published again as it is would be no news.
        for number in 0..<count { try await device.publish("/\(device.peer.localPort)-\(number)") }
        try await hear("links.published", count)
        let signOut = Request.signIn(uid: login.uid, di: login.di, accessToken: login.accessToken, login: false)
        #expect(try await device.peer.ask(signOut).code == .changed)
        try await hear("device.signed-out")
        return events
    }

    @Test("Half read from one northbound that is killed, resumed at the other by Last-Event-ID: no gap, no double")
    func resumed() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await owner.signedUp("lamp")
            let lock = try await owner.signedUp("lock")
            let first = try await EventReader.open(try cluster.http(0), "/events", token: owner.token)
            let witness = try await EventReader.open(try cluster.http(1), "/events", token: owner.token)
            for reader in [first, witness] { #expect(try await reader.next().name == "ready") }
            var told = try await Self.story(lamp, at: 0, publishing: 5, in: cluster, heardBy: witness)
            // Half of what was told by now.
            let half = try await first.next(told.count / 2)
            #expect(half == Array(told.prefix(half.count)))

            await cluster.kill(cluster.northbounds[0])
            told += try await Self.story(lock, at: 1, publishing: Self.many, in: cluster, heardBy: witness)
            told += try await Self.story(lamp, at: 1, publishing: 1, in: cluster, heardBy: witness)
            let place = try #require(half.last?.id)
            let second = try await EventReader.open(try cluster.http(0), "/events", token: owner.token, after: place)
            let ready = try await second.next()
            #expect(ready.name == "ready" && ready.id == place, "\(ready)")
            #expect(try await second.next(told.count - half.count) == Array(told.dropFirst(half.count)))
            // And goes on.
            let live = try await Self.story(lock, at: 0, publishing: 1, in: cluster, heardBy: witness)
            #expect(try await second.next(live.count) == live)
            let all = told + live
            #expect(Set(all.map(\.id)).count == all.count)
            for reader in [first, second, witness] { await reader.close() }
        }
    }

    @Test("A log that was trimmed behind the reader, or emptied, is told by one gap, and all that is left is told")
    func gaps() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await owner.signedUp("lamp")
            let witness = try await EventReader.open(try cluster.http(1), "/events", token: owner.token)
            #expect(try await witness.next().name == "ready")
            let told = try await Self.story(lamp, at: 0, publishing: 5, in: cluster, heardBy: witness)
            let place = try #require(told.first?.id)
            let names = try await redis.command("--scan", "--pattern", "*events:*").split(separator: "\n")
            try #require(names.count == 1, "\(names)")
            let key = String(names[0])

            _ = try await redis.command("XTRIM", key, "MAXLEN", "3")
            var reader = try await EventReader.open(try cluster.http(0), "/events", token: owner.token, after: place)
            #expect(try await reader.next().name == "ready")
            let gap = try await reader.next()
            #expect(gap.name == "gap")
            #expect(try await reader.next(3) == told.suffix(3))
            // Who comes again from the gap on has not lost anything more.
            let again = try await EventReader.open(try cluster.http(1), "/events", token: owner.token, after: gap.id)
            #expect(try await again.next().name == "ready")
            #expect(try await again.next(3) == told.suffix(3))
            for reader in [reader, again] { await reader.close() }

            _ = try await redis.command("DEL", key)
            // One who reads all the time is told by the next look at the log.
            #expect(try await witness.next().name == "gap")
            let after = try await Self.story(lamp, at: 1, publishing: 1, in: cluster, heardBy: witness)
            let last = try #require(told.last?.id)
            reader = try await EventReader.open(try cluster.http(0), "/events", token: owner.token, after: last)
            #expect(try await reader.next().name == "ready")
            #expect(try await reader.next().name == "gap")
            #expect(try await reader.next(after.count) == after)
            for reader in [reader, witness] { await reader.close() }
        }
        await redis.stop()
    }

    @Test("What happened while Redis stood still is told when it is back: as events, or as a gap, never not at all")
    func redisPaused() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await owner.signedUp("lamp")
            let reader = try await EventReader.open(try cluster.http(0), "/events", token: owner.token)
            #expect(try await reader.next().name == "ready")
            let device = try await lamp.signIn(on: cluster.connect(to: 0))
            let place = try await reader.next()
            #expect(place.name == "device.signed-in")
            redis.pause()
            try await cluster.eventually("the pod has noticed") {
                try await cluster.coapInterfaces[0].metric("redis_connected") == "0"
            }
            // Nothing is sent to Redis now, so both are lost.
            let signOut = Request.signIn(uid: lamp.uid, di: lamp.di, accessToken: lamp.accessToken, login: false)
            #expect(try await device.peer.ask(signOut).code == .changed)
            redis.resume()
            let gap = try await reader.next()
            #expect(gap.name == "gap", "\(gap)")
            #expect(try await cluster.northbounds[0].metric("http_streams_gaps_total") == "1")
            _ = try await lamp.signIn(on: cluster.connect(to: 1))
            #expect(try await reader.next().name == "device.signed-in")
            // The other northbound tells the same to who comes again from before, and nothing of it from behind.
            for (id, names) in [
                (place.id, ["ready", "gap", "device.signed-in"]), (gap.id, ["ready", "device.signed-in"]),
            ] {
                let again = try await EventReader.open(
                    try cluster.http(1), "/events", token: owner.token, after: id)
                #expect(try await again.next(names.count).map(\.name) == names)
                await again.close()
            }
            await reader.close()
        }
        await redis.stop()
    }
}
