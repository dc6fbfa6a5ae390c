import MockDevice

extension CheckReport {
    /// What people read.
    package var table: [String] {
        var lines = [
            "\(grouped(self.devices)) devices (\(grouped(self.devicesAsked)) of them asked), "
                + "\(grouped(self.phases.map(\.requests).reduce(0, +))) requests over \(self.connections ?? 0) "
                + "connections, \(self.rate)/s offered, "
                + "\(grouped(self.deliveries)) deliveries, \(spoken(seconds: self.seconds))", "",
        ]
        lines += columns([Self.phaseHead] + self.phases.map { $0.row })
        lines += [
            "", "  Latencies count from when a request was due by the offered rate, not from when it could be written,",
            "  so that a cloud that stands still is not measured less often. Failed requests count too. The second",
            "  pair is without what the devices themselves took.",
        ]
        let failing = self.phases.filter { !$0.failures.isEmpty }
        if !failing.isEmpty { lines += ["", "  what failed"] }
        for phase in failing {
            let kinds = phase.failures.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
                .map { "\(grouped($0.value)) × \($0.key)" }
            lines.append("  \(phase.name): \(kinds.joined(separator: ", "))")
        }
        lines += self.processors
        lines.append("")
        lines += columns(
            [["rule", "looked at", "broken"]]
                + self.rules.map { [$0.name, grouped($0.looked), $0.broken == 0 ? "–" : grouped($0.broken)] })
        for rule in self.rules where rule.broken > 0 {
            lines += ["", "\(rule.name): \(rule.sentence). Broken \(grouped(rule.broken)) times:"]
            lines += rule.violations.map { "  \($0)" }
            let more = rule.broken - rule.violations.count
            if more > 0 { lines.append("  … and \(grouped(more)) more") }
        }
        lines.append("")
        if self.truncatedLines > 0 {
            lines.append("\(self.truncatedLines) last lines were written in part only, and left out.")
        }
        switch self.verdict {
        case .kept:
            lines.append("Verdict: no rule is broken.")
        case .broken:
            let names = self.rules.filter { $0.broken > 0 }.map(\.name)
            lines.append("Verdict: broken: \(names.joined(separator: ", ")).")
        case .unknown:
            lines.append("Verdict: none, for the histories do not tell:")
            lines += self.obstacles.map { "  \($0)" }
        }
        return lines
    }

    /// Who took how much of the machine.
    private var processors: [String] {
        guard let cores = self.cores, self.seconds > 0, !self.processorSeconds.isEmpty else { return [] }
        let shares = self.processorSeconds.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
            .map { (name: $0.key, percent: $0.value / self.seconds / Double(cores) * 100) }
            .filter { $0.percent >= 0.5 }.map { "\($0.name) \(Int($0.percent.rounded())) %" }
        return ["", "  of \(cores) cores: \(shares.joined(separator: ", "))"]
    }

    /// Requests a second that were offered.
    package var rate: String {
        let rate = self.requestsPerSecondOffered ?? 0
        return rate == rate.rounded() ? grouped(Int(rate)) : decimal(rate)
    }

    private static let phaseHead = [
        "phase", "planned", "took", "requests", "a second", "failed", "50 %", "99 %", "99.9 %", "most", "cloud 50 %",
        "99 %", "moved", "back", "even after", "back after",
    ]
}

extension CheckReport.Phase {
    fileprivate var row: [String] {
        func figure(_ latencies: Percentiles?, _ path: KeyPath<Percentiles, Double>) -> String {
            latencies.map { spoken(milliseconds: $0[keyPath: path]) } ?? "–"
        }
        let latency = self.latencyMilliseconds
        let cloud = self.cloudLatencyMilliseconds
        return [
            self.name, self.isPlanned ? "yes" : "no", spoken(seconds: self.seconds), grouped(self.requests),
            decimal(self.requestsPerSecond), grouped(self.failed), figure(latency, \.p50), figure(latency, \.p99),
            figure(latency, \.p999), figure(latency, \.most), figure(cloud, \.p50), figure(cloud, \.p99),
            grouped(self.moved), grouped(self.reconnects), self.evenAfterSeconds.map { "\($0) s" } ?? "–",
            self.backAfterSeconds.map { "\($0) s" } ?? "–",
        ]
    }
}
