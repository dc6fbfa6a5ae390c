import CBOR
import CoAP
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Observing a device across pods", .timeLimit(.minutes(5)))
struct ObserveTests {
    private static let token = Token(eightBytes: 0x1122_3344_5566_7788)

    /// A client of this owner, signed up and signed in at one coap-interface.
    private static func client(_ di: String, of owner: Owner, at index: Int, in cluster: RunningCluster) async throws
        -> ScriptedPeer
    {
        let code = try await cluster.clientCode(di, mediator: owner.mediator)
        let login = try await owner.signUp(di, code: code)
        return try await login.signIn(on: cluster.connect(to: index)).peer
    }

    @Test("A device gone and back mid-observe, on the other pod: its observers learn what changed, and nothing else")
    func moves() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let phone = try await Self.client("phone", of: owner, at: 1, in: cluster)
            let tablet = try await Self.client("tablet", of: owner, at: 0, in: cluster)
            try await phone.register("lamp/light", token: Self.token)
            let upstream = try await lamp.peer.receiveGet("light", observe: 0)
            try await lamp.peer.notify(upstream, "on")
            try await phone.receiveNotification("on", token: Self.token)
            try await tablet.register("lamp/light", token: Self.token)
            try await tablet.receiveNotification("on", token: Self.token)
            try await lamp.peer.notify(upstream, "off")
            for peer in [phone, tablet] { try await peer.receiveNotification("off", token: Self.token) }

            // Takes its own session over from the other pod, and says what it said before: nobody is told that.
            let second = try await lamp.login.signIn(on: cluster.connect(to: 1)).peer
            try await lamp.peer.receiveAbort()
            let again = try await second.receiveGet("light", observe: 0)
            try await second.notify(again, "off")
            try await second.notify(again, "on")
            for peer in [phone, tablet] { try await peer.receiveNotification("on", token: Self.token) }

            // Is gone, and comes back where it was, with news.
            await second.close()
            let third = try await lamp.login.signIn(on: cluster.connect(to: 0)).peer
            try await third.notify(try await third.receiveGet("light", observe: 0), "dim")
            for peer in [phone, tablet] { try await peer.receiveNotification("dim", token: Self.token) }
            for peer in [phone, tablet] { try await peer.expectSilence() }
        }
    }

    @Test("A device whose pod dies is observed at the next pod it signs in at")
    func podDies() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let phone = try await Self.client("phone", of: owner, at: 1, in: cluster)
            try await phone.register("lamp/light", token: Self.token)
            try await lamp.peer.notify(try await lamp.peer.receiveGet("light", observe: 0), "on")
            try await phone.receiveNotification("on", token: Self.token)
            await cluster.kill(cluster.coapInterfaces[0])
            let back = try await lamp.login.signIn(on: cluster.connect(to: 0)).peer
            let again = try await back.receiveGet("light", observe: 0)
            try await back.notify(again, "on")
            try await back.notify(again, "off")
            try await phone.receiveNotification("off", token: Self.token)
            try await phone.expectSilence()
        }
    }

    /// Numbers that an observer is told, the greater the newer, up to the one that is current.
    private static func told(_ observer: ScriptedPeer, upTo current: Int) async throws -> [Int] {
        var numbers: [Int] = []
        var sequence: UInt32?
        while numbers.last != current {
            let message = try await observer.receivePastCSM()
            guard message.code == .content, message.token == Self.token, let next = message.options.observe,
                let number = Int(message.text)
            else { throw PeerError("\(message.code) \(message.text) after \(numbers)") }
            // RFC 7641 §3.4; so few that the 24 bits do not run over.
            if let sequence, next <= sequence { throw PeerError("Observe \(next) after \(sequence)") }
            sequence = next
            numbers.append(number)
        }
        return numbers
    }

    private static func told(_ reader: EventReader, upTo current: Int) async throws -> [Int] {
        var numbers: [Int] = []
        while numbers.last != current {
            let event = try await reader.next()
            guard event.name == "notification", let number = Int(event.data.filter(\.isNumber).suffix(1)) else {
                throw PeerError("\(event) after \(numbers)")
            }
            numbers.append(number)
        }
        return numbers
    }

    @Test("A device whose pod drains changes before, in and after its move: each observer ends with what is current")
    func podDrains() async throws {
        let settings = ["DRAIN_PROPAGATION": "1", "DRAIN_WINDOW": "2"]
        try await RunningCluster.with(.init(coapInterfaces: 3, settings: settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let phone = try await Self.client("phone", of: owner, at: 1, in: cluster)
            let tablet = try await Self.client("tablet", of: owner, at: 2, in: cluster)
            for peer in [phone, tablet] { try await peer.register("lamp/light", token: Self.token) }
            async let opening = EventReader.open(try cluster.http(0), "/lamp/light", token: owner.token)
            let upstream = try await lamp.peer.receiveGet("light", observe: 0)
            try await lamp.peer.notify(upstream, "1")
            let reader = try await opening
            // All of them are there.
            for peer in [phone, tablet] { #expect(try await Self.told(peer, upTo: 1) == [1]) }
            #expect(try await Self.told(reader, upTo: 1) == [1])
            let pod = cluster.coapInterfaces[0]
            async let ended = pod.stop()
            // An observation is no request in flight: it holds nobody up.
            #expect(try await lamp.peer.receive().code == .release)
            try await lamp.peer.notify(upstream, "2")
            for peer in [phone, tablet] { #expect(try await Self.told(peer, upTo: 2) == [2]) }
            #expect(try await Self.told(reader, upTo: 2) == [2])
            await lamp.peer.close()
            #expect(await ended.status == 0)
            // What it was at 3 nobody saw. What follows each other closely may be told as one.
            let back = try await lamp.login.signIn(on: cluster.connect(to: 1)).peer
            let again = try await back.receiveGet("light", observe: 0)
            for number in 4...6 { try await back.notify(again, "\(number)") }
            for peer in [phone, tablet] {
                let told = try await Self.told(peer, upTo: 6)
                #expect(told == told.sorted() && Set(told).count == told.count && Set(told).isSubset(of: [4, 5, 6]))
                try await peer.expectSilence()
            }
            let told = try await Self.told(reader, upTo: 6)
            #expect(told == told.sorted() && Set(told).count == told.count && Set(told).isSubset(of: [4, 5, 6]))
            // Nothing old comes later, and none of them has cost the device more than one registration.
            try await back.notify(again, "7")
            for peer in [phone, tablet] { #expect(try await Self.told(peer, upTo: 7) == [7]) }
            #expect(try await Self.told(reader, upTo: 7) == [7])
            try await back.expectSilence()
            await reader.close()
            cluster.forget(pod)
        }
    }

    @Test("C-76: on whichever pod it is observed, a sign-out ends it at once, and a device that stays away after 30 s")
    func ends() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            let heater = try await cluster.device("heater", of: owner, at: 0)
            let phone = try await Self.client("phone", of: owner, at: 1, in: cluster)
            for (device, token) in [(heater, Token(eightBytes: 7)), (lamp, Self.token)] {
                try await phone.register("\(device.di)/light", token: token)
                try await device.peer.notify(try await device.peer.receiveGet("light", observe: 0), "on")
                try await phone.receiveNotification("on", token: token)
            }
            let left = ContinuousClock.now
            await heater.peer.close()
            try await lamp.peer.start(
                .signIn(uid: lamp.uid, di: "lamp", accessToken: lamp.login.accessToken, login: false))
            let last = try await phone.receiveEnd(.serviceUnavailable, token: Self.token)
            #expect(last.options.maxAge != nil)
            #expect(left.duration(to: .now) < .seconds(25))
            try await phone.receiveEnd(.serviceUnavailable, token: Token(eightBytes: 7))
            #expect(left.duration(to: .now) >= .seconds(29))
        }
    }

    @Test("Links that are published and unpublished at one pod are told to who observes /oic/res at the other")
    func links() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let phone = try await Self.client("phone", of: owner, at: 1, in: cluster)
            let lamp = try await cluster.device("lamp", of: owner, at: 0)
            func told() async throws -> [String] {
                let message = try await phone.receivePastCSM()
                guard message.code == .content, message.token == Self.token, message.options.contains(.observe),
                    let links = message.item?.elements
                else { throw PeerError("\(message.code) \(message.text) where links were expected") }
                return links.compactMap { $0["href"]?.string }.sorted()
            }
            try await phone.register("oic/res", token: Self.token)
            #expect(try await told() == [])
            try await lamp.publish("/light", "/clock")
            #expect(try await told() == ["/lamp/clock", "/lamp/light"])
            #expect(try await lamp.peer.ask(.ocf(.delete, "oic/rd", queries: ["di=lamp"])).code == .deleted)
            #expect(try await told() == [])
            try await lamp.publish("/light")
            #expect(try await told() == ["/lamp/light"])
            #expect(try await cluster.http.request("DELETE", "/devices/lamp", token: owner.token).status == 204)
            #expect(try await told() == [])
        }
    }
}
