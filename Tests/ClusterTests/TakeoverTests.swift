import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("One device on two pods", .timeLimit(.minutes(10)))
struct TakeoverTests {
    /// Fewer than make a device contested, over all its rounds.
    private static let roundsPerDevice = 2
    private static let rounds = 1000
    private static let lanes = 4

    @Test("BI-35: 1,000 times signed in on two pods at once, one session is left, and every epoch has one pod")
    func atOnce() async throws {
        try await RunningCluster.with(.init(settings: ["LOG_LEVEL": "debug", "ACCESS_LOG": "off"])) { cluster in
            let owner = try await cluster.owner("alice")
            let devices = Self.rounds / Self.roundsPerDevice
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<Self.lanes {
                    group.addTask {
                        for number in stride(from: lane, to: devices, by: Self.lanes) {
                            let login = try await owner.signedUp("lamp-\(number)")
                            for round in 0..<Self.roundsPerDevice {
                                try await Self.race(login, in: cluster, token: owner.token, round: round)
                            }
                            await login.peer.close()
                        }
                    }
                }
                try await group.waitForAll()
            }
            try Self.check(cluster, deliveries: 2 * Self.rounds, acknowledgements: Self.rounds / 2)
        }
    }

    @Test("With Redis emptied between the two sign-ins the newer one wins all the same, and the older ends soon")
    func emptiedBetween() async throws {
        let redis = try await RedisServer.start()
        let shape = RunningCluster.Shape(settings: ["LOG_LEVEL": "debug", "ACCESS_LOG": "off"], redis: redis)
        try await RunningCluster.with(shape) { cluster in
            let owner = try await cluster.owner("alice")
            for round in 0..<10 {
                let login = try await owner.signedUp("lamp-\(round)")
                let first = try await login.signIn(on: cluster.connect(to: round % 2))
                async let older = AnsweringDevice.serve(first.peer, saying: "older")
                _ = try await redis.command("FLUSHALL")
                let second = try await login.signIn(on: cluster.connect(to: (round + 1) % 2))
                async let newer = AnsweringDevice.serve(second.peer, saying: "newer")
                #expect(try await older.abort != nil, "the older session is told")
                for door in cluster.northbounds.indices {
                    try await cluster.eventually("the newer session answers") {
                        try await cluster.http(door).get("/lamp-\(round)/light", token: owner.token).text == "newer"
                    }
                }
                await second.peer.close()
                #expect(try await newer.abort == nil)
            }
            // Nobody told the older pod: it found out by asserting its routes.
            try Self.check(cluster, deliveries: 20, acknowledgements: 0)
        }
        await redis.stop()
    }

    @Test("Two peers that take a device from each other: from the sixth time on the newcomer is told to come later")
    func contested() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let login = try await owner.signedUp("lamp")
            var holder = try await login.signIn(on: cluster.connect(to: 0))
            var refusal: Message?
            for takeover in 1...12 where refusal == nil {
                let peer = try await cluster.connect(to: takeover % 2)
                let held = holder.peer
                async let served = AnsweringDevice.serve(held, saying: "held")
                let answer = try await peer.ask(
                    .signIn(uid: login.uid, di: "lamp", accessToken: login.accessToken))
                if answer.code == .changed {
                    #expect(try await served.abort != nil)
                    holder = SignedIn(login: login, peer: peer)
                } else {
                    refusal = answer
                    #expect(takeover > 6, "refused at takeover \(takeover) already")
                    #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "held")
                    await held.close()
                    _ = try await served
                }
            }
            let answer = try #require(refusal)
            #expect(answer.code == .serviceUnavailable)
            #expect(answer.options.maxAge == 60)
            try await cluster.eventually("the log names both") { cluster.logs.contains { $0.contains("contested") } }
        }
    }

    /// Both pods at once; afterwards exactly one connection is left, and both northbounds reach that one.
    private static func race(
        _ login: IssuedLogin, in cluster: RunningCluster, token: String, round: Int
    ) async throws {
        async let one = cluster.connect(to: 0)
        async let two = cluster.connect(to: 1)
        let peers = try await [one, two]
        try await withThrowingTaskGroup(of: (Int, AnsweringDevice.End).self) { group in
            for (index, peer) in peers.enumerated() {
                group.addTask {
                    try await peer.start(
                        .signIn(uid: login.uid, di: login.di, accessToken: login.accessToken))
                    return (index, try await AnsweringDevice.serve(peer, saying: "pod-\(index)"))
                }
            }
            // The loser's connection ends by itself.
            guard let (loser, end) = try await group.next() else { throw PeerError("nobody was superseded") }
            guard end.abort != nil else { throw PeerError("\(login.di) round \(round): closed without an Abort") }
            for door in cluster.northbounds.indices {
                let answer = try await cluster.http(door).get("/\(login.di)/light", token: token)
                guard answer.text == "pod-\(1 - loser)" else {
                    throw PeerError(
                        "\(login.di) round \(round): \(answer.status) \(answer.text), pod-\(1 - loser) has the session")
                }
            }
            await peers[1 - loser].close()
            guard let (_, last) = try await group.next(), last.abort == nil else {
                throw PeerError("\(login.di) round \(round): both were superseded")
            }
        }
    }

    private static func check(_ cluster: RunningCluster, deliveries: Int, acknowledgements: Int) throws {
        let history = DeliveryHistory(cluster.coapInterfaces.map(\.log))
        #expect(history.violations.isEmpty, "\(history.violations.prefix(5))")
        #expect(history.deliveries >= deliveries)
        #expect(history.acknowledgements >= acknowledgements)
    }
}

@Suite("The judge of delivery histories")
struct DeliveryHistoryTests {
    private static func line(_ text: String, _ di: String, _ epoch: Int, _ pod: String) -> String {
        "2026-11-21T10:00:00.000Z debug coap-interface \"\(text)\" coap.session.id=\(epoch)@\(pod) device.id=\(di)"
    }

    @Test("Nothing is wrong with one pod after the other")
    func clean() {
        let history = DeliveryHistory([
            [
                Self.line("request for the device", "a", 1, "p"), Self.line("takeover acknowledged", "a", 2, "p"),
                Self.line("request for the device", "a", 3, "p"),
            ],
            [Self.line("request for the device", "a", 2, "q")],
        ])
        #expect(history.violations.isEmpty)
        #expect(history.deliveries == 3)
        #expect(history.acknowledgements == 1)
    }

    @Test("An epoch with two pods is found")
    func twoPods() {
        let history = DeliveryHistory([
            [Self.line("request for the device", "a", 1, "p")], [Self.line("request for the device", "a", 1, "q")],
        ])
        #expect(history.violations.count == 1)
    }

    @Test("A delivery under a smaller epoch after the acknowledgement is found, another device's is none")
    func afterwards() {
        let history = DeliveryHistory([
            [
                Self.line("takeover acknowledged", "a", 2, "p"), Self.line("request for the device", "b", 1, "p"),
                Self.line("request for the device", "a", 1, "p"),
            ]
        ])
        #expect(history.violations.count == 1)
    }
}
