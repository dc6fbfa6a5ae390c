import CBOR
import CoAP
import CoAPTransport
import NIOCore
import ServiceShell
import TestSupport
import Testing

@testable import Cloud
@testable import CoAPInterface

@Suite("Sign-ins in a storm", .timeLimit(.minutes(2)))
struct SignInStormTests {
    private static func signIn(_ di: String) -> Request {
        .signIn(uid: "alice", di: di, accessToken: "t")
    }

    private static func device(of request: Request) -> String? {
        request.payload.flatMap { Message(code: .post, token: .unique(), payload: $0).item?["di"]?.string }
    }

    @Test("BI-56: while the registry is slow the old ones get 5.03 unprocessed, the newest is served, none is cut off")
    func slowRegistry() async throws {
        // Older than usual, so that a machine that is slow itself does not make the newest late.
        let signIns = SignIns(limits: .init(concurrent: 1, ageLimit: .seconds(4)))
        try await InterfaceBench.with(signIns: signIns) { bench in
            let first = try await bench.connect()
            try await first.start(Self.signIn("lamp"))
            let held = try await bench.registry.next()
            var old: [ScriptedPeer] = []
            for index in 0..<5 {
                let peer = try await bench.connect()
                try await peer.start(Self.signIn("old-\(index)"))
                old.append(peer)
            }
            for peer in old {
                let answer = try await peer.receivePastCSM()
                #expect(answer.code == .serviceUnavailable)
                #expect(SignIns.maxAge.contains(answer.options.maxAge ?? 0))
            }
            let older = try await bench.connect()
            try await older.start(Self.signIn("older"))
            // It waits for long enough to turn the queue round.
            try await eventually("a wait") { signIns.wait >= .milliseconds(650) }
            let newest = try await bench.connect()
            try await newest.start(Self.signIn("newest"))
            try await eventually("eight connections") { bench.server.connectionCount >= 8 }
            try await newest.expectSilence()
            held.answer(.granted)
            let next = try await bench.registry.next()
            #expect(Self.device(of: next.request) == "newest")
            next.answer(.granted)
            #expect(try await first.receivePastCSM().code == .changed)
            // Whoever was not served may ask again on the connection there is.
            try await old[0].start(Self.signIn("old-0"))
            while true {
                let asked = try await bench.registry.next()
                asked.answer(.granted)
                if Self.device(of: asked.request) == "old-0" { break }
            }
            #expect(try await old[0].receivePastCSM().code == .changed)
        }
    }

    @Test("A device that has refreshed on its connection signs in before others begin")
    func known() async throws {
        try await InterfaceBench.with(signIns: SignIns(limits: .init(concurrent: 1))) { bench in
            let begun = try await bench.connect()
            try await begun.start(.refresh(uid: "alice", di: "lamp", refreshToken: "r"))
            try await bench.registry.next().answer(Response(.changed))
            #expect(try await begun.receivePastCSM().code == .changed)
            let first = try await bench.connect()
            try await first.start(Self.signIn("first"))
            let held = try await bench.registry.next()
            let stranger = try await bench.connect()
            try await stranger.start(Self.signIn("stranger"))
            try await stranger.expectSilence()
            try await begun.start(Self.signIn("lamp"))
            try await begun.expectSilence()
            held.answer(.granted)
            let next = try await bench.registry.next()
            #expect(Self.device(of: next.request) == "lamp")
            next.answer(.granted)
        }
    }

    @Test("A token that is remembered needs no registry, so its sign-in waits for nobody")
    func remembered() async throws {
        try await InterfaceBench.with(
            signIns: SignIns(limits: .init(concurrent: 1)), isRemembered: { Self.device(of: $0) == "lamp" }
        ) { bench in
            let first = try await bench.connect()
            try await first.start(Self.signIn("first"))
            _ = try await bench.registry.next()
            let lamp = try await bench.connect()
            try await lamp.start(Self.signIn("lamp"))
            let next = try await bench.registry.next()
            #expect(Self.device(of: next.request) == "lamp")
        }
    }

    @Test("A connection that goes while its sign-in waits takes no slot with it")
    func gone() async throws {
        try await InterfaceBench.with(signIns: SignIns(limits: .init(concurrent: 1))) { bench in
            let first = try await bench.connect()
            try await first.start(Self.signIn("first"))
            let held = try await bench.registry.next()
            let going = try await bench.connect()
            try await going.start(Self.signIn("going"))
            try await going.expectSilence()
            await going.close()
            try await eventually("one connection left") { bench.server.connectionCount <= 1 }
            let last = try await bench.connect()
            try await last.start(Self.signIn("last"))
            try await last.expectSilence()
            held.answer(.granted)
            let next = try await bench.registry.next()
            #expect(Self.device(of: next.request) == "last")
        }
    }

    @Test("BI-57: a device that signs in more than ten times a minute has one warning with its name and its peer")
    func flapping() async throws {
        try await InterfaceBench.with { bench in
            for _ in 0..<12 {
                let peer = try await bench.lamp()
                await peer.close()
                try await eventually("no connection left") { bench.server.connectionCount == 0 }
            }
            let lines = bench.log.lines.filter { $0.contains("device flapping") }
            #expect(lines.count == 1)
            #expect(lines.first?.contains("device.id=lamp") == true)
            #expect(lines.first?.contains("peer.address=127.0.0.1:") == true)
        }
    }
}

@Suite("Flapping devices, and sources of connections")
struct FlappingDevicesTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test("The eleventh sign-in within 60 s is told of, once; a device that is slower never is")
    func limit() throws {
        var devices = FlappingDevices()
        let (fast, slow) = (try DeviceID("fast"), try DeviceID("slow"))
        var told = 0
        for second in 0..<59 where devices.signedIn(fast, now: Self.start + .seconds(Int64(second))) {
            told += 1
            #expect(second == 10)
        }
        #expect(told == 1)
        for step in 0..<100 {
            let isTold = devices.signedIn(slow, now: Self.start + .seconds(Int64(step) * 6))
            #expect(!isTold)
        }
    }

    @Test("A fleet that comes back at once fills the table and no more, and it is empty a minute later")
    func bounded() throws {
        var devices = FlappingDevices(capacity: 100)
        for index in 0..<1000 { _ = devices.signedIn(try DeviceID("d\(index)"), now: Self.start) }
        #expect(devices.count == 100)
        _ = devices.signedIn(try DeviceID("late"), now: Self.start + .seconds(61))
        #expect(devices.count == 1)
    }

    @Test("A source may open ten seconds' worth of connections at once, and others do not feel it")
    func source() throws {
        let limit = SourceLimit(perSecond: 2)
        let loud = try #require(SourcePrefix(try SocketAddress(ipAddress: "192.0.2.1", port: 1)))
        let other = try #require(SourcePrefix(try SocketAddress(ipAddress: "192.0.2.2", port: 1)))
        let admitted = (0..<1000).count { _ in limit.admits(loud) }
        #expect((20...30).contains(admitted))
        #expect(limit.admits(other))
    }
}
