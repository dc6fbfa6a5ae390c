import Cloud
import CoAP
import NIOCore
import OCF
import Testing

@testable import Edge

@Suite("Where a request for a device goes, and how often")
struct DeliveryTests {
    @Test("The device's own answer is passed on, whatever its code")
    func passedOn() async throws {
        for response in [Response.on, Response(.unauthorized), Response(Code(5, 30)), Response(.serviceUnavailable)] {
            let bench = try EdgeBench(ScriptedResponder(.answer(response)))
            #expect(await bench.ask() == response)
            #expect(bench.pods.requests.count == 1)
            #expect(bench.registry.requests.isEmpty)
        }
    }

    @Test("The pod gets the request with its fence, its id and the time that is left")
    func annotated() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        var request = EdgeBench.request(.get, "light")
        request.options.deadlineMilliseconds = 700
        _ = await bench.ask(request)
        let seen = try #require(bench.pods.requests.first)
        #expect(seen.options.path == ["lamp", "light"])
        #expect(seen.options.fence == Fence(uid: "alice"))
        #expect(seen.options.requestID == "r-1")
        #expect((1...700).contains(seen.options.deadlineMilliseconds ?? 0))
    }

    @Test("Nobody has the device: unknown is 4.04, somebody else's 4.03, one's own 5.03, each marked as undelivered")
    func owners() async throws {
        for (owner, code) in [(nil, Code.notFound), ("bob", .forbidden), ("alice", .serviceUnavailable)] {
            let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(.noSession))), owner: owner)
            let answer = await bench.ask()
            #expect(answer.code == code)
            #expect(answer.options.undelivered == .noSession)
            #expect(bench.pods.requests.count == 1)
            let question = try #require(bench.registry.requests.first)
            #expect(question.options.path == RegistryProtocol.devices + ["lamp"])
            #expect(question.options.requestID == "r-1")
            #expect(question.options.caller == "edge")
        }
    }

    @Test("A client's id names no device: 4.04")
    func clientID() async throws {
        let bench = try EdgeBench(
            ScriptedResponder(.answer(.undelivered(.noSession))), owner: "alice", kind: .client)
        #expect(await bench.ask().code == .notFound)
    }

    @Test("A registry that cannot say why leaves it at 5.03")
    func registryDown() async throws {
        let bench = EdgeBench(
            ScriptedResponder(.answer(.undelivered(.noSession))),
            registry: ScriptedResponder(.answer(Response(.serviceUnavailable, diagnostic: "no store", maxAge: 5))))
        let answer = await bench.ask()
        #expect(answer.code == .serviceUnavailable)
        #expect(answer.options.undelivered == .noSession)
    }

    @Test("A full queue and a passed deadline are told as they are, without a question to anybody")
    func toldAtOnce() async throws {
        for reason in [Undelivered.queueFull, .late] {
            let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(reason))))
            #expect(await bench.ask().options.undelivered == reason)
            #expect(bench.registry.requests.isEmpty)
        }
    }

    @Test(
        "A request lost with its connection is asked once more if that does no harm",
        arguments: [Code.get, .put, .fetch])
    func repeated(method: Code) async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.on)))
        #expect(await bench.ask(EdgeBench.request(method, "light")) == .on)
        #expect(bench.pods.requests.count == 2)
    }

    @Test("POST and DELETE are not asked twice", arguments: [Code.post, .delete, .patch, .iPatch])
    func notRepeated(method: Code) async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.on)))
        let answer = await bench.ask(EdgeBench.request(method, "light"))
        #expect(answer.code == .badGateway)
        #expect(answer.options.unknownOutcome == .connectionLost)
        #expect(bench.pods.requests.count == 1)
    }

    @Test("A second loss is the end, and so is a second attempt that finds nobody: the first may have been acted on")
    func onlyOnce() async throws {
        for second in [Response.unknown(.connectionLost), .undelivered(.noSession), .undelivered(.moving)] {
            let bench = try EdgeBench(
                ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(second), .answer(.on)))
            let answer = await bench.ask()
            #expect(answer.options.unknownOutcome == .connectionLost)
            #expect(answer.options.undelivered == nil)
            #expect(bench.pods.requests.count == 2)
            #expect(bench.registry.requests.isEmpty)
        }
    }

    @Test("No answer in time is not asked again")
    func noAnswer() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.noAnswer)), .answer(.on)))
        #expect(await bench.ask().options.unknownOutcome == .noAnswer)
        #expect(bench.pods.requests.count == 1)
    }

    @Test("A request whose time is over is not sent at all, and not a second time after a loss")
    func deadline() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        var request = EdgeBench.request(.get, "light")
        request.options.deadlineMilliseconds = 0
        let answer = await bench.ask(request)
        #expect(answer.code == .gatewayTimeout)
        #expect(answer.options.undelivered == .late)
        #expect(bench.pods.requests.isEmpty)

        let slow = try EdgeBench(ScriptedResponder(.hold, .answer(.on)))
        request.options.deadlineMilliseconds = 20
        let asked = request
        async let pending = slow.ask(asked)
        while slow.pods.requests.isEmpty { await Task.yield() }
        let sent = ContinuousClock.now
        while sent.duration(to: .now) < .milliseconds(25) { await Task.yield() }
        slow.pods.release(.unknown(.connectionLost))
        #expect(await pending.options.unknownOutcome == .connectionLost)
        #expect(slow.pods.requests.count == 1)
    }

    @Test("A path without a device is 4.04; a request nobody authorised is our own mistake, and goes nowhere")
    func refused() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        var request = Request(.get, path: [])
        request.options.fence = Fence(uid: "alice")
        #expect(await bench.ask(request).code == .notFound)
        request.options.path = ["a b", "light"]
        #expect(await bench.ask(request).code == .notFound)
        #expect(await bench.ask(Request(.get, path: ["lamp", "light"])).code == .internalServerError)
        #expect(bench.pods.requests.isEmpty)
    }

    @Test("RFC 7252 §5.7.1: unknown and unsafe is 4.02 in a request and 5.02 in an answer; unknown and safe passes")
    func unsafeOptions() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on), .answer(.on)))
        var request = EdgeBench.request(.get, "light")
        request.options.append(OptionNumber(rawValue: 65002), bytes: [1])
        #expect(await bench.ask(request).code == .badOption)
        #expect(bench.pods.requests.isEmpty)
        request.options.removeAll(OptionNumber(rawValue: 65002))
        request.options.append(OptionNumber(rawValue: 65000), bytes: [1])
        #expect(await bench.ask(request) == .on)
        #expect(bench.pods.requests.first?.options.contains(OptionNumber(rawValue: 65000)) == true)

        var response = Response.on
        response.options.append(OptionNumber(rawValue: 65000), bytes: [1])
        let safe = try EdgeBench(ScriptedResponder(.answer(response)))
        #expect(await safe.ask() == response)
        response.options.append(OptionNumber(rawValue: 65002), bytes: [1])
        let unsafe = try EdgeBench(ScriptedResponder(.answer(response)))
        #expect(await unsafe.ask().code == .badGateway)
    }
}
