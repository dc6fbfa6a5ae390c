import CBOR
import CoAP
import TestServers
import TestSupport
import Testing

@Suite("What is deleted in a cluster is gone everywhere", .timeLimit(.minutes(10)))
struct DeletionTests {
    /// What Redis does while things are deleted.
    enum Weather: Sendable, CaseIterable {
        case fine, paused, down
    }

    /// A session ends within two seconds; the machine may be busy.
    private static let bound = Duration.seconds(10)
    private static let (lampToken, lockToken) = (Token(eightBytes: 1), Token(eightBytes: 2))

    /// Two owners with devices and clients on both pods, and who observes what.
    private struct House: Sendable {
        let cluster: RunningCluster
        let weather: Weather
        let alice: Owner
        let bob: Owner
        /// Alice's: lamp and lock at the first pod, bell at the second.
        let lamp: SignedIn
        let lock: SignedIn
        let bell: SignedIn
        /// Observes lamp and lock from the second pod.
        let phone: SignedIn
        /// Looks at the links.
        let tablet: SignedIn
        /// Bob's.
        let safe: SignedIn
        let watch: SignedIn
        /// Alice observes the bell over HTTP; the phone and Bob read events.
        let streams: [EventReader]

        init(_ cluster: RunningCluster, _ weather: Weather) async throws {
            (self.cluster, self.weather) = (cluster, weather)
            let alice = try await cluster.owner("alice")
            let bob = try await cluster.owner("bob")
            (self.alice, self.bob) = (alice, bob)
            self.lamp = try await cluster.device("lamp", of: alice, at: 0)
            self.lock = try await cluster.device("lock", of: alice, at: 0)
            self.bell = try await cluster.device("bell", of: alice, at: 1)
            self.safe = try await cluster.device("safe", of: bob, at: 0)
            for device in [self.lamp, self.lock, self.bell, self.safe] { try await device.publish("/light") }
            self.phone = try await Self.client("phone", of: alice, at: 1, in: cluster)
            self.tablet = try await Self.client("tablet", of: alice, at: 0, in: cluster)
            self.watch = try await Self.client("watch", of: bob, at: 1, in: cluster)
            for (device, token) in [(self.lamp, lampToken), (self.lock, lockToken)] {
                try await self.phone.peer.register("\(device.di)/light", token: token)
                try await device.peer.notify(try await device.peer.receiveGet("light", observe: 0), "on")
                try await self.phone.peer.receiveNotification("on", token: token)
            }
            async let opening = EventReader.open(try cluster.http(0), "/bell/light", token: alice.token)
            let bell = self.bell.peer
            try await bell.notify(try await bell.receiveGet("light", observe: 0), "on")
            self.streams = [
                try await opening,
                try await EventReader.open(try cluster.http(0), "/events", token: self.phone.login.accessToken),
                try await EventReader.open(try cluster.http(1), "/events", token: bob.token),
            ]
            #expect(try await self.streams[0].next().name == "notification")
            for stream in self.streams[1...] { #expect(try await stream.next().name == "ready") }
        }

        private static func client(
            _ di: String, of owner: Owner, at index: Int, in cluster: RunningCluster
        ) async throws -> SignedIn {
            let login = try await owner.signUp(di, code: cluster.clientCode(di, mediator: owner.mediator))
            return try await login.signIn(on: cluster.connect(to: index))
        }

        /// No door knows a device any more, and nobody is shown its links.
        func isGone(_ di: String) async throws {
            for door in self.cluster.northbounds.indices {
                let http = try self.cluster.http(door)
                let shown = try await http.get("/devices/\(di)", token: self.alice.token)
                #expect(shown.status == 404, "\(shown.status) \(shown.text)")
                // Where routes cannot be looked up the registry is not asked about every request instead.
                let statuses = self.weather == .fine ? [404] : [404, 503]
                let asked = try await http.get("/\(di)/light", token: self.alice.token)
                #expect(statuses.contains(asked.status), "\(asked.status) \(asked.text)")
                let links = try await http.get("/oic/res", token: self.alice.token)
                #expect(links.status == 200 && !links.text.contains("/\(di)/"), "\(links.status) \(links.text)")
            }
            #expect(try await !self.tablet.discover().contains("/\(di)/light"))
        }

        /// No door takes this token any more.
        func isRefused(_ token: String) async throws {
            for door in self.cluster.northbounds.indices {
                let answer = try await self.cluster.http(door).get("/devices", token: token)
                #expect(answer.status == 401, "\(answer.status) \(answer.text)")
            }
        }
    }

    /// Deletes, and expects the sessions to end soon after.
    private static func end(_ peers: [ScriptedPeer], by delete: () async throws -> Void) async throws {
        try await delete()
        let began = ContinuousClock.now
        for peer in peers { try await peer.receiveAbort() }
        let took = began.duration(to: .now)
        #expect(took < Self.bound, "\(took)")
    }

    /// The stream says why it ends.
    private static func end(_ stream: EventReader, status: Int) async throws {
        var event = try await stream.next()
        // What happened to devices before the right was taken away.
        while event.name.contains(".") { event = try await stream.next() }
        #expect(event.name == "end" && event.data.contains("\"status\":\(status),"), "\(event)")
        try await stream.receiveEnd()
    }

    @Test(
        "Devices, clients and users, over HTTP and CoAP: sessions, observations, streams and links end, tokens too",
        arguments: Weather.allCases)
    func everything(_ weather: Weather) async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let house = try await House(cluster, weather)
            switch weather {
            case .fine: break
            case .paused: redis.pause()
            case .down: await redis.kill()
            }
            try await Self.devices(house)
            try await Self.people(house)
            // Who was not meant goes on.
            #expect(try await house.tablet.peer.ask(.ocf(.get, "oic/res")).code == .content)
            if weather == .paused { redis.resume() }
        }
        await redis.stop()
    }

    private static func devices(_ house: House) async throws {
        try await Self.end([house.lamp.peer]) {
            let answer = try await house.cluster.http(0).request("DELETE", "/devices/lamp", token: house.alice.token)
            #expect(answer.status == 204)
        }
        try await house.phone.peer.receiveEnd(.serviceUnavailable, token: Self.lampToken)
        try await house.isGone("lamp")

        // On its own connection, which it keeps.
        try await house.lock.peer.start(.ocf(.delete, "oic/sec/account"))
        var answer = try await house.lock.peer.receivePastCSM()
        // It may be told first that nobody observes it any more.
        if answer.code == .get {
            #expect(answer.options.observe == 1)
            answer = try await house.lock.peer.receivePastCSM()
        }
        #expect(answer.code == .deleted)
        #expect(try await house.lock.peer.ask(.ocf(.get, "oic/res")).code == .unauthorized)
        try await house.phone.peer.receiveEnd(.serviceUnavailable, token: Self.lockToken)
        try await house.isGone("lock")

        // On another connection, at another pod.
        let bell = house.bell
        try await Self.end([bell.peer]) {
            let queries = ["di=bell", "accesstoken=\(bell.login.accessToken)"]
            let answer = try await house.cluster.connect(to: 0).ask(
                .ocf(.delete, "oic/sec/account", queries: queries))
            #expect(answer.code == .deleted)
        }
        try await Self.end(house.streams[0], status: 503)
        try await house.isGone("bell")
        for device in [house.lamp, bell] {
            let answer = try await house.cluster.connect(to: 1).ask(
                .signIn(uid: device.uid, di: device.di, accessToken: device.login.accessToken))
            #expect(answer.code == .unauthorized)
        }
    }

    private static func people(_ house: House) async throws {
        try await Self.end([house.phone.peer]) {
            let answer = try await house.cluster.http(1).request("DELETE", "/clients/phone", token: house.alice.token)
            #expect(answer.status == 204)
        }
        try await Self.end(house.streams[1], status: 401)
        try await house.isRefused(house.phone.login.accessToken)

        try await Self.end([house.safe.peer, house.watch.peer]) {
            let answer = try await house.cluster.http(0).request("DELETE", "/users/bob", token: house.bob.token)
            #expect(answer.status == 204)
        }
        try await Self.end(house.streams[2], status: 401)
        for token in [house.bob.token, house.watch.login.accessToken] { try await house.isRefused(token) }
    }
}
