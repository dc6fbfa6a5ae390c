import Cloud
import CoAP
import CoAPTransport
import Edge
import NIOCore
import TestSupport
import Testing

@testable import CoAPInterface

@Suite("Clients that observe, on one pod and on two", .timeLimit(.minutes(2)))
struct ObservingTests {
    private static let token = Token(eightBytes: 0x0102_0304_0506_0708)

    /// A phone on `member` that observes the lamp's light, which is "on".
    private static func phone(
        _ di: String = "phone", on member: ObserveBench.Member, in bench: ObserveBench, token: String = "t"
    ) async throws -> ScriptedPeer {
        let phone = try await bench.signIn(di, member, token: token)
        try await phone.register("lamp/light", token: Self.token)
        return phone
    }

    @Test("C-75: two clients on two pods make one upstream observation; it ends when the second of them cancels")
    func twoClients() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let near = try await Self.phone("near", on: bench.a, in: bench)
            let upstream = try await lamp.receiveGet("light", observe: 0)
            try await lamp.notify(upstream, "on")
            try await near.receiveNotification("on", token: Self.token)
            // The second one is answered from what the lamp said last.
            let far = try await Self.phone("far", on: bench.b, in: bench)
            try await far.receiveNotification("on", token: Self.token)
            try await lamp.expectSilence()
            for text in ["off", "on", "dim"] {
                try await lamp.notify(upstream, text)
                try await near.receiveNotification(text, token: Self.token)
                try await far.receiveNotification(text, token: Self.token)
            }
            // RFC 7641 §3.6: a GET with Observe 1 and the same token is answered like any other.
            try await near.start(ScriptedPeer.get("lamp/light", observe: 1), token: Self.token)
            try await lamp.answer(try await lamp.receiveGet("light", observe: nil), Response(.content))
            _ = try await near.receiveEnd(.content, token: Self.token)
            try await lamp.notify(upstream, "off")
            try await far.receiveNotification("off", token: Self.token)
            try await near.expectSilence()
            await far.close()
            let cancel = try await lamp.receiveGet("light", observe: 1)
            #expect(cancel.token == upstream.token)
            try await lamp.answer(cancel, Response(.content))
            try await eventually("nobody observes") { bench.a.edge.observing == 0 && bench.b.edge.observing == 0 }
        }
    }

    @Test("RFC 7641 §4.1: what the device answers without Observe is passed on without, and no more is expected")
    func notObservable() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let phone = try await Self.phone(on: bench.b, in: bench)
            let asked = try await lamp.receiveGet("light", observe: 0)
            try await lamp.answer(asked, Response(.content))
            _ = try await phone.receiveEnd(.content, token: Self.token)
            // Its token is free.
            try await phone.register("lamp/light", token: Self.token)
            let again = try await lamp.receiveGet("light", observe: 0)
            try await lamp.notify(again, "on")
            try await phone.receiveNotification("on", token: Self.token)
        }
    }

    @Test("C-48: a device or client that signs in twice on one connection keeps one set of observations")
    func signInTwice() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let phone = try await Self.phone(on: bench.a, in: bench)
            let upstream = try await lamp.receiveGet("light", observe: 0)
            try await lamp.notify(upstream, "on")
            try await phone.receiveNotification("on", token: Self.token)
            for peer in [lamp, phone] {
                let di = peer === lamp ? "lamp" : "phone"
                let answer = try await peer.ask(.signIn(uid: "alice", di: di, accessToken: "t"))
                #expect(answer.code == .changed)
            }
            try await lamp.expectSilence()
            try await lamp.notify(upstream, "off")
            try await phone.receiveNotification("off", token: Self.token)
            try await phone.expectSilence()
        }
    }

    @Test("BI-27, C-76: a device that signs out ends it with 5.03 at once, on whichever pod it is observed")
    func deviceSignsOut() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let near = try await Self.phone("near", on: bench.a, in: bench)
            let upstream = try await lamp.receiveGet("light", observe: 0)
            try await lamp.notify(upstream, "on")
            let far = try await Self.phone("far", on: bench.b, in: bench)
            for phone in [near, far] { try await phone.receiveNotification("on", token: Self.token) }
            try await lamp.start(.signIn(uid: "alice", di: "lamp", accessToken: "t", login: false))
            for phone in [near, far] {
                let end = try await phone.receiveEnd(.serviceUnavailable, token: Self.token)
                #expect(end.options.maxAge != nil)
                try await phone.expectSilence()
            }
            #expect(bench.a.edge.observing + bench.b.edge.observing == 0)
        }
    }

    @Test("C-76: a device that is deleted ends it with 5.03 at once")
    func deviceDeleted() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let phone = try await Self.phone(on: bench.b, in: bench)
            try await lamp.notify(try await lamp.receiveGet("light", observe: 0), "on")
            try await phone.receiveNotification("on", token: Self.token)
            bench.a.sessions.endNow([try DeviceID("lamp")], reason: "deleted")
            _ = try await phone.receiveEnd(.serviceUnavailable, token: Self.token)
        }
    }

    @Test("A device that moves to the other pod is observed there; the observer is told what changed meanwhile only")
    func deviceMoves() async throws {
        try await ObserveBench.with { bench in
            let old = try await bench.signIn("lamp", bench.a)
            let phone = try await Self.phone(on: bench.b, in: bench)
            try await old.notify(try await old.receiveGet("light", observe: 0), "on")
            try await phone.receiveNotification("on", token: Self.token)
            // Takes over, and says the same as before.
            let new = try await bench.signIn("lamp", bench.b)
            let second = try await new.receiveGet("light", observe: 0)
            try await new.notify(second, "on")
            try await new.notify(second, "off")
            try await phone.receiveNotification("off", token: Self.token)
            // Is gone, and comes back with news.
            await new.close()
            let back = try await bench.signIn("lamp", bench.a)
            try await back.notify(try await back.receiveGet("light", observe: 0), "dim")
            try await phone.receiveNotification("dim", token: Self.token)
            try await phone.expectSilence()
        }
    }

    @Test("Devices of others are 4.03, unknown ones 4.04, one that is offline 5.03: without Observe")
    func refused() async throws {
        try await ObserveBench.with { bench in
            let phone = try await bench.signIn("phone", bench.a)
            let cases: [(String, Code)] = [
                ("safe/light", .forbidden), ("nobody/light", .notFound), ("lamp/light", .serviceUnavailable),
            ]
            for (path, code) in cases {
                try await phone.register(path, token: Self.token)
                _ = try await phone.receiveEnd(code, token: Self.token)
            }
            let stranger = try await ScriptedPeer.connect(port: bench.a.server.port)
            for path in ["lamp/light", "oic/res"] {
                try await stranger.register(path, token: Self.token)
                _ = try await stranger.receiveEnd(.unauthorized, token: Self.token)
            }
        }
    }

    @Test("BI-39: an observation does not outlive the token of who observes: it ends with 4.01, and upstream as well")
    func observerExpires() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let phone = try await Self.phone(on: bench.a, in: bench, token: "brief")
            let upstream = try await lamp.receiveGet("light", observe: 0)
            try await lamp.notify(upstream, "on")
            try await phone.receiveNotification("on", token: Self.token)
            _ = try await phone.receiveEnd(.unauthorized, token: Self.token)
            let cancel = try await lamp.receiveGet("light", observe: 1)
            #expect(cancel.token == upstream.token)
            try await phone.expectSilence()
            // Its connection stays, for a new sign-in.
            #expect(try await phone.ask(.signIn(uid: "alice", di: "phone", accessToken: "t")).code == .changed)
        }
    }

    @Test("BI-39: a client that signs out, or signs in as somebody else, keeps none of its observations")
    func observerSignsOut() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            for next in [
                Request.signIn(uid: "alice", di: "phone", accessToken: "t", login: false),
                .signIn(uid: "alice", di: "tablet", accessToken: "t"),
            ] {
                let phone = try await Self.phone(on: bench.a, in: bench)
                try await lamp.notify(try await lamp.receiveGet("light", observe: 0), "on")
                try await phone.receiveNotification("on", token: Self.token)
                let token = Token.unique()
                try await phone.start(next, token: token)
                _ = try await phone.receiveEnd(.unauthorized, token: Self.token)
                let answer = try await phone.receivePastCSM()
                #expect(answer.code == .changed)
                #expect(answer.token == token)
                try await lamp.answer(try await lamp.receiveGet("light", observe: 1), Response(.content))
                await phone.close()
            }
        }
    }

    @Test("BI-26: 300 registrations on one connection: each is answered, and no more than the bound stand")
    func flood() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let phone = try await bench.signIn("phone", bench.a)
            try await phone.register("lamp/light", token: Token(eightBytes: 0))
            let upstream = try await lamp.receiveGet("light", observe: 0)
            try await lamp.notify(upstream, "on")
            try await phone.receiveNotification("on", token: Token(eightBytes: 0))
            async let served: Int = {
                // What is answered once is asked of the lamp each time.
                var count = 0
                while let request = try await lamp.receiveOrEnd() {
                    guard request.code == .get else { continue }
                    count += 1
                    // The last ones cancel, and the connection may end before they are answered.
                    try? await lamp.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
                }
                return count
            }()
            var standing = 1
            for number in 1..<300 as Range<UInt64> {
                let answer = try await phone.ask(
                    ScriptedPeer.get("lamp/light", observe: 0), token: Token(eightBytes: number))
                if answer.options.contains(.observe) { standing += 1 }
            }
            #expect(standing <= DeviceConnection.maximumStanding)
            #expect(standing >= 16)
            #expect(bench.a.edge.observing == standing)
            await phone.close()
            try await eventually("all of them are gone") { bench.a.edge.observing == 0 }
            await lamp.close()
            // The last one to go is a cancelling GET.
            #expect(try await served >= 300 - standing)
        }
    }

    @Test("BI-26: Observe with POST is ignored, a cancellation of what is not observed is a plain GET")
    func otherMethods() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            let phone = try await bench.signIn("phone", bench.a)
            var post = Request(.post, path: ["lamp", "light"])
            post.options.observe = 0
            try await phone.start(post, token: Self.token)
            let posted = try await lamp.receiveRequest(.post, "light")
            #expect(!posted.options.contains(.observe))
            try await lamp.answer(posted, Response(.changed))
            _ = try await phone.receiveEnd(.changed, token: Self.token)
            try await phone.start(ScriptedPeer.get("lamp/light", observe: 1), token: Self.token)
            try await lamp.answer(try await lamp.receiveGet("light", observe: nil), Response(.content))
            _ = try await phone.receiveEnd(.content, token: Self.token)
            #expect(bench.a.edge.observing == 0)
        }
    }

    @Test("A session that has to be confirmed after a pause takes no registration, and takes it again when it is")
    func fenced() async throws {
        try await ObserveBench.with { bench in
            let lamp = try await bench.signIn("lamp", bench.a)
            bench.a.keeper.fence.raise()
            var request = ScriptedPeer.get("lamp/light", observe: 0)
            request.options.fence = Fence(uid: "alice")
            let (events, told) = AsyncStream.makeStream(of: ObservationEvent.self)
            _ = bench.a.sessions.observe(request) { told.yield($0) }
            var first: ObservationEvent?
            for await event in events {
                first = event
                break
            }
            guard case .ended(let response)? = first else {
                Issue.record("observed: \(String(describing: first))")
                return
            }
            #expect(response.options.undelivered == .moving)
            let phone = try await Self.phone(on: bench.a, in: bench)
            try await lamp.notify(try await lamp.receiveGet("light", observe: 0), "on")
            try await phone.receiveNotification("on", token: Self.token)
        }
    }

    @Test("Sign-ins and sign-outs of devices are in their owner's event log, those of clients and takeovers are not")
    func events() async throws {
        try await ObserveBench.with { bench in
            func kinds() async throws -> [OwnerEvent.Kind] {
                try await bench.events.read(of: try UserID("alice"), after: .start, limit: 100).events.map(\.event.kind)
            }
            _ = try await bench.signIn("lamp", bench.a)
            _ = try await bench.signIn("phone", bench.a)
            let new = try await bench.signIn("lamp", bench.b)
            try await eventually("the older session is over") { bench.a.sessions.count == 1 }
            await new.close()
            try await eventually("the newer session is over") { bench.b.sessions.count == 0 }
            try await eventually("three events") { (try? await kinds().count) == 3 }
            #expect(try await kinds() == [.deviceSignedIn, .deviceSignedIn, .deviceSignedOut])
        }
    }
}

@Suite("Clients that observe the links of their user", .timeLimit(.minutes(2)))
struct ObservingLinksTests {
    private static let token = Token(eightBytes: 0x0807_0605_0403_0201)

    @Test("/oic/res is answered with Observe, and again when the list is another one, wherever that came from")
    func links() async throws {
        try await ObserveBench.with { bench in
            let phone = try await bench.signIn("phone", bench.a)
            let lamp = try await bench.signIn("lamp", bench.a)
            try await phone.register("oic/res", token: Self.token)
            try await phone.receiveNotification("none", token: Self.token)
            // On the same pod it is known at once.
            bench.registry.setLinks("light")
            #expect(try await lamp.ask(.publish(di: "lamp", hrefs: ["/light"])).code == .changed)
            try await phone.receiveNotification("light", token: Self.token)
            // Elsewhere the event log says so.
            bench.registry.setLinks("clock")
            bench.events.append(
                OwnerEvent(kind: .linksPublished, di: nil, at: Timestamp(milliseconds: 0), text: ""),
                of: try UserID("alice"))
            var follower = EventFollower(bench.events)
            await bench.a.keeper.linksWatch.look(&follower, bench.events)
            try await phone.receiveNotification("clock", token: Self.token)
            // The same again is no news.
            let asked = bench.registry.asked
            #expect(try await lamp.ask(.publish(di: "lamp", hrefs: ["/light"])).code == .changed)
            try await eventually("the registry was asked again") { bench.registry.asked > asked }
            try await phone.expectSilence()
            // RFC 7641 §3.6.
            try await phone.start(ScriptedPeer.get("oic/res", observe: 1), token: Self.token)
            _ = try await phone.receiveEnd(.content, token: Self.token)
            #expect(bench.a.keeper.linksWatch.count == 0)
        }
    }

    @Test("BI-39: who signs out, or leaves, does not observe the links any more")
    func ends() async throws {
        try await ObserveBench.with { bench in
            let phone = try await bench.signIn("phone", bench.a)
            try await phone.register("oic/res", token: Self.token)
            try await phone.receiveNotification("none", token: Self.token)
            try await phone.start(.signIn(uid: "alice", di: "phone", accessToken: "t", login: false))
            _ = try await phone.receiveEnd(.unauthorized, token: Self.token)
            #expect(try await phone.receivePastCSM().code == .changed)
            #expect(bench.a.keeper.linksWatch.count == 0)
            let other = try await bench.signIn("phone", bench.a)
            try await other.register("oic/res", token: Self.token)
            try await other.receiveNotification("none", token: Self.token)
            #expect(bench.a.keeper.linksWatch.count == 1)
            await other.close()
            try await eventually("nobody watches") { bench.a.keeper.linksWatch.count == 0 }
        }
    }
}
