import Cloud
import CoAP
import NIOCore
import TestSupport
import Testing

@testable import Edge

@Suite("Every request has exactly one answer")
struct ExactlyOnceTests {
    private static let responses: [Response] =
        Undelivered.allCases.map { .undelivered($0) } + UnknownOutcome.allCases.map { .unknown($0) } + [.on]

    @Test(
        "Whatever happens in whatever order, and within its deadline", arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func anyOrder(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        for round in 0..<Rounds.scaled(6) {
            try await self.run(&random, round)
        }
    }

    private func run(_ random: inout SeededGenerator, _ round: Int) async throws {
        let pods = [EdgeBench.home, EdgeBench.elsewhere]
        let held = pods.map { _ in ScriptedResponder(.hold) }
        var limits = EdgeLimits()
        (limits.inFlight, limits.inFlightPerOwner, limits.waitersPerDevice) = (20, 12, 4)
        limits.inFlightPerOwnerAndPod = 8
        let bench = try EdgeBench(
            held[0], owner: "alice", isSignedIn: Bool.random(using: &random),
            localPod: Bool.random(using: &random) ? pods[0] : nil, limits: limits)
        bench.pods["pod.2"] = held[1]
        var current = (pod: pods[0], epoch: UInt64(0))
        var asked = 0
        for _ in 0..<120 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...2:
                asked += 1
                let method = [Code.get, .post, .put, .delete].randomElement(using: &random) ?? .get
                let uid = Int.random(in: 0..<8, using: &random) == 0 ? "bob" : "alice"
                let deadline = UInt32.random(in: 0...8000, using: &random)
                await bench.begin("\(asked)", EdgeBench.request(method, "light", deadline: deadline, uid: uid))
            case 3...4:
                let pod = pods.randomElement(using: &random) ?? pods[0]
                current = (pod, try bench.claim(pod))
            case 5: bench.mark(.moving, epoch: current.epoch, pod: current.pod)
            case 6: bench.mark(.left, epoch: current.epoch, pod: current.pod)
            case 7: bench.routes.drop(bench.lamp, pod: current.pod, epoch: current.epoch)
            case 8: bench.routes.isDown.toggle()
            case 9:
                bench.routes.isSlow.toggle()
                bench.routes.release()
            case 10: bench.routes.losesNotices.toggle()
            default:
                let response = Self.responses.randomElement(using: &random) ?? .on
                (held.randomElement(using: &random) ?? held[0]).release(response)
            }
            await bench.advance(.milliseconds(Int64.random(in: 0...400, using: &random)))
        }
        if Bool.random(using: &random) { bench.edge.stopWaiting() }
        // Pods answer once their time is over; nothing else is needed for all to end.
        for _ in 0..<12 {
            for pod in held { pod.release(.unknown(.noAnswer)) }
            await bench.advance(.seconds(1))
        }
        #expect(bench.answers.names.count == asked, "round \(round)")
        #expect(Set(bench.answers.names).count == asked)
        #expect(bench.edge.inFlight == 0)
        #expect(bench.edge.admission.owners == 0)
        for (_, request) in bench.pods.log {
            #expect((1...8000).contains(request.options.deadlineMilliseconds ?? 0))
            #expect(request.options.fence?.uid != nil)
        }
    }
}
