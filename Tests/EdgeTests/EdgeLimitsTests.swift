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
