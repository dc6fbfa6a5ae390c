import CBOR
import Cloud
import CoAP
import CoAPTransport
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MockDevice

/// A fleet of one device against a scripted cloud on a real socket: what each profile and quirk puts on the wire.
@Suite("A fleet on the wire", .timeLimit(.minutes(3)))
struct FleetWireTests {
    /// What the fleet told people.
    private final class Told: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { self.lines.withLock { $0 } }
        func tell(_ line: String) { self.lines.withLock { $0.append(line) } }
    }

    /// Runs one device that signed up in an earlier run.
    private func withDevice(
        _ profile: FleetProfile.Name, _ quirks: Set<FleetQuirk> = [], links: Int = 0,
        _ change: (inout FleetSetup) -> Void = { _ in },
        _ body: @escaping @Sendable (ScriptedCloud) async throws -> Void
    ) async throws -> FleetRun.Outcome {
        let cloud = try await ScriptedCloud.start()
        let address = ServerAddress(host: "127.0.0.1", port: cloud.port)
        var setup = FleetSetup(
            profile: FleetProfile(profile), targets: [.init(address: address, transport: .tcp)],
            ramp: RampPlan(devices: 1))
        setup.quirks = quirks
        setup.links = links
        change(&setup)
        let saved = FleetSavedDevice(
            di: "fleet-1",
            tokens: Tokens(
                uid: "u-1", accessToken: try #require(Secret("at-0")), refreshToken: try #require(Secret("rt-0")),
                expiresAt: Timestamp(milliseconds: .max)),
            hasPublished: false)
        let fleet = try await FleetRun(
            setup, on: [MultiThreadedEventLoopGroup.singleton.next()], saved: ["fleet-1": saved], provisioning: nil,
            notices: FleetNotices { _ in })
        let outcome = try await Self.run(fleet, until: { try await body(cloud) })
        try await cloud.stop()
        return outcome
    }

    /// Runs a fleet until `body` has returned.
    private static func run(
        _ fleet: FleetRun, progress: @escaping @Sendable (FleetRun.Progress) -> Void = { _ in },
        until body: @escaping @Sendable () async throws -> Void
    ) async throws -> FleetRun.Outcome {
        try await withThrowingTaskGroup(of: FleetRun.Outcome?.self) { tasks in
            tasks.addTask { try await fleet.run(for: nil, progress: progress) }
            tasks.addTask {
                try await body()
                return nil
            }
            var outcome: FleetRun.Outcome?
            while let next = try await tasks.next() {
                if let next { outcome = next }
                tasks.cancelAll()
            }
            return try #require(outcome)
        }
    }

    /// The next connection of a polite device, signed in.
    private static func session(_ cloud: ScriptedCloud) async throws -> Peer {
        let peer = try await cloud.accept()
        try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        return peer
    }

    private static func get(_ token: UInt64, observe: UInt32? = nil) -> Message {
        var request = Request(.get, path: ["light"], queries: ["n=\(token)"])
        request.options.observe = observe
        return Message(code: .get, token: Token(eightBytes: token), options: request.options)
    }

    private static let release = Message(code: .release, token: Token(eightBytes: 99))

    @Test(
        "Reference: no CSM; refresh, sign-in, publication; on a Release it closes, answers nothing, is back in 2 to 4 s"
    )
    func reference() async throws {
        let outcome = try await self.withDevice(.reference, links: 2) {
            $0.delayShare = 1
        } _: { cloud in
            let peer = try await cloud.accept(csm: false)
            try await peer.answer(.post, "oic/sec/tokenrefresh", .changed, tokens(1))
            try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
            let publication = try await peer.request(.post, "oic/rd")
            let item = try DataItem(decoding: #require(publication.payload))
            #expect(item["links"]?.elements?.map { $0["href"] } == ["/light", "/light/1"])
            try await peer.reply(
                to: publication, .changed,
                .map(["links": [["href": "/light", "ins": 1], ["href": "/light/1", "ins": 2]]]))
            // It would take two seconds for this.
            try await peer.send(Self.get(7))
            let released = ContinuousClock.now
            try await peer.send(Self.release)
            #expect(await peer.end().isEmpty)
            let again = try await cloud.accept(csm: false)
            let refresh = try await again.answer(.post, "oic/sec/tokenrefresh", .changed, tokens(2))
            #expect(try DataItem(decoding: #require(refresh.payload))["refreshtoken"] == "rt-1")
            #expect((.seconds(1)...).contains(ContinuousClock.now - released))
            try await again.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
            #expect((.seconds(2)...(.seconds(20))).contains(ContinuousClock.now - released))
        }
        #expect(outcome.report.counts.releases == 1)
        #expect(outcome.report.counts.failures.isEmpty)
        #expect(outcome.report.counts.connections == 2)
        #expect(outcome.report.latencies.summary(of: .refresh)?.count == 2)
        #expect(outcome.saved.first?.tokens.refreshToken == Secret("rt-2"))
        #expect(outcome.saved.first?.hasPublished == true)
    }

    @Test("RFC 8323 §5.5: the polite device answers what it was asked before the Release, then closes")
    func polite() async throws {
        let outcome = try await self.withDevice(.polite) {
            $0.delayShare = 1
            $0.delay = .milliseconds(300)
        } _: { cloud in
            let peer = try await Self.session(cloud)
            try await peer.send(Self.get(7))
            try await peer.send(Self.release)
            let last = await peer.end()
            #expect(last.map(\.code) == [.content])
            #expect(last.first?.token == Token(eightBytes: 7))
            let again = try await Self.session(cloud)
            // With the Pong it has read what came before the Ping.
            try await again.send(Message(code: .ping, token: Token(eightBytes: 5)))
            #expect(try await again.frame().message.code == .pong)
        }
        #expect(outcome.report.counts.answers == 1)
        #expect(outcome.report.latencies.summary(of: .back)?.count == 1)
    }

    @Test("RFC 8323 §5.3: libcoap sends its CSM, and nothing else before it has the cloud's")
    func libcoap() async throws {
        _ = try await self.withDevice(.libcoap) { cloud in
            let peer = try await cloud.accept()
            // What comes before the CSM is answered, but nothing is asked.
            try await peer.send(Self.get(7))
            #expect(try await peer.frame().message.code == .content)
            try await peer.send(Message(code: .capabilitiesAndSettings, token: Token(eightBytes: 1)))
            try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
        }
    }

    @Test("Requests are answered with whose the light is, and how often it was asked")
    func serves() async throws {
        let outcome = try await self.withDevice(.polite) { cloud in
            let peer = try await Self.session(cloud)
            for number: UInt64 in 1...3 {
                try await peer.send(Self.get(number))
                let answer = try await peer.frame().message
                #expect(answer.token == Token(eightBytes: number))
                let item = try DataItem(decoding: #require(answer.payload))
                #expect(item["di"] == "fleet-1")
                #expect(item["served"] == .unsigned(number))
                #expect(item["n"] == .text("\(number)"))
            }
        }
        #expect(outcome.report.counts.requests == 3)
        #expect(outcome.report.counts.answers == 3)
    }

    @Test(
        "RFC 7641 §3: whoever observes is notified at the rate that was asked for, until the observation is cancelled")
    func observe() async throws {
        let outcome = try await self.withDevice(.polite) {
            $0.notificationsPerSecond = 20
        } _: { cloud in
            let peer = try await Self.session(cloud)
            try await peer.send(Self.get(7, observe: 0))
            var brightness: [DataItem] = []
            for _ in 0..<4 {
                let message = try await peer.frame().message
                #expect(message.token == Token(eightBytes: 7))
                #expect(message.options.observe != nil)
                let item = try DataItem(decoding: #require(message.payload))
                brightness.append(try #require(item["brightness"]))
            }
            #expect(brightness == [50, 51, 52, 53])
            try await peer.send(Self.get(7, observe: 1))
            while try await peer.frame().message.options.observe != nil {}
            // Behind the answer to the cancellation nothing comes but what is asked for.
            try await peer.send(Self.get(8))
            #expect(try await peer.frame().message.token == Token(eightBytes: 8))
        }
        #expect(outcome.report.counts.notifications >= 3)
    }

    @Test("A device with no-pong and ignore-release answers no Ping and stays after a Release, but serves on")
    func deaf() async throws {
        let outcome = try await self.withDevice(.polite, [.noPong, .ignoreRelease]) { cloud in
            let peer = try await Self.session(cloud)
            try await peer.send(Message(code: .ping, token: Token(eightBytes: 5)))
            try await peer.send(Self.release)
            try await peer.send(Self.get(7))
            #expect(try await peer.frame().message.code == .content)
        }
        #expect(outcome.report.counts.releases == 1)
    }

    @Test(
        "Polite: after a Release that names another address it connects there, once; the others ignore that",
        arguments: FleetProfile.Name.allCases)
    func alternativeAddress(profile: FleetProfile.Name) async throws {
        let other = try await ScriptedCloud.start()
        let addresses = ["coap+tcp://127.0.0.1:1", "127.0.0.1:\(other.port)", "127.0.0.1:2"]
        let release = Signal.release(alternativeAddresses: addresses, holdOffSeconds: nil)
            .message(token: Token(eightBytes: 99))
        _ = try await self.withDevice(profile) { cloud in
            let peer = try await cloud.accept(csm: profile != .reference)
            try await peer.send(release)
            if profile == .polite {
                let elsewhere = try await other.accept()
                try await elsewhere.close()
            }
            _ = try await cloud.accept(csm: profile != .reference)
        }
        try await other.stop()
    }

    @Test("A device with half-close closes its sending side only: what the cloud writes behind it meets no reset")
    func halfClose() async throws {
        _ = try await self.withDevice(.polite, [.flapping, .halfClose]) { cloud in
            let peer = try await cloud.accept()
            try await peer.channel.setOption(.allowRemoteHalfClosure, value: true).get()
            try await peer.answer(.post, "oic/sec/session", .changed, ["expiresin": 3600])
            // The next connection comes behind the end of this one.
            let next = try await Self.session(cloud)
            for _ in 0..<3 { try await peer.send(Self.get(7)) }
            #expect(peer.channel.isActive)
            try await peer.close()
            #expect(await peer.end().isEmpty)
            try await next.send(Self.get(8))
            #expect(try await next.frame().message.code == .content)
        }
    }

    @Test("A device with duplicate-requests says everything twice")
    func twice() async throws {
        _ = try await self.withDevice(.polite, [.duplicateRequests]) { cloud in
            let peer = try await cloud.accept()
            let first = try await peer.request(.post, "oic/sec/session")
            let second = try await peer.request(.post, "oic/sec/session")
            #expect(first.payload == second.payload)
            #expect(first.token != second.token)
            try await peer.reply(to: second, .changed, ["expiresin": 3600])
            try await peer.reply(to: first, .changed, ["expiresin": 3600])
            try await peer.send(Self.get(7))
            #expect(try await peer.frame().message.code == .content)
        }
    }

    @Test("A flapping device breaks its connection 3 to 6 s after sign-in, and comes back; a slow reader reads late")
    func flapping() async throws {
        let outcome = try await self.withDevice(.polite, [.flapping, .slowReader]) { cloud in
            let peer = try await Self.session(cloud)
            let began = ContinuousClock.now
            try await peer.send(Self.get(7))
            #expect(try await peer.frame().message.code == .content)
            #expect(await peer.end().isEmpty)
            #expect((.seconds(3)...(.seconds(8))).contains(ContinuousClock.now - began))
            _ = try await Self.session(cloud)
        }
        #expect(outcome.report.counts.failures.isEmpty)
    }

    @Test("A cloud that is not there is told of once, with what to do; every attempt is counted")
    func refused() async throws {
        let cloud = try await ScriptedCloud.start()
        let port = cloud.port
        try await cloud.stop()
        let told = Told()
        let setup = FleetSetup(
            profile: FleetProfile(.polite),
            targets: [.init(address: ServerAddress(host: "127.0.0.1", port: port), transport: .tcp)],
            ramp: RampPlan(devices: 5))
        var saved: [String: FleetSavedDevice] = [:]
        for index in 0..<5 {
            let secret = try #require(Secret("t"))
            saved[setup.di(index)] = FleetSavedDevice(
                di: setup.di(index),
                tokens: Tokens(uid: "u", accessToken: secret, refreshToken: secret, expiresAt: nil),
                hasPublished: true)
        }
        let fleet = try await FleetRun(
            setup, on: [MultiThreadedEventLoopGroup.singleton.next()], saved: saved, provisioning: nil,
            notices: FleetNotices { told.tell($0) })
        let (allFailed, all) = AsyncStream.makeStream(of: Void.self)
        let outcome = try await Self.run(fleet) { progress in
            if progress.counts.failed >= 5 { all.finish() }
        } until: {
            for await _ in allFailed {}
        }
        // More, where so much time went by that some tried again.
        #expect(outcome.report.counts.failures.keys.map { $0 } == [FleetFailure("connect", "refused")])
        #expect(outcome.report.counts.failed >= 5)
        #expect(told.all.count == 1)
        #expect(told.all.first?.hasPrefix("connect: refused: 127.0.0.1:\(port): ") == true)
        #expect(told.all.first?.contains("Is the cloud running there") == true)
        #expect(outcome.report.counts.everSignedIn == 0)
        #expect(outcome.saved.count == 5)
    }
}
