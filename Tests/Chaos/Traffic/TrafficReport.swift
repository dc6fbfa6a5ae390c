package import MockDevice

/// What became of the requests that are over.
package struct TrafficOutcomes: Sendable {
    /// A kind of outcome, from what is a closed set as long as the peer is a gateway.
    private struct Kind: Hashable {
        var status: Int?
        var problem: String?
        var cause: TrafficEnd.Cause?

        var text: String {
            [self.status.map(String.init), self.problem, self.cause?.rawValue].compactMap(\.self)
                .joined(separator: " ")
        }
    }

    /// No more kinds than this; others are told apart by their status only.
    private static let maximumKinds = 100

    private var counts: [Kind: Int] = [:]
    package private(set) var sinceDue = LatencyFigures()
    package private(set) var sinceBegin = LatencyFigures()
    /// Without an answer, or with one whose status is none of 200 to 299.
    package private(set) var failed = 0

    package init() {}

    package mutating func add(_ exchange: TrafficExchange) {
        var kind: Kind
        switch exchange.outcome {
        case .answered(let answer):
            kind = Kind(status: answer.status, problem: answer.problem)
            if !(200...299).contains(answer.status) { self.failed += 1 }
            self.sinceDue.record(.nanoseconds(exchange.end - exchange.request.due))
            self.sinceBegin.record(.nanoseconds(exchange.end - exchange.begin))
        case .broken(let cause):
            kind = Kind(cause: cause)
            self.failed += 1
        }
        if self.counts.count >= Self.maximumKinds, self.counts[kind] == nil { kind.problem = nil }
        self.counts[kind, default: 0] += 1
    }

    /// The most frequent first.
    package var sorted: [(kind: String, count: Int)] {
        self.counts.map { (sanitized($0.key.text, limit: 100), $0.value) }
            .sorted { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0 < $1.0 }
    }
}

/// What a run of the traffic says at its end.
package struct TrafficReport: Sendable {
    package var plan: TrafficPlan
    package var duration: Duration
    package var figures: TrafficMachine.Figures
    package var outcomes: TrafficOutcomes
    package var presence: PresenceWatch.Counts

    package var table: [String] {
        let seconds = max(self.duration / .seconds(1), 0.001)
        let figures = self.figures
        var lines = [
            "",
            "\(decimal(self.plan.rate)) requests/s to \(grouped(self.plan.devices)) devices, seed \(self.plan.seed), "
                + "for \(decimal(seconds)) s",
            "  due          \(grouped(figures.due).leading(10))",
            "  begun        \(grouped(figures.begun).leading(10))  \(decimal(Double(figures.begun) / seconds))/s"
                + (figures.begun < figures.due ? ", \(grouped(figures.due - figures.begun)) were never begun" : ""),
            "  waiting      \(grouped(figures.mostWaiting).leading(10))  for a connection, at most",
            "  connections  \(grouped(figures.opened).leading(10))  opened, \(grouped(figures.mostConnections)) at most "
                + "at a time, \(grouped(figures.failed)) refused",
            "  GET /devices \(grouped(self.presence.rounds).leading(10))  rounds, of which "
                + "\(grouped(self.presence.failed)) failed", "", "  answers",
        ]
        lines += self.outcomes.sorted.map { "  \(grouped($0.count).leading(10))  \($0.kind)" }
        let rows = [("since due", self.outcomes.sinceDue), ("since begun", self.outcomes.sinceBegin)]
            .compactMap { name, times in times.summary.map { $0.row(name) } }
        if !rows.isEmpty { lines += ["", LatencySummary.head("how long")] + rows }
        return lines
    }
}
