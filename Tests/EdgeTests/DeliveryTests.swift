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
            #expect(bench.pods.log.count == 1)
            #expect(bench.registry.requests.isEmpty)
        }
    }

    @Test("The pod gets the request with its fence, its id and the time that is left")
    func annotated() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        var request = EdgeBench.request(.get, "light")
        request.options.deadlineMilliseconds = 700
        _ = await bench.ask(request)
        let seen = try #require(bench.pods.log.first?.request)
        #expect(seen.options.path == ["lamp", "light"])
        let epoch = try #require(seen.options.fence?.epoch)
        #expect(epoch > 0)
        #expect(seen.options.fence == Fence(epoch: epoch, uid: "alice"))
        #expect(seen.options.requestID == "r-1")
        #expect((1...700).contains(seen.options.deadlineMilliseconds ?? 0))
    }

    @Test("Nobody has the device: unknown is 4.04, somebody else's 4.03, one's own 5.03, each marked as undelivered")
    func owners() async throws {
        for (owner, code) in [(nil, Code.notFound), ("bob", .forbidden), ("alice", .serviceUnavailable)] {
            let bench = try EdgeBench(nil, owner: owner, isSignedIn: false)
            let answer = try #require(await bench.ask())
            #expect(answer.code == code)
            #expect(answer.options.undelivered == .noSession)
            #expect(bench.pods.log.isEmpty)
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
        // The route is older than what a session may be behind it.
        await bench.advance(.seconds(5))
        #expect(await bench.ask()?.code == .notFound)
    }

    @Test("A registry that cannot say why leaves it at 5.03")
    func registryDown() async throws {
        let bench = try EdgeBench(
            nil, isSignedIn: false,
            registry: ScriptedResponder(.answer(Response(.serviceUnavailable, diagnostic: "no store", maxAge: 5))))
        let answer = try #require(await bench.ask())
        #expect(answer.code == .serviceUnavailable)
        #expect(answer.options.undelivered == .noSession)
    }

    @Test("A full queue and a passed deadline are told as they are, without a question to anybody")
    func toldAtOnce() async throws {
        for reason in [Undelivered.queueFull, .late] {
            let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(reason))))
            #expect(await bench.ask()?.options.undelivered == reason)
            #expect(bench.registry.requests.isEmpty)
        }
    }

    @Test(
        "A request lost with its connection is asked once more if that does no harm",
        arguments: [Code.get, .put, .fetch])
    func repeated(method: Code) async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.on)))
        #expect(await bench.ask(EdgeBench.request(method, "light")) == .on)
        #expect(bench.pods.log.count == 2)
    }

    @Test("POST and DELETE are not asked twice", arguments: [Code.post, .delete, .patch, .iPatch])
    func notRepeated(method: Code) async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.on)))
        let answer = try #require(await bench.ask(EdgeBench.request(method, "light")))
        #expect(answer.code == .badGateway)
        #expect(answer.options.unknownOutcome == .connectionLost)
        #expect(bench.pods.log.count == 1)
    }

    @Test("A second loss is the end, and so is a second attempt that finds nobody: the first may have been acted on")
    func onlyOnce() async throws {
        for second in [Response.unknown(.connectionLost), .undelivered(.noSession), .undelivered(.moving)] {
            let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(second)))
            let answer = try #require(await bench.ask(within: .seconds(21)))
            #expect(answer.options.unknownOutcome == .connectionLost)
            #expect(answer.options.undelivered == nil)
            #expect(bench.registry.requests.isEmpty)
        }
    }

    @Test("No answer in time is not asked again")
    func noAnswer() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.unknown(.noAnswer)), .answer(.on)))
        #expect(await bench.ask()?.options.unknownOutcome == .noAnswer)
        #expect(bench.pods.log.count == 1)
    }

    @Test("A request whose time is over is not sent at all, and not a second time after a loss")
    func deadline() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        let answer = try #require(await bench.ask(EdgeBench.request(deadline: 0)))
        #expect(answer.code == .gatewayTimeout)
        #expect(answer.options.undelivered == .late)
        #expect(bench.pods.log.isEmpty)

        let held = ScriptedResponder(.hold, .answer(.on))
        let slow = try EdgeBench(held)
        await slow.begin("slow", EdgeBench.request(deadline: 20))
        await slow.advance(.milliseconds(20))
        held.release(.unknown(.connectionLost))
        await slow.run()
        #expect(slow.answers["slow"]?.options.unknownOutcome == .connectionLost)
        #expect(slow.pods.log.count == 1)
    }

    @Test("A path without a device is 4.04; a request nobody authorised is our own mistake, and goes nowhere")
    func refused() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on)))
        var request = Request(.get, path: [])
        request.options.fence = Fence(uid: "alice")
        #expect(await bench.ask(request)?.code == .notFound)
        request.options.path = ["a b", "light"]
        #expect(await bench.ask(request)?.code == .notFound)
        #expect(await bench.ask(Request(.get, path: ["lamp", "light"]))?.code == .internalServerError)
        #expect(bench.pods.log.isEmpty)
    }

    @Test("RFC 7252 §5.7.1: unknown and unsafe is 4.02 in a request and 5.02 in an answer; unknown and safe passes")
    func unsafeOptions() async throws {
        let bench = try EdgeBench(ScriptedResponder(.answer(.on), .answer(.on)))
        var request = EdgeBench.request(.get, "light")
        request.options.append(OptionNumber(rawValue: 65002), bytes: [1])
        #expect(await bench.ask(request)?.code == .badOption)
        #expect(bench.pods.log.isEmpty)
        request.options.removeAll(OptionNumber(rawValue: 65002))
        request.options.append(OptionNumber(rawValue: 65000), bytes: [1])
        #expect(await bench.ask(request) == .on)
        #expect(bench.pods.log.first?.request.options.contains(OptionNumber(rawValue: 65000)) == true)

        var response = Response.on
        response.options.append(OptionNumber(rawValue: 65000), bytes: [1])
        let safe = try EdgeBench(ScriptedResponder(.answer(response)))
        #expect(await safe.ask() == response)
        response.options.append(OptionNumber(rawValue: 65002), bytes: [1])
        let unsafe = try EdgeBench(ScriptedResponder(.answer(response)))
        #expect(await unsafe.ask()?.code == .badGateway)
    }
}
