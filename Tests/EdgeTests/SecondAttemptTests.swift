import Cloud
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("When the edge sends a request again")
struct SecondAttemptTests {
    @Test(
        "A stale route costs one hop more: the request goes to the right pod, whatever its method",
        arguments: [Code.get, .post, .delete])
    func staleRoute(method: Code) async throws {
        for reason in [Undelivered.noSession, .superseded, .moving, .unreachable] {
            let bench = try EdgeBench(ScriptedResponder(.answer(.on), .answer(.undelivered(reason))))
            #expect(await bench.ask() == .on)
            // The route is remembered, and nobody tells the edge that the device is elsewhere now.
            bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
            try bench.claim(EdgeBench.elsewhere)
            #expect(await bench.ask(EdgeBench.request(method, "light")) == .on)
            #expect(bench.pods.visited == ["pod.1", "pod.1", "pod.2"])
            #expect(bench.routes.finds == 2)
            // And what was learnt is remembered.
            #expect(await bench.ask() == .on)
            #expect(bench.pods.visited.count == 4)
            #expect(bench.routes.finds == 2)
        }
    }

    @Test("A remembered route is used for 60 s without asking the store, then looked up again")
    func remembered() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        for _ in 0..<5 { #expect(await bench.ask() == .on) }
        #expect(bench.routes.finds == 1)
        await bench.advance(.seconds(60))
        #expect(await bench.ask() == .on)
        #expect(bench.routes.finds == 2)
    }

    @Test("Parallel requests without a route make one lookup, and leave in their order")
    func oneLookup() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        bench.routes.isSlow = true
        for name in ["a", "b", "c"] { await bench.begin(name) }
        #expect(bench.answers.all.isEmpty)
        bench.routes.release()
        await bench.run()
        #expect(bench.answers.names == ["a", "b", "c"])
        #expect(bench.routes.finds == 1)
    }

    @Test("The pod has a newer session than the store knows: the request goes there without an epoch")
    func unassertedSession() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.superseded)), .answer(.on)))
        #expect(await bench.ask() == .on)
        #expect(bench.pods.visited == ["pod.1", "pod.1"])
        #expect(bench.pods.log.last?.request.options.fence == Fence(epoch: 0, uid: "alice"))
    }

    @Test("A claim that is ahead of its session is waited for a moment")
    func claimAheadOfSession() async throws {
        let bench = try EdgeBench(
            ScriptedResponder(
                .answer(.undelivered(.noSession)), .answer(.undelivered(.noSession)), .answer(.on)))
        #expect(await bench.ask(within: .milliseconds(100)) == .on)
        #expect(bench.pods.log.count == 3)
    }

    @Test("A session that is gone for good while its route is not: told within a moment, after asking the registry why")
    func routeWithoutSession() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.noSession))), owner: "alice")
        await bench.advance(.seconds(5))
        let answer = try #require(await bench.ask(within: .milliseconds(100)))
        #expect(answer.code == .serviceUnavailable)
        #expect(answer.options.undelivered == .noSession)
        #expect(bench.pods.log.count == 2)
        #expect(bench.registry.requests.count == 1)
    }

    @Test("A pod that cannot be reached while it has its lease: its device is reached as soon as it is elsewhere")
    func deadPodWithLease() async throws {
        let bench = try EdgeBench(nil, owner: "alice")
        await bench.advance(.seconds(5))
        await bench.begin("r", EdgeBench.request(.post, "light"))
        await bench.advance(.seconds(3))
        #expect(bench.answers.all.isEmpty)
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        try bench.claim(EdgeBench.elsewhere)
        await bench.advance(.seconds(1))
        #expect(bench.answers["r"] == .on)
        #expect(bench.pods.visited.last == "pod.2")
    }

    @Test("A pod that can be reached again gets what it could not be given")
    func hiccup() async throws {
        let bench = try EdgeBench(nil)
        await bench.begin("r", EdgeBench.request(.post, "light"))
        await bench.advance(.milliseconds(200))
        bench.pods["pod.1"] = ScriptedResponder(.answer(.on))
        await bench.advance(.seconds(1))
        #expect(bench.answers["r"] == .on)
    }

    @Test("A pod that keeps its lease and cannot be reached: 5.03 when a dead one's lease would be over")
    func cutOffPod() async throws {
        let bench = try EdgeBench(nil, owner: "alice")
        let answer = try #require(await bench.ask(within: .seconds(11)))
        #expect(answer.code == .serviceUnavailable)
        #expect(answer.options.undelivered == .unreachable)
        #expect(bench.pods.log.count <= DeliveryMachine.maximumAttempts)
    }

    @Test("Somebody else at the pod's address did not act on the request: it goes to the pod the device is on now")
    func reusedAddress() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on), .answer(.undelivered(.unreachable))))
        #expect(await bench.ask() == .on)
        bench.pods["pod.2"] = ScriptedResponder(.answer(.on))
        try bench.claim(EdgeBench.elsewhere)
        #expect(await bench.ask(EdgeBench.request(.post, "light")) == .on)
        #expect(bench.pods.visited == ["pod.1", "pod.1", "pod.2"])
    }

    @Test("A full queue at the second attempt does not hide that the first may have been acted on")
    func fullAfterLoss() async throws {
        let bench = try EdgeBench(
            ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.undelivered(.queueFull))))
        #expect(await bench.ask(EdgeBench.request(.put, "light"))?.options.unknownOutcome == .connectionLost)
    }

    @Test("A POST that stands for an idempotent method is repeated after a loss, and the pod does not see the mark")
    func idempotentPost() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.on)))
        var request = EdgeBench.request(.post, "light")
        request.options.isIdempotent = true
        #expect(await bench.ask(request) == .on)
        #expect(bench.pods.log.count == 2)
        #expect(bench.pods.log.allSatisfy { $0.request.method == .post && !$0.request.options.isIdempotent })
    }

    @Test("Routes that go round in circles come to an end")
    func circles() async throws {
        let bench = try EdgeBench(ScriptedResponder(.hold), owner: "alice", isSignedIn: false)
        bench.pods["pod.2"] = ScriptedResponder(.hold)
        let pods = [EdgeBench.home, EdgeBench.elsewhere]
        var epoch = try bench.claim(pods[0])
        await bench.begin()
        for round in 1...DeliveryMachine.maximumAttempts {
            // It leaves each time: takeovers of a living session would soon be refused as contested.
            bench.mark(.left, epoch: epoch, pod: pods[(round - 1) % 2])
            epoch = try bench.claim(pods[round % 2])
            bench.pods[pods[(round - 1) % 2].name]?.release(.undelivered(.noSession))
            await bench.run()
        }
        #expect(bench.pods.log.count == DeliveryMachine.maximumAttempts)
        #expect(bench.answers["r"]?.options.undelivered == .noSession)
    }
}
