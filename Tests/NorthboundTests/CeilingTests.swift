import NIOCore
import Northbound
import ServiceShell
import Synchronization
import TestSupport
import Testing

@Suite("Connections over HTTP while something is short", .timeLimit(.minutes(1)))
struct CeilingTests {
    /// Memory as full as it is told to be.
    private final class Memory: Sendable {
        private final class Used: Sendable {
            let percent = Mutex(10)
        }

        private let used: Used
        let ceiling: MemoryCeiling

        init() {
            let used = Used()
            self.used = used
            self.ceiling = MemoryCeiling(logger: Observability.logger(label: "ceilings", sink: MemorySink())) {
                MemoryReading(used: used.percent.withLock { $0 }, limit: 100)
            }
        }

        func become(_ percent: Int) {
            self.used.percent.withLock { $0 = percent }
            self.ceiling.look(now: .now())
        }
    }

    @Test("BI-88: a new connection gets one 503 with a time to come back, an open one is served on")
    func memory() async throws {
        let memory = Memory()
        let ceilings = Ceilings(
            descriptors: DescriptorCeiling(10_000, eventLoops: 1), memory: memory.ceiling)
        try await Server.run(ceilings: ceilings) { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/errors").status == 200)
                memory.become(90)
                let refused = try await server.request("GET", "/devices", token: "alice-client")
                #expect(refused.status == 503)
                #expect(refused.slug == "no-room")
                #expect(refused.fields["retry-after"] == "5")
                #expect(refused.fields["connection"] == "close")
                #expect(try await peer.request("GET", "/errors").status == 200)
                memory.become(10)
                #expect(try await server.request("GET", "/errors").status == 200)
            }
        }
    }

    @Test("BI-51: of more than a few that come at once the others are closed; who says nothing makes room by itself")
    func flood() async throws {
        let memory = Memory()
        let ceilings = Ceilings(
            descriptors: DescriptorCeiling(10_000, eventLoops: 1), memory: memory.ceiling)
        try await Server.run(ceilings: ceilings) { server async throws in
            memory.become(90)
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<40 {
                    // They ask nothing: some are closed at once, the others when their time is over.
                    group.addTask {
                        do {
                            return try await Peer.connect(server.port) { try await $0.rest() }
                        } catch is IOError {
                            // A reset is an end as well.
                            return ""
                        }
                    }
                }
                for try await rest in group { #expect(rest.isEmpty) }
            }
            let refused = try await server.request("GET", "/errors")
            #expect(refused.slug == "no-room")
        }
    }

    @Test("BI-51: where no descriptor is left for it a connection is told so, and a place that is given back is taken")
    func descriptors() async throws {
        let ceilings = Ceilings(
            descriptors: DescriptorCeiling(2, eventLoops: 1), memory: Memory().ceiling)
        try await Server.run(ceilings: ceilings) { server async throws in
            try await Peer.connect(server.port) { peer async throws in
                #expect(try await peer.request("GET", "/errors").status == 200)
                #expect(try await server.request("GET", "/errors").slug == "no-room")
                #expect(try await peer.request("GET", "/errors").status == 200)
            }
            // Our end notices a moment after the client has closed.
            let deadline = ContinuousClock.now + .seconds(15)
            while try await server.request("GET", "/errors").status != 200 {
                try #require(ContinuousClock.now < deadline)
            }
        }
    }
}
