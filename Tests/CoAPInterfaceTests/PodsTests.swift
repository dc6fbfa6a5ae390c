import Cloud
import CoAP
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import CoAPInterface
@testable import CoAPTransport

@Suite("Sessions across pods", .timeLimit(.minutes(1)))
struct PodsTests {
    private static func lampID() throws -> DeviceID { try DeviceID("lamp") }

    @Test("The newest sign-in wins on whichever pod, and the older connection is told why")
    func newestWins() async throws {
        try await PodBench.with { bench in
            let old = try await bench.lamp(bench.a)
            #expect(try await bench.reaches(old, through: bench.a))
            let new = try await bench.lamp(bench.b)
            #expect(try await old.receiveAbort().text.contains("superseded"))
            #expect(bench.a.sessions.count == 0)
            #expect(try await bench.reaches(new, through: bench.b))
            let back = try await bench.lamp(bench.a)
            #expect(try await new.receiveAbort().text.contains("superseded"))
            #expect(try await bench.reaches(back, through: bench.a))
        }
    }

    @Test("A connection that closes late after a takeover harms neither the winner nor its route")
    func lateClose() async throws {
        try await PodBench.with { bench in
            let old = try await bench.lamp(bench.a)
            bench.pods.cut(bench.a.pod, true)
            // Not acknowledged, so it waits for its 500 ms; the old session is still in its table.
            let new = try await bench.lamp(bench.b)
            #expect(bench.a.sessions.count == 1)
            await old.close()
            try await eventually("the old session is over") { bench.a.sessions.count == 0 }
            let route = await bench.routes.route(try Self.lampID())
            #expect(route?.pod == bench.b.pod)
            #expect(route?.state == .live)
            #expect(try await bench.reaches(new, through: bench.b))
        }
    }

    @Test("A pod that cannot be reached is told again until it acknowledges")
    func toldAgain() async throws {
        try await PodBench.with { bench in
            let old = try await bench.lamp(bench.a)
            bench.pods.cut(bench.a.pod, true)
            let new = try await bench.lamp(bench.b)
            #expect(bench.a.sessions.count == 1)
            bench.pods.cut(bench.a.pod, false)
            bench.b.keeper.tick(now: .now() + .seconds(2))
            #expect(try await old.receiveAbort().text.contains("superseded"))
            #expect(bench.a.sessions.count == 0)
            try await eventually("it has acknowledged") { bench.b.keeper.state.withLock { $0.notices.count } == 0 }
            #expect(try await bench.reaches(new, through: bench.b))
        }
    }

    @Test("A store that fails keeps nobody from signing in; the route is written when it answers again")
    func storeFails() async throws {
        try await PodBench.with { bench in
            bench.routes.become(.fails)
            let peer = try await bench.lamp(bench.a)
            #expect(try await bench.reaches(peer, through: bench.a))
            #expect(await bench.routes.route(try Self.lampID()) == nil)
            bench.a.keeper.tick(now: .now())
            bench.routes.become(.works)
            for tick in 1...5 { bench.a.keeper.tick(now: .now() + .seconds(Int64(tick) * 3)) }
            try await eventually("the route is written") { await bench.routes.route(DeviceID(stored: "lamp")) != nil }
            let route = await bench.routes.route(try Self.lampID())
            #expect(route?.pod == bench.a.pod)
            #expect(try await bench.reaches(peer, through: bench.a))
        }
    }

    @Test("A store that says nothing keeps a sign-in for 500 ms; its late answer takes the session nothing away")
    func storeSilent() async throws {
        try await PodBench.with { bench in
            bench.routes.become(.silent)
            let began = ContinuousClock.now
            let peer = try await bench.lamp(bench.a)
            #expect(began.duration(to: .now) >= .milliseconds(450))
            let epoch = try #require(bench.a.sessions.find(try Self.lampID())?.session.epoch)
            bench.routes.become(.works)
            try await eventually("the route is the session's") {
                await bench.routes.route(DeviceID(stored: "lamp"))?.epoch == epoch
            }
            #expect(try await bench.reaches(peer, through: bench.a))
        }
    }

    @Test(
        "Requests that come before the claim is answered wait for the session, and reach the device behind its answer")
    func earlyRequests() async throws {
        try await PodBench.with { bench in
            bench.routes.become(.silent)
            let peer = try await bench.signIn(bench.a)
            try await eventually("it claims") { bench.a.sessions.isClaiming(DeviceID(stored: "lamp")) }
            let early = Mutex<[Response]>([])
            for number in 0..<3 {
                var request = PodBench.request()
                request.options.path = ["lamp", "\(number)"]
                bench.pods.deliver(request, to: bench.a.pod) { answer in early.withLock { $0.append(answer) } }
            }
            bench.routes.become(.works)
            #expect(try await peer.receivePastCSM().code == .changed)
            for number in 0..<3 {
                try await peer.answer(try await peer.receiveRequest(.post, "\(number)"), Response(.changed))
            }
            try await eventually("all are answered") { early.withLock { $0.count } == 3 }
            #expect(early.withLock { $0.allSatisfy { $0.code == .changed } })
        }
    }

    @Test("Requests that came for a session that does not begin are undelivered")
    func earlyRequestsForNothing() async throws {
        try await PodBench.with { bench in
            bench.routes.become(.silent)
            let peer = try await bench.signIn(bench.a)
            try await eventually("it claims") { bench.a.sessions.isClaiming(DeviceID(stored: "lamp")) }
            let early = Mutex<Response?>(nil)
            bench.pods.deliver(PodBench.request(), to: bench.a.pod) { answer in early.withLock { $0 = answer } }
            await peer.close()
            bench.routes.become(.works)
            try await eventually("it is answered") { early.withLock { $0 != nil } }
            // No session, or one that ended as soon as it had begun.
            let reason = try #require(early.withLock { $0?.options.undelivered })
            #expect([.moving, .noSession].contains(reason))
        }
    }

    @Test("A claim that the store carries out late gives the route back to whoever signed in meanwhile")
    func lateClaimGivesBack() async throws {
        try await PodBench.with { bench in
            bench.routes.become(.slow)
            let old = try await bench.lamp(bench.a)
            bench.routes.become(.recovers)
            let new = try await bench.lamp(bench.b)
            let epoch = try #require(bench.b.sessions.find(try Self.lampID())?.session.epoch)
            #expect(await bench.routes.route(try Self.lampID())?.epoch == epoch)
            bench.routes.release()
            #expect(try await old.receiveAbort().text.contains("superseded"))
            try await eventually("the route is the newer session's") {
                await bench.routes.route(DeviceID(stored: "lamp"))?.epoch == epoch
            }
            #expect(bench.a.sessions.count == 0)
            #expect(try await bench.reaches(new, through: bench.b))
        }
    }

    @Test("A store that was emptied between two sign-ins is told all, and the older session ends")
    func storeEmptied() async throws {
        try await PodBench.with { bench in
            bench.a.keeper.tick(now: .now())
            let old = try await bench.lamp(bench.a)
            bench.routes.empty()
            let new = try await bench.lamp(bench.b)
            // Nobody knew of the older one.
            #expect(bench.a.sessions.count == 1)
            for tick in 1...3 { bench.a.keeper.tick(now: .now() + .seconds(Int64(tick) * 3)) }
            #expect(try await old.receiveAbort().text.contains("superseded"))
            #expect(bench.a.sessions.count == 0)
            let route = await bench.routes.route(try Self.lampID())
            #expect(route?.pod == bench.b.pod)
            #expect(try await bench.reaches(new, through: bench.b))
        }
    }

    @Test("The same when the newer one is told of first: its assertion takes the route, and the other pod hears of it")
    func assertionDisplaces() async throws {
        try await PodBench.with { bench in
            let old = try await bench.lamp(bench.a)
            bench.routes.become(.fails)
            _ = try await bench.lamp(bench.b)
            bench.routes.become(.works)
            bench.b.keeper.assertNow(try Self.lampID())
            #expect(try await old.receiveAbort().text.contains("superseded"))
            #expect(bench.a.sessions.count == 0)
        }
    }

    @Test("A contested device stays with a holder that answers; newcomers get 5.03, and people are told")
    func contested() async throws {
        try await PodBench.with { bench in
            var holder = try await bench.lamp(bench.a)
            for round in 0..<RouteTimes.contestedAt {
                holder = try await bench.lamp(round.isMultiple(of: 2) ? bench.b : bench.a)
            }
            // The holder is on a.1 now; from b.1 its pod is asked, from a.1 its own table.
            for member in [bench.b, bench.a] {
                let newcomer = try await bench.signIn(member)
                let ping = try await holder.receivePastCSM()
                #expect(ping.code == .ping)
                try await holder.send(Message(code: .pong, token: ping.token))
                let answer = try await newcomer.receivePastCSM()
                #expect(answer.code == .serviceUnavailable)
                #expect(answer.options.maxAge == 60)
            }
            #expect(try await bench.reaches(holder, through: bench.a))
            let event = try #require(bench.events.all(.deviceContested).first)
            #expect(bench.events.all(.deviceContested).count == 2)
            #expect(event.text.contains("127.0.0.1:\(holder.localPort)"))
            #expect(bench.history.lines.contains { $0.contains("device contested") && $0.contains("a.1") })
        }
    }

    @Test("A contested device goes to the newcomer when its holder does not answer a Ping")
    func contestedDead() async throws {
        try await PodBench.with { bench in
            var holder = try await bench.lamp(bench.a)
            for round in 0..<RouteTimes.contestedAt {
                holder = try await bench.lamp(round.isMultiple(of: 2) ? bench.b : bench.a)
            }
            let newcomer = try await bench.lamp(bench.b)
            #expect(try await holder.receiveAbort().text.contains("superseded"))
            #expect(try await bench.reaches(newcomer, through: bench.b))
        }
    }

    @Test("A pod serves what other pods and edges may ask of it, and nothing else")
    func podResponder() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a)
            func ask(_ request: Request) async -> Response { await bench.pods.deliver(request, to: bench.a.pod) }
            var noFence = PodBench.request()
            noFence.options.fence = nil
            let refused = await ask(noFence)
            #expect(refused.code == .forbidden)
            #expect(refused.options.undelivered != nil)
            #expect(await ask(PodBench.request(milliseconds: 0)).options.undelivered == .late)
            #expect(await ask(PodBench.request(epoch: 7)).options.undelivered == .superseded)
            #expect(await ask(Request(.get, path: ["oic"])).code == .notFound)
            var root = PodBench.request()
            root.options.path = ["lamp"]
            async let answered = ask(root)
            let asked = try await peer.receiveRequest(.post, "")
            try await peer.answer(asked, Response(.changed))
            #expect(await answered.code == .changed)
            // No device can be called so, and who is no program of ours is told nothing.
            let notice = TakeoverNotice(di: try Self.lampID(), epoch: 1 << 52, pod: "b.1").request(from: bench.b.pod)
            var outsider = notice
            outsider.options.caller = nil
            #expect(await ask(outsider).code == .notFound)
            #expect(throws: IdentifierError.reserved("pod")) { try DeviceID("pod") }
            var garbage = notice
            garbage.payload = ByteBuffer(string: "x")
            #expect(await ask(garbage).code == .badRequest)
            #expect(try await bench.reaches(peer, through: bench.a))
            #expect(await ask(notice).code == .changed)
            #expect(bench.a.sessions.count == 0)
        }
    }

    @Test("A notice with a smaller epoch makes the pod with the newer session assert it")
    func smallerEpoch() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a)
            bench.routes.empty()
            let notice = TakeoverNotice(di: try Self.lampID(), epoch: 0, pod: "b.1").request(from: bench.b.pod)
            #expect(await bench.pods.deliver(notice, to: bench.a.pod).code == .changed)
            #expect(await bench.routes.route(try Self.lampID())?.pod == bench.a.pod)
            #expect(try await bench.reaches(peer, through: bench.a))
        }
    }

    @Test("Sessions end by device, by user and by login, and their logins are listed")
    func changes() async throws {
        try await PodBench.with { bench in
            for (kind, subject) in [
                (Change.Kind.device, "lamp"), (.client, "lamp"), (.user, "alice"), (.family, "t"),
            ] {
                let peer = try await bench.lamp(bench.a)
                #expect(bench.a.sessions.logins(missedUpTo: 0).map(\.family) == [FamilyID(stored: "t")])
                for other in ["other", ""] {
                    await bench.a.sessions.end(
                        Change(sequence: 1, kind: kind, subject: other, at: Timestamp(milliseconds: 0)))
                }
                #expect(bench.a.sessions.count == 1)
                await bench.a.sessions.end(
                    Change(sequence: 2, kind: kind, subject: subject, at: Timestamp(milliseconds: 0)))
                #expect(try await peer.receiveAbort().text == kind.endReason)
                #expect(bench.a.sessions.logins(missedUpTo: 2).isEmpty)
            }
        }
    }

    @Test("A session follows its connection's second sign-in to another login")
    func secondLogin() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a, token: "one")
            try await peer.start(.signIn(uid: "alice", di: "lamp", accessToken: "two"))
            #expect(try await peer.receivePastCSM().code == .changed)
            let change = { Change(sequence: 1, kind: .family, subject: $0, at: Timestamp(milliseconds: 0)) }
            await bench.a.sessions.end(change("one"))
            #expect(bench.a.sessions.count == 1)
            await bench.a.sessions.end(change("two"))
            try await peer.receiveAbort()
            #expect(bench.a.sessions.count == 0)
        }
    }

    // MARK: Pauses

    @Test("After a pause nothing is written until the store has confirmed the session")
    func fence() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a)
            bench.routes.become(.silent)
            bench.a.keeper.paused(.seconds(6))
            let response = await bench.pods.deliver(PodBench.request(), to: bench.a.pod)
            #expect(response.options.undelivered == .moving)
            try await peer.expectSilence()
            bench.routes.become(.works)
            try await eventually("the session is confirmed") {
                let response = await bench.pods.deliver(PodBench.request(milliseconds: 1), to: bench.a.pod)
                return response.options.undelivered != .moving
            }
        }
    }

    @Test("After a pause in which another pod took over the session ends, and wrote nothing")
    func fencedLoser() async throws {
        try await PodBench.with { bench in
            let old = try await bench.lamp(bench.a)
            bench.pods.cut(bench.a.pod, true)
            let new = try await bench.lamp(bench.b)
            bench.a.keeper.paused(.seconds(11))
            let response = await bench.pods.deliver(PodBench.request(), to: bench.b.pod, from: new)
            #expect(response.code == .changed)
            bench.pods.cut(bench.a.pod, false)
            let late = await bench.pods.deliver(PodBench.request(), to: bench.a.pod)
            #expect(late.options.undelivered == .moving)
            #expect(try await old.receiveAbort().text.contains("superseded"))
            #expect(bench.a.sessions.count == 0)
        }
    }

    @Test("A pod whose store cannot be reached goes by its own table after a pause")
    func fenceLifted() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a)
            bench.routes.become(.fails)
            bench.a.keeper.paused(.seconds(6))
            #expect(
                await bench.pods.deliver(PodBench.request(), to: bench.a.pod).options.undelivered == .moving)
            // It was asked for that very request, and could not say.
            #expect(try await bench.reaches(peer, through: bench.a))
        }
    }

    @Test("A renewal from before a pause that was not answered does not make the store unreachable after it")
    func silenceFromBefore() async throws {
        try await PodBench.with { bench in
            _ = try await bench.lamp(bench.a)
            bench.routes.become(.silent)
            let keeper = bench.a.keeper
            let began = NIODeadline.now()
            keeper.tick(now: began)
            keeper.paused(.seconds(6))
            keeper.tick(now: began + .seconds(6))
            #expect(keeper.fence.holds(confirmed: 0))
            // Asked again after the pause, and as silent.
            keeper.tick(now: began + .seconds(10))
            #expect(!keeper.fence.holds(confirmed: 0))
        }
    }

    @Test("A pause that is noticed at the moment of writing lets nothing out, and gives back what was queued")
    func pauseAtWriting() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a)
            let session = try #require(bench.a.sessions.find(try Self.lampID()))
            bench.routes.become(.silent)
            try await withThrowingTaskGroup(of: Response.self) { tasks in
                for _ in 0..<18 {
                    tasks.addTask { await bench.pods.deliver(PodBench.request(), to: bench.a.pod) }
                }
                var received: [Message] = []
                for _ in 0..<16 { received.append(try await peer.receiveRequest(.post, "light")) }
                let keeper = bench.a.keeper
                // As if the loop had not turned for 6 s.
                session.connection.onLoop { connection in
                    connection.turn = LoopTurn(limit: .seconds(5), start: .now() - .seconds(6)) {
                        keeper.paused($0)
                    }
                }
                tasks.addTask { await bench.pods.deliver(PodBench.request(), to: bench.a.pod) }
                // Two that were queued, and the one that noticed.
                for _ in 0..<3 { #expect(try await tasks.next()?.options.undelivered == .moving) }
                for message in received { try await peer.answer(message, Response(.changed)) }
                for _ in 0..<16 { #expect(try await tasks.next()?.code == .changed) }
            }
            try await peer.expectSilence()
        }
    }
}

extension LocalPods {
    /// The same, answered by a peer.
    func deliver(_ request: Request, to pod: Pod, from peer: ScriptedPeer) async -> Response {
        async let response = self.deliver(request, to: pod)
        if let asked = try? await peer.receiveRequest(.post, "light") {
            try? await peer.answer(asked, Response(.changed))
        }
        return await response
    }
}
