import Cloud
import CoAP
import CoAPTransport
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import CoAPInterface

@Suite("One device signing in on two pods at once", .timeLimit(.minutes(5)))
struct TwoPodsAtOnceTests {
    /// A line of the history that matters.
    private enum Step {
        /// A request was written to the device.
        case delivered(epoch: UInt64, pod: String)
        /// A pod promised to write nothing under a smaller epoch.
        case acknowledged(epoch: UInt64, pod: String)

        init?(_ line: String) {
            guard let id = line.firstRange(of: "coap.session.id=") else { return nil }
            let value = line[id.upperBound...].prefix { $0 != " " && $0 != "\n" }.filter { $0 != "\"" }
            let parts = value.split(separator: "@")
            guard parts.count == 2, let epoch = UInt64(parts[0]) else { return nil }
            if line.contains("request for the device") {
                self = .delivered(epoch: epoch, pod: String(parts[1]))
            } else if line.contains("takeover acknowledged") {
                self = .acknowledged(epoch: epoch, pod: String(parts[1]))
            } else {
                return nil
            }
        }
    }

    /// A device that answers everything.
    private struct Lamp: Responder {
        func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
            answer(Response(.changed))
        }
    }

    private static func signIn(_ bench: PodBench, _ member: PodBench.Member, _ dialer: CoAPDialer) async throws
        -> CoAPConnection
    {
        let connection = try await dialer.connect(
            host: "127.0.0.1", port: member.server.port, timeout: .seconds(10), server: Lamp())
        // Superseded before the answer, the connection is lost; that is an answer too.
        _ = try? await connection.send(
            .signIn(uid: "alice", di: "lamp", accessToken: "t"), timeout: .seconds(20))
        return connection
    }

    @Test("1,000 rounds: an epoch has one pod, and no pod writes under a smaller epoch once it acknowledged")
    func rounds() async throws {
        try await PodBench.with { bench in
            let dialer = CoAPDialer(
                group: MultiThreadedEventLoopGroup.singleton,
                logger: Logger(
                    label: "lamp",
                    factory: { _ in
                        SwiftLogNoOpLogHandler()
                    }))
            for round in 0..<Rounds.scaled(1000) {
                // So that the device is not taken for contested.
                bench.clock.advance(by: RouteTimes.takeoverWindow)
                if round % 10 == 9 { bench.routes.empty() }
                async let one = Self.signIn(bench, bench.a, dialer)
                async let other = Self.signIn(bench, bench.b, dialer)
                await withTaskGroup(of: Void.self) { tasks in
                    for member in [bench.a, bench.b, bench.a, bench.b] {
                        tasks.addTask {
                            for _ in 0..<3 {
                                _ = await bench.pods.deliver(
                                    PodBench.request(milliseconds: 5000), to: member.pod)
                            }
                        }
                    }
                }
                let connections = [try await one, try await other]
                if round % 10 == 9 {
                    // What the store forgot is found out by assertion.
                    for member in [bench.a, bench.b] { member.keeper.assertNow(try DeviceID("lamp")) }
                }
                try await eventually("round \(round): one session is left") {
                    bench.a.sessions.count + bench.b.sessions.count == 1
                }
                for member in [bench.a, bench.b] {
                    _ = await bench.pods.deliver(PodBench.request(milliseconds: 5000), to: member.pod)
                }
                // The winner stays for the next round, every other time.
                if round.isMultiple(of: 2) { for connection in connections { await connection.close() } }
            }
            let history = bench.history.lines.compactMap(Step.init)
            var pods: [UInt64: String] = [:]
            var promised: [String: UInt64] = [:]
            var deliveries = 0
            for step in history {
                switch step {
                case .delivered(let epoch, let pod):
                    deliveries += 1
                    #expect(pods.updateValue(pod, forKey: epoch) ?? pod == pod, "epoch \(epoch) has two pods")
                    #expect(epoch >= promised[pod] ?? 0, "\(pod) wrote under \(epoch) after it acknowledged")
                case .acknowledged(let epoch, let pod):
                    promised[pod] = max(promised[pod] ?? 0, epoch)
                }
            }
            #expect(deliveries > 1000)
            #expect(promised.count == 2)
        }
    }
}
