import CoAP
import Testing

@testable import Edge

@Suite("When the edge sends a request a second time")
struct SecondAttemptTests {
    @Test(
        "What a session gave back unsent goes once more to wherever the device is now, whatever the method",
        arguments: [Code.get, .post, .delete])
    func givenBack(method: Code) async throws {
        for reason in [Undelivered.superseded, .moving] {
            let bench = try EdgeBench(ScriptedResponder(.answer(.undelivered(reason)), .answer(.on)))
            #expect(await bench.ask(EdgeBench.request(method, "light")) == .on)
            #expect(bench.pods.requests.count == 2)
        }
    }

    @Test("Given back twice it stays undelivered, and the registry is asked why")
    func givenBackTwice() async throws {
        let bench = try EdgeBench(
            ScriptedResponder(.answer(.undelivered(.moving)), .answer(.undelivered(.moving)), .answer(.on)),
            owner: "alice")
        let answer = await bench.ask()
        #expect(answer.code == .serviceUnavailable)
        #expect(answer.options.undelivered == .moving)
        #expect(bench.pods.requests.count == 2)
    }

    @Test("A full queue at the second attempt does not hide that the first may have been acted on")
    func fullAfterLoss() async throws {
        let bench = try EdgeBench(
            ScriptedResponder(.answer(.unknown(.connectionLost)), .answer(.undelivered(.queueFull))))
        #expect(await bench.ask(EdgeBench.request(.put, "light")).options.unknownOutcome == .connectionLost)
    }
}
