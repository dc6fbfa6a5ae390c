/// What happened in each second of a run: `timeline.tsv`.
package struct Timeline: Sendable {
    package struct Second: Sendable, Hashable {
        package var requests = 0
        package var failures = 0
        /// Of the requests that fell due in it, without what the devices themselves took, in milliseconds.
        package var p50: Double?
        package var p99: Double?
        /// One for each of `pods`; nil while there is none.
        package var sessions: [Int?] = []
    }

    package struct Phase: Sendable, Hashable {
        package var name: String
        package var isPlanned: Bool
        package var begin: Double
        package var end: Double
    }

    /// A run of more than a day is drawn up to there.
    private static let maximumSeconds = 86_400

    package private(set) var pods: [String] = []
    package private(set) var seconds: [Second] = []
    package private(set) var phases: [Phase] = []

    /// - Parameter history: settled.
    package init(_ history: History) {
        let start = history.begun ?? 0
        let end = history.over ?? history.requests.map(\.end).max() ?? start
        let count = min(Int((end - start) / 1_000_000_000) + 1, Self.maximumSeconds)
        func second(of time: History.Time) -> Int? {
            let second = Int((time - start) / 1_000_000_000)
            return time >= start && second < count ? second : nil
        }
        self.seconds = [Second](repeating: Second(), count: max(count, 1))
        var latencies = [[Float]](repeating: [], count: self.seconds.count)
        for request in history.requests {
            guard let due = second(of: request.due) else { continue }
            self.seconds[due].requests += 1
            let latency = request.end - request.due - history.deviceTime(of: request)
            latencies[due].append(Float(max(latency, 0)) / 1e6)
            if request.isFailed, let ended = second(of: request.end) { self.seconds[ended].failures += 1 }
        }
        for index in latencies.indices where !latencies[index].isEmpty {
            let sorted = latencies[index].sorted()
            self.seconds[index].p50 = Double(sorted[(sorted.count - 1) / 2])
            self.seconds[index].p99 = Double(sorted[(sorted.count - 1) * 99 / 100])
        }
        for process in history.processes where !process.sessions.isEmpty {
            self.pods.append(process.name)
            self.add(process, start)
        }
        self.phases = history.phases.filter { $0.end > $0.begin }.map {
            Phase(
                name: $0.name, isPlanned: $0.isPlanned, begin: history.seconds($0.begin), end: history.seconds($0.end))
        }
    }

    private mutating func add(_ process: History.Process, _ start: History.Time) {
        var samples = process.sessions[...]
        var count: Int?
        let gone = process.ended ?? process.killed
        for index in self.seconds.indices {
            let time = start + Int64(index + 1) * 1_000_000_000
            while let next = samples.first, next.time < time {
                count = next.count
                samples = samples.dropFirst()
            }
            if let gone, gone < time { count = nil }
            self.seconds[index].sessions.append(count)
        }
    }

    /// One line a second; what is not known is a `-`.
    package var tsv: String {
        var text = (["second", "requests", "failures", "p50_ms", "p99_ms"] + self.pods).joined(separator: "\t") + "\n"
        func cell(_ value: Double?) -> String { value.map { "\(($0 * 1000).rounded() / 1000)" } ?? "-" }
        for (index, second) in self.seconds.enumerated() {
            let cells =
                ["\(index)", "\(second.requests)", "\(second.failures)", cell(second.p50), cell(second.p99)]
                + second.sessions.map { $0.map { "\($0)" } ?? "-" }
            text += cells.joined(separator: "\t") + "\n"
        }
        return text
    }
}
