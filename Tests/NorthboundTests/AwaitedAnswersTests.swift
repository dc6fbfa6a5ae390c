import CoAP
import Synchronization
import Testing

@testable import Northbound

@Suite("Waiting for answers", .timeLimit(.minutes(1)))
struct AwaitedAnswersTests {
    private let request = Request(.get, path: ["lamp", "light"])

    @Test("The answer ends the waiting, a second one falls to the ground")
    func answered() async {
        let responder = HeldResponder()
        let awaited = AwaitedAnswers()
        async let answer = awaited.answer(to: self.request, from: responder, until: .now + .seconds(60))
        let held = await responder.next()
        held(Response(.content))
        held(Response(.badGateway))
        #expect(await answer?.code == .content)
    }

    @Test("Whoever is not answered in time gives up, and others wait on; a late answer falls to the ground")
    func late() async {
        let responder = HeldResponder()
        let awaited = AwaitedAnswers()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await awaited.run() }
            async let patient = awaited.answer(to: self.request, from: responder, until: .now + .seconds(60))
            let other = await responder.next()
            async let hasty = awaited.answer(to: self.request, from: responder, until: .now + .milliseconds(1))
            let held = await responder.next()
            #expect(await hasty == nil)
            held(Response(.content))
            other(Response(.changed))
            #expect(await patient?.code == .changed)
            group.cancelAll()
        }
    }
}

/// Leaves every answer to the test.
private final class HeldResponder: Responder {
    typealias Answer = @Sendable (Response) -> Void

    private let requests = AsyncStream.makeStream(of: Answer.self)

    func respond(to request: Request, answer: @escaping Answer) {
        self.requests.continuation.yield(answer)
    }

    /// What the next request is answered by.
    func next() async -> Answer {
        for await answer in self.requests.stream { return answer }
        return { _ in }
    }
}
