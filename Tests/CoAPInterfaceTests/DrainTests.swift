import Cloud
import CoAP
import Logging
import NIOCore
import ServiceLifecycle
import ServiceShell
import TestSupport
import Testing

@testable import CoAPInterface

/// A service that is over at once: the process stops.
private struct Nothing: Service {
    func run() async throws {}
}

@Suite("A drain", .timeLimit(.minutes(1)))
struct DrainTests {
    @Test("Sessions that are still moving at the deadline are counted as closed then, and not again when they end")
    func countedOnce() async throws {
        try await PodBench.with { bench in
            let peer = try await bench.lamp(bench.a)
            async let response = bench.pods.deliver(PodBench.request(), to: bench.a.pod)
            // Never answered, so the move waits for it.
            _ = try await peer.receiveRequest(.post, "light")
            let logger = Observability.logger(label: "test", level: .debug, sink: bench.history)
            let drain = Drain(
                settings: .init(
                    propagation: .zero, window: .milliseconds(200), ending: .milliseconds(200), fleetReconnects: 100),
                keeper: bench.a.keeper, readiness: Readiness(checks: []), hurry: Hurry(), trouble: { nil },
                logger: logger)
            let stop = ServiceGroupConfiguration.ServiceConfiguration(
                service: Nothing(), successTerminationBehavior: .gracefullyShutdownGroup)
            let services = [.init(service: drain), stop]
            try await ServiceGroup(configuration: .init(services: services, logger: logger)).run()
            #expect(bench.history.lines.contains { $0.contains("sessions.moving=1") }, "it was not being moved")
            await peer.close()
            #expect(await response.options.unknownOutcome == .connectionLost)
            try await eventually("the session is over") { bench.a.sessions.count == 0 }
            #expect(drain.status?.moved == ["closed-at-deadline": 1])
        }
    }

    @Test("A Release names another pod that says where devices reach it, by the scheme the device came by")
    func alternativeAddress() async throws {
        try await PodBench.with { bench in
            func released(_ endpoints: [String]) async throws -> Signal {
                let peer = try await bench.lamp(bench.a)
                bench.a.keeper.looked(at: [
                    LeasedPod(
                        pod: bench.b.pod, sessions: 0, isDraining: false, age: .zero, countAge: .zero,
                        endpoints: endpoints)
                ])
                let handle = try #require(bench.a.sessions.handles().first)
                let session = MovableSession(di: handle.session.di, epoch: handle.session.epoch)
                bench.a.keeper.move(session, isFirm: true) { _ in }
                let signal = try Signal(try await peer.receivePastCSM())
                await peer.close()
                try await eventually("the session is over") { bench.a.sessions.count == 0 }
                return signal
            }
            let named = try await released(["coap+tcp://b.example:5683", "coaps+tcp://b.example:5684"])
            #expect(named == .release(alternativeAddresses: ["b.example:5683"], holdOffSeconds: nil))
            for endpoints in [["coaps+tcp://b.example:5684"], []] {
                let unnamed = try await released(endpoints)
                #expect(unnamed == .release(alternativeAddresses: [], holdOffSeconds: nil))
            }
        }
    }
}
