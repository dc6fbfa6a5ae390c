import Cloud
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("Requests for a device that is between two pods")
struct BetweenPodsTests {
    private static func bench(_ state: Route.State, limits: EdgeLimits = EdgeLimits()) throws -> EdgeBench {
        let bench = try EdgeBench(nil, owner: "alice", isSignedIn: false, limits: limits)
        let epoch = try bench.claim(EdgeBench.home)
        bench.mark(state, epoch: epoch)
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        return bench
    }

    @Test(
        "They wait, and go to the pod that claims it at once, in the order they came",
        arguments: [Route.State.moving, .left])
    func delivered(state: Route.State) async throws {
        let bench = try Self.bench(state)
        for name in ["a", "b", "c"] { await bench.begin(name, EdgeBench.request(.post, name)) }
        await bench.advance(.seconds(3))
        #expect(bench.answers.all.isEmpty)
        #expect(bench.pods.log.isEmpty)
        try bench.claim(EdgeBench.elsewhere)
        // No time passes at all.
        await bench.run()
        #expect(bench.answers.names == ["a", "b", "c"])
        #expect(bench.pods.log.map { $0.request.options.path?.last } == ["a", "b", "c"])
        // What was heard is remembered.
        let finds = bench.routes.finds
        await bench.begin("d")
        #expect(bench.answers.names.last == "d")
        #expect(bench.routes.finds == finds)
    }

    @Test("A session that is about to begin is waited for, though no other claim will tell of it")
    func aboutToBegin() async throws {
        let bench = try EdgeBench(
            ScriptedResponder(
                .answer(.undelivered(.moving)), .answer(.undelivered(.moving)), .answer(.on)))
        await bench.begin()
        await bench.advance(.milliseconds(20))
        #expect(bench.answers.all.isEmpty)
        await bench.advance(.milliseconds(50))
        #expect(bench.answers["r"] == .on)
        #expect(bench.pods.visited == ["pod.1", "pod.1", "pod.1"])
    }

    @Test("A session that takes all of a request's time to end is asked a bounded number of times")
    func bounded() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.moving))))
        await bench.begin()
        for _ in 0..<200 where bench.answers.all.isEmpty { await bench.advance(.milliseconds(100)) }
        #expect(bench.answers["r"]?.options.undelivered == .moving)
        #expect((10...DeliveryMachine.maximumAttempts).contains(bench.pods.visited.count))
    }

    @Test("A pod that says the device is moving is believed before the store says so")
    func movingFromPod() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.moving))))
        await bench.begin()
        await bench.advance(.seconds(2))
        #expect(bench.answers.all.isEmpty)
        #expect(Set(bench.pods.visited) == ["pod.1"])
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        try bench.claim(EdgeBench.elsewhere)
        await bench.advance(.seconds(2))
        #expect(bench.answers["r"] == .on)
    }

    @Test("What came back from a pod stands before what came later")
    func orderAfterRefusal() async throws {
        let held = ScriptedResponder(.hold)
        let bench = try EdgeBench(held, isSignedIn: false)
        let epoch = try bench.claim(EdgeBench.home)
        await bench.begin("1", EdgeBench.request(.post, "1"))
        // Its route is no longer remembered when the second one comes.
        await bench.advance(.seconds(19))
        bench.mark(.moving, epoch: epoch)
        held.release(.undelivered(.moving))
        await bench.run()
        await bench.begin("2", EdgeBench.request(.post, "2"))
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        try bench.claim(EdgeBench.elsewhere)
        await bench.run()
        #expect(bench.answers.names == ["1", "2"])
    }

    @Test("Who comes while the first is waited for does not overtake it")
    func nobodyOvertakes() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.moving)), .answer(.on)))
        for name in ["1", "2", "3"] { await bench.begin(name, EdgeBench.request(.post, name)) }
        #expect(bench.pods.log.count == 1)
        await bench.advance(.milliseconds(20))
        #expect(bench.pods.log.map { $0.request.options.path?.last } == ["1", "1", "2", "3"])
        #expect(bench.answers.names == ["1", "2", "3"])
    }

    @Test("Those who wait for one device do not use up each other's attempts")
    func attemptsOfMany() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.moving))))
        let names = (0..<16).map { "\($0)" }
        for name in names {
            await bench.begin(name, EdgeBench.request(.post, name))
            await bench.advance(.milliseconds(7))
        }
        await bench.advance(.seconds(8))
        #expect(bench.answers.all.isEmpty)
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        try bench.claim(EdgeBench.elsewhere)
        await bench.advance(.seconds(2))
        #expect(bench.answers.names == names)
        #expect(bench.answers.all.allSatisfy { $0.response == .on })
    }

    @Test("A notice that is lost is made up for by looks after 0.25, 0.5, 1, 2, 2 … s")
    func lostNotice() async throws {
        let bench = try Self.bench(.moving)
        bench.routes.losesNotices = true
        await bench.begin()
        var looks: [Int] = []
        for time: TimeAmount in [.milliseconds(249), .milliseconds(1), .milliseconds(499), .milliseconds(1)] {
            await bench.advance(time)
            looks.append(bench.routes.waits)
        }
        for time: TimeAmount in [.seconds(1), .seconds(2), .seconds(2), .seconds(2)] {
            await bench.advance(time)
            looks.append(bench.routes.waits)
        }
        #expect(looks == [1, 2, 2, 3, 4, 5, 6, 7])
        try bench.claim(EdgeBench.elsewhere)
        await bench.advance(.seconds(2))
        #expect(bench.answers["r"] == .on)
    }

    @Test("A device that left is waited for until 15 s after it left, and no longer")
    func leftLongAgo() async throws {
        let late = try Self.bench(.left)
        await late.advance(.seconds(16))
        let answer = try #require(await late.ask(within: .zero))
        #expect(answer.options.undelivered == .noSession)
        #expect(answer.options.maxAge == 10)

        let soon = try Self.bench(.left)
        await soon.advance(.seconds(14))
        await soon.begin()
        #expect(soon.answers.all.isEmpty)
        await soon.advance(.seconds(3))
        #expect(soon.answers["r"]?.options.undelivered == .noSession)
    }

    @Test(
        "A pod without a lease is waited for until 15 s after it lapsed; one that is gone is not, and none is dialled")
    func lapsed() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)), owner: "alice")
        bench.routes.renew(EdgeBench.home, load: PodLoad(sessions: 1)) { _ in }
        await bench.advance(.seconds(24))
        await bench.begin("waits")
        #expect(bench.answers.all.isEmpty)
        await bench.advance(.seconds(2))
        #expect(bench.answers["waits"]?.options.undelivered == .noSession)
        #expect(await bench.ask(within: .zero)?.options.undelivered == .noSession)
        #expect(bench.pods.log.isEmpty)
        bench.routes.renew(EdgeBench.home, load: PodLoad(sessions: 1)) { _ in }
        #expect(await bench.ask(within: .zero) == .on)
    }

    @Test("Without progress the deadline ends it: 5.03 with the time after which to ask again")
    func deadline() async throws {
        let bench = try Self.bench(.moving)
        await bench.begin("r", EdgeBench.request(.get, deadline: 3000))
        await bench.advance(.milliseconds(2999))
        #expect(bench.answers.all.isEmpty)
        await bench.advance(.milliseconds(1))
        #expect(bench.answers["r"]?.code == .serviceUnavailable)
        #expect(bench.answers["r"]?.options.undelivered == .moving)
        #expect(bench.answers["r"]?.options.maxAge == 2)
        // The claim that comes after it sends nothing.
        try bench.claim(EdgeBench.elsewhere)
        await bench.advance(.seconds(5))
        #expect(bench.pods.log.isEmpty)
        #expect(bench.edge.inFlight == 0)
    }

    @Test("The pod gets what is left of the deadline after the wait")
    func remainingTime() async throws {
        let bench = try Self.bench(.moving)
        await bench.begin("r", EdgeBench.request(.get, deadline: 3000))
        await bench.advance(.milliseconds(1200))
        try bench.claim(EdgeBench.elsewhere)
        await bench.run()
        #expect(bench.pods.log.first?.request.options.deadlineMilliseconds == 1800)
    }

    @Test("After a sign-out nobody waits, and who waited does no longer than to the next look")
    func signedOut() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on), .answer(.undelivered(.noSession))), owner: "alice")
        #expect(await bench.ask() == .on)
        let epoch = try #require(bench.pods.log.first?.request.options.fence?.epoch)
        bench.routes.drop(bench.lamp, pod: EdgeBench.home, epoch: epoch)
        let answer = try #require(await bench.ask(within: .zero))
        #expect(answer.options.undelivered == .noSession)
        #expect(bench.registry.requests.count == 1)

        let waiting = try EdgeBench(nil, owner: "alice", isSignedIn: false)
        let left = try waiting.claim(EdgeBench.home)
        waiting.mark(.left, epoch: left)
        await waiting.begin()
        #expect(waiting.answers.all.isEmpty)
        waiting.routes.drop(waiting.lamp, pod: EdgeBench.home, epoch: left)
        await waiting.advance(.milliseconds(250))
        #expect(waiting.answers["r"]?.options.undelivered == .noSession)
    }

    @Test("A device that comes back as somebody else's gets nothing of what waited")
    func otherOwner() async throws {
        let bench = try Self.bench(.left)
        await bench.begin()
        try bench.claim(EdgeBench.elsewhere, uid: "bob")
        await bench.run()
        #expect(bench.answers["r"] != nil)
        #expect(bench.pods.log.isEmpty)
    }

    @Test("When the process stops nobody waits any more, and nobody begins to; what can be delivered is")
    func stops() async throws {
        let bench = try Self.bench(.moving)
        await bench.begin("waiting")
        bench.edge.stopWaiting()
        await bench.run()
        #expect(bench.answers["waiting"]?.options.undelivered == .moving)
        await bench.begin("later")
        #expect(bench.answers["later"]?.options.undelivered == .moving)
        try bench.claim(EdgeBench.elsewhere)
        await bench.begin("live")
        #expect(bench.answers["live"] == .on)
        #expect(bench.edge.inFlight == 0)
    }

    @Test("The 17th that waits for a device is turned away; those who wait are not")
    func seventeenth() async throws {
        let bench = try Self.bench(.moving)
        for number in 1...17 { await bench.begin("\(number)") }
        #expect(bench.answers.names == ["17"])
        #expect(bench.answers["17"]?.code == .serviceUnavailable)
        #expect(bench.answers["17"]?.options.undelivered == .queueFull)
        try bench.claim(EdgeBench.elsewhere)
        await bench.run()
        #expect(bench.answers.names == ["17"] + (1...16).map(String.init))
        #expect(bench.edge.inFlight == 0)
    }

    @Test("Waiting requests take 64 MiB together, and what has left makes room")
    func bytes() async throws {
        let bench = try Self.bench(.moving)
        var request = EdgeBench.request(.post, "firmware")
        request.payload = ByteBuffer(repeating: 0, count: 15 * 1024 * 1024)
        for number in 1...5 { await bench.begin("\(number)", request) }
        #expect(bench.answers.names == ["5"])
        #expect(bench.answers["5"]?.options.undelivered == .queueFull)
        try bench.claim(EdgeBench.elsewhere)
        await bench.run()
        #expect(bench.answers.names == ["5", "1", "2", "3", "4"])
        try bench.claim(EdgeBench.home)
        bench.pods["pod.1"] = ScriptedResponder(.answer(.on))
        await bench.begin("6", request)
        await bench.advance(.seconds(1))
        #expect(bench.answers["6"] == .on)
    }
}
