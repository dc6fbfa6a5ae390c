import NIOCore
import TestSupport

/// Looks at all pods once a second: how many sessions they have, and when their leases were renewed.
actor SessionWatch {
    private let cluster: RunCluster
    private let log: RunLog
    private var sessions: [String: (count: Int, at: ContinuousClock.Instant)] = [:]
    private var renewals: [String: Int64] = [:]

    init(_ cluster: RunCluster, log: RunLog) {
        self.cluster = cluster
        self.log = log
    }

    /// Until the task is cancelled.
    func run() async {
        var watched: Set<String> = []
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchLeases() }
            while (try? await Patience.pass(.milliseconds(500))) != nil {
                // One for each, so that one that does not answer holds up nobody.
                for pod in await self.cluster.running(.coapInterface) where watched.insert(pod.name).inserted {
                    group.addTask { await self.watch(pod) }
                }
            }
            group.cancelAll()
        }
    }

    private func watch(_ pod: RunProcess) async {
        while (try? await Patience.pass(.seconds(1))) != nil,
            await self.cluster.running(.coapInterface).contains(where: { $0 === pod })
        {
            guard let count = try? await Self.sessions(of: pod) else { continue }
            self.sessions[pod.name] = (count, .now)
            self.log.note(.sessions) {
                $0.process = pod.name
                $0.count = count
            }
        }
        self.sessions[pod.name] = nil
    }

    private static func sessions(of pod: RunProcess) async throws -> Int? {
        let text = try await pod.admin.get("/metrics").text
        let line = text.split(separator: "\n").first { $0.hasPrefix("coap_sessions_active ") }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { Double($0) }.map { Int($0) }
    }

    private func watchLeases() async {
        while (try? await Patience.pass(.seconds(1))) != nil {
            guard let leases = try? await self.cluster.redis.leases() else { continue }
            let now = MonotonicTime.now
            for lease in leases where self.renewals.updateValue(lease.seen, forKey: lease.pod) != lease.seen {
                self.log.note(.renewed) {
                    $0.process = lease.pod.split(separator: ".").first.map(String.init)
                    $0.at = now - (lease.now - lease.seen) * 1_000_000
                }
            }
        }
    }

    /// What each pod said within the last 3 s.
    var counts: [String: Int] {
        self.sessions.filter { $0.value.at > .now - .seconds(3) }.mapValues(\.count)
    }

    var total: Int { self.counts.values.reduce(0, +) }

    /// Each pod's share is within what the rule for balance is to reach, or blind placement gives.
    func isEven(over pods: Int) -> Bool {
        let counts = self.counts.values
        guard counts.count == pods, !counts.isEmpty else { return false }
        let mean = Double(counts.reduce(0, +)) / Double(counts.count)
        let bound = max(mean / 10, 3 * mean.squareRoot())
        return counts.allSatisfy { abs(Double($0) - mean) <= bound }
    }
}
