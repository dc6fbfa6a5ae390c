package import FoundationEssentials
import MockDevice

/// What there is to say of a run: `report.json`, and the table.
package struct CheckReport: Codable, Sendable {
    package enum Verdict: String, Codable, Sendable {
        case kept
        case broken
        /// The histories do not tell.
        case unknown

        package var status: Int32 {
            switch self {
            case .kept: 0
            case .broken: 1
            case .unknown: 2
            }
        }
    }

    package struct Phase: Codable, Sendable {
        package var name: String
        package var isPlanned: Bool
        /// Since the run began.
        package var beginSeconds: Double
        package var seconds: Double
        package var requests: Int
        package var requestsPerSecond: Double
        package var failed: Int
        package var failures: [String: Int]
        /// From when a request was due to its end: nothing is left out because the cloud was slow.
        package var latencyMilliseconds: Percentiles?
        /// The same, without what the device itself took.
        package var cloudLatencyMilliseconds: Percentiles?
        /// Devices that got a Release.
        package var moved: Int
        /// Devices that got another session.
        package var reconnects: Int
        package var evenAfterSeconds: String?
        /// Until all devices had a session again, since there were pods for them.
        package var backAfterSeconds: Int?
    }

    package struct Rule: Codable, Sendable {
        package var name: String
        package var sentence: String
        package var looked: Int
        package var broken: Int
        package var violations: [String]
    }

    package var verdict: Verdict
    package var obstacles: [String]
    package var seconds: Double
    package var devices: Int
    package var devicesAsked: Int
    package var requestsPerSecondOffered: Double?
    package var connections: Int?
    package var requestsDue: Int?
    package var requestsBegun: Int?
    package var deliveries: Int
    package var truncatedLines: Int
    package var cores: Int?
    /// Seconds of processor time by program, from the run's first process to its last phase's end.
    package var processorSeconds: [String: Double]
    package var phases: [Phase]
    package var rules: [Rule]

    /// - Parameter history: settled.
    package init(_ history: History, rules: [CheckRule] = CheckRule.all) {
        let findings = rules.map { ($0, $0.check(history)) }
        self.rules = findings.map { rule, finding in
            Rule(
                name: rule.name, sentence: rule.sentence, looked: finding.looked, broken: finding.broken,
                violations: finding.violations.map(\.description))
        }
        self.obstacles = history.obstacles
        // Else there are better reasons.
        let isWhole = history.obstacles.isEmpty
        for (rule, finding) in findings where isWhole && finding.looked + finding.broken == 0 && !rule.mayBeIdle {
            self.obstacles.append(
                "The rule \(rule.name) had nothing to look at, so that it shows nothing. Look whether the run did and "
                    + "wrote down what it is about.")
        }
        self.verdict =
            !self.obstacles.isEmpty ? .unknown : findings.contains { $0.1.broken > 0 } ? .broken : .kept
        self.seconds = history.over.map { history.seconds($0) } ?? 0
        self.devices = history.devices.count
        self.devicesAsked = history.devices.count { $0.isAsked }
        self.requestsPerSecondOffered = history.trafficBegun?.rate
        self.connections = history.trafficBegun?.connections
        self.requestsDue = history.trafficEnded?.due
        self.requestsBegun = history.trafficEnded?.begun
        self.deliveries = history.deliveries.count
        self.truncatedLines = history.truncated
        self.cores = history.cores
        self.processorSeconds = history.processorMilliseconds.mapValues { Double($0) / 1000 }
        self.phases = Self.phases(of: history)
    }

    private static func phases(of history: History) -> [Phase] {
        var latencies = history.phases.map { _ in (all: LatencyFigures(), cloud: LatencyFigures()) }
        var phases = history.phases.map { phase in
            Phase(
                name: phase.name, isPlanned: phase.isPlanned, beginSeconds: history.seconds(phase.begin),
                seconds: Double(phase.end - phase.begin) / 1e9, requests: 0, requestsPerSecond: 0, failed: 0,
                failures: [:], moved: 0, reconnects: 0, evenAfterSeconds: phase.evenAfter,
                backAfterSeconds: phase.backAfter)
        }
        for request in history.requests {
            let index = request.phases.lowerBound
            phases[index].requests += 1
            let latency = request.end - request.due
            latencies[index].all.record(.nanoseconds(latency))
            latencies[index].cloud.record(.nanoseconds(latency - history.deviceTime(of: request)))
            guard request.isFailed else { continue }
            phases[index].failed += 1
            phases[index].failures[request.outcome, default: 0] += 1
        }
        for time in history.releases { phases[history.phase(at: time)].moved += 1 }
        for time in history.returns { phases[history.phase(at: time)].reconnects += 1 }
        for index in phases.indices {
            phases[index].requestsPerSecond = Double(phases[index].requests) / max(phases[index].seconds, 0.001)
            phases[index].latencyMilliseconds = Percentiles(latencies[index].all)
            phases[index].cloudLatencyMilliseconds = Percentiles(latencies[index].cloud)
        }
        // Before the first phase there is mostly nothing to tell.
        if let first = phases.first, first.requests == 0 { phases.removeFirst() }
        return phases
    }

    package func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}
