import Cloud
import CoAP
import NIOCore
import Testing

@testable import Edge

@Suite("What one edge takes on")
struct EdgeLimitsTests {
    @Test("RFC 8516: the 257th request of an owner in flight is 4.29 with Max-Age; another owner's is taken")
    func owner() async throws {
        let pod = ScriptedResponder(.hold)
        let bench = try EdgeBench(pod)
        for number in 1...257 { await bench.begin("\(number)") }
        #expect(bench.answers.names == ["257"])
        #expect(bench.answers["257"]?.code == .tooManyRequests)
        #expect(bench.answers["257"]?.options.undelivered == .tooManyInFlight)
        #expect(bench.answers["257"]?.options.maxAge == 1)
        await bench.begin("bob", EdgeBench.request(.get, "light", uid: "bob"))
        #expect(bench.answers["bob"]?.code == .notFound)
        pod.release(.on)
        await bench.run()
        #expect(bench.answers.all.count == 258)
        #expect(bench.edge.inFlight == 0)
        await bench.begin("258")
        #expect(bench.edge.inFlight == 1)
    }

    @Test("A pod that does not answer takes the places of its own devices; who owns them reaches the others")
    func silentPod() async throws {
        let silent = ScriptedResponder(.hold)
        let bench = try EdgeBench(silent)
        bench.pods[EdgeBench.elsewhere.name] = ScriptedResponder(.answer(.on))
        try bench.claim(EdgeBench.elsewhere, of: DeviceID("oven"))
        for number in 1...257 { await bench.begin("\(number)") }
        #expect(bench.answers.names == ["257"])
        #expect(await bench.ask(EdgeBench.request(.get, "heat", of: "oven")) == .on)
        silent.release(.on)
        await bench.run()
        #expect(bench.edge.inFlight == 0)
        #expect(await bench.ask() == nil)
        silent.release(.on)
        await bench.run()
        #expect(bench.edge.admission.owners == 0)
    }

    @Test("Who waits for devices between two pods takes no place of those that are connected")
    func waiting() async throws {
        var limits = EdgeLimits()
        limits.waitersPerOwner = 3
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)), limits: limits)
        var epochs: [DeviceID: UInt64] = [:]
        for name in ["oven", "fan", "hob", "door"] {
            let di = try DeviceID(name)
            epochs[di] = try bench.claim(EdgeBench.home, of: di)
        }
        for (di, epoch) in epochs { bench.routes.mark(di, pod: EdgeBench.home, epoch: epoch, as: .moving) }
        for name in ["oven", "fan", "hob", "door"] { await bench.begin(name, EdgeBench.request(.get, of: name)) }
        #expect(bench.answers.names == ["door"])
        #expect(bench.answers["door"]?.options.undelivered == .tooManyInFlight)
        #expect(await bench.ask() == .on)
        // It is back, and its request has left the waiting ones.
        try bench.claim(EdgeBench.home, of: DeviceID("oven"))
        await bench.run()
        #expect(bench.answers["oven"] == .on)
        await bench.begin("door again", EdgeBench.request(.get, of: "door"))
        #expect(bench.answers["door again"] == nil)
        bench.edge.stopWaiting()
        await bench.run()
        #expect(bench.edge.admission.owners == 0)
    }

    @Test("An owner has as many in flight at all pods together as one may have")
    func altogether() async throws {
        var limits = EdgeLimits()
        limits.inFlightPerOwner = 3
        let bench = try EdgeBench(ScriptedResponder(.hold), limits: limits)
        for name in ["a", "b", "c"] { await bench.begin(name) }
        #expect(await bench.ask()?.options.undelivered == .tooManyInFlight)
    }

    @Test("An edge that has as many in flight as it takes says 5.03 to everybody")
    func everybody() async throws {
        var limits = EdgeLimits()
        limits.inFlight = 3
        let bench = try EdgeBench(ScriptedResponder(.hold), limits: limits)
        for name in ["a", "b", "c"] { await bench.begin(name) }
        let answer = try #require(await bench.ask(EdgeBench.request(.get, "light", uid: "bob")))
        #expect(answer.code == .serviceUnavailable)
        #expect(answer.options.undelivered == .overloaded)
        #expect(answer.options.maxAge == 1)
    }

    @Test("What is admitted is counted by owner, and leaves no trace when it is released")
    func admission() {
        var limits = EdgeLimits()
        (limits.inFlight, limits.inFlightPerOwner) = (3, 2)
        let admission = Admission(limits)
        #expect(admission.admit("alice") == .admitted(number: 1))
        #expect(admission.admit("alice") == .admitted(number: 2))
        #expect(admission.admit("alice") == .ownerIsFull)
        #expect(admission.admit("bob") == .admitted(number: 3))
        #expect(admission.admit("carol") == .isFull)
        admission.release("alice")
        #expect(admission.admit("carol") == .admitted(number: 4))
        for owner in ["alice", "bob", "carol"] { admission.release(owner) }
        #expect(admission.count == 0)
        #expect(admission.owners == 0)
        // Our own mistake, and harmless.
        admission.release("alice")
        #expect(admission.count == 0)
    }

    @Test("What is at a pod is counted by owner and pod, and leaves no trace")
    func atPods() {
        let admission = Admission(maximum: 9, perOwner: 9, perOwnerAndPod: 2)
        for _ in 1...4 { _ = admission.admit("alice") }
        _ = admission.admit("bob")
        for _ in 1...2 { #expect(admission.enter("alice", pod: "a")) }
        #expect(!admission.enter("alice", pod: "a"))
        #expect(admission.enter("bob", pod: "a"))
        #expect(admission.enter("alice", pod: "b"))
        admission.release("alice", pod: "a")
        #expect(admission.enter("alice", pod: "a"))
        #expect(!admission.enter("alice", pod: "a"))
        admission.leave("alice", pod: "a")
        #expect(admission.enter("alice", pod: "a"))
        for pod in ["a", "a", "b"] { admission.release("alice", pod: pod) }
        admission.release("bob", pod: "a")
        #expect(admission.owners == 0)
        #expect(!admission.enter("alice", pod: "a"), "nobody was admitted")
    }

    @Test("RFC 8768 §3: Hop-Limit is counted down, 16 where there was none, and ends a request that had its last hop")
    func hopLimit() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        #expect(await bench.ask() == .on)
        #expect(bench.pods.log.last?.request.options.hopLimit == 16)
        var request = EdgeBench.request(.get, "light")
        for (received, sent) in [(255, 254), (16, 15), (2, 1)] as [(UInt8, UInt8)] {
            request.options.hopLimit = received
            #expect(await bench.ask(request) == .on)
            #expect(bench.pods.log.last?.request.options.hopLimit == sent)
        }
        let count = bench.pods.log.count
        request.options.hopLimit = 1
        #expect(await bench.ask(request)?.code == .hopLimitReached)
        request.options.hopLimit = 0
        #expect(await bench.ask(request)?.code == .badRequest)
        request.options.hopLimit = nil
        request.options.append(.hopLimit, uint: 256)
        #expect(await bench.ask(request)?.code == .badRequest)
        #expect(bench.pods.log.count == count)
        #expect(bench.edge.inFlight == 0)
    }
}
