import Foundation
import TestServers
import TestSupport
import Testing

/// The budget of design: 6 KiB and, over TLS, 24 KiB; `make bench` measures it. What is held here is held on a busy
/// machine and without optimisation too.
@Suite("What a device that is signed in and idle takes", .serialized, .timeLimit(.minutes(3)))
struct SessionMemoryTests {
    struct Budget: Sendable, CustomTestStringConvertible {
        let isSecure: Bool
        let devices: Int
        let bytes: Int

        var testDescription: String { "\(self.bytes >> 10) KiB\(self.isSecure ? ", over TLS" : "")" }
    }

    @Test(
        "A thousand devices take no more than this each, in a gateway that has some already",
        arguments: [
            Budget(isSecure: false, devices: 1000, bytes: 12 << 10),
            Budget(isSecure: true, devices: 500, bytes: 40 << 10),
        ])
    func idle(_ budget: Budget) async throws {
        try await GatewayProcess.with { gateway in
            let mediator = try await gateway.cloud.owner("alice").mediator
            // What every process has is there with the first ones: arenas, tables, the pages SQLite keeps.
            let first = try await gateway.fleet("first-", of: 200, budget.isSecure, mediator, sessions: 200)
            let before = try gateway.anonymousBytes()
            let fleet = try await gateway.fleet(
                "more-", of: budget.devices, budget.isSecure, mediator, sessions: 200 + budget.devices)
            var each = 0
            do {
                // What signing in took for a moment is given back after a while.
                try await gateway.cloud.eventually("all within the budget", within: .seconds(30)) {
                    each = try (gateway.anonymousBytes() - before) / budget.devices
                    return each <= budget.bytes
                }
            } catch {
                Issue.record("\(each) bytes each: \(error)")
            }
            for fleet in [first, fleet] {
                fleet.signal(SIGTERM)
                _ = await fleet.ended()
            }
        }
    }
}

extension GatewayProcess {
    /// Devices in a process of their own; returns once so many sessions there are.
    fileprivate func fleet(
        _ prefix: String, of count: Int, _ isSecure: Bool, _ mediator: String, sessions: Int
    ) async throws -> Subprocess {
        let address = isSecure ? "coaps+tcp://127.0.0.1:\(self.ports["coaps"] ?? 0)" : "127.0.0.1:\(self.coap)"
        let trust = isSecure ? ["--ca", "\(self.directory)/data/tls/ca.pem"] : []
        let fleet = try Subprocess(
            [
                "mock-device", "run", "--devices", "\(count)", "--prefix", prefix, "--address", address, "--rate",
                "100000/s", "--northbound", "http://127.0.0.1:\(self.http)", "--mediator-token", mediator,
            ] + trust)
        let admin = HTTPTestClient(port: self.admin)
        try await self.cloud.eventually("\(sessions) sessions", within: .seconds(120)) {
            let metrics = try await admin.get("/metrics").text
            return metrics.contains("\ncoap_sessions_active \(sessions)\n")
        }
        return fleet
    }

    /// Heap and stacks (proc(5): smaps_rollup): not code that is loaded, nor what sockets take in the kernel.
    fileprivate func anonymousBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(self.process.pid)/smaps_rollup", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix("Anonymous:") }
        guard let words = line?.split(separator: " "), words.count > 1, let kibibytes = Int(words[1]) else {
            throw PeerError("no memory in \(text)")
        }
        return kibibytes << 10
    }
}
