import MockDevice

/// What a soak run shows: whether everything stayed flat, and whether nothing was left.
package struct SoakReport: Sendable {
    package typealias Verdict = CheckReport.Verdict

    /// A figure that was judged.
    package struct Finding: Sendable, Hashable {
        package var series: String
        package var figure: SoakFigure
        package var trend: SoakTrend
        package var allowance: Double
        /// The smallest leak for each connection or request that would have been found.
        package var smallestLeak: Double?

        package var grows: Bool { self.trend.growth > self.allowance }
    }

    package let findings: [Finding]
    /// What is broken, in sentences.
    package let violations: [String]
    /// Why the run does not tell, in sentences.
    package let obstacles: [String]
    private let record: SoakRecord

    package init(_ record: SoakRecord) {
        self.record = record
        var findings: [Finding] = []
        var violations = record.complaints
        var obstacles: [String] = []
        let events = Self.events(record)
        for series in record.series where series.figure.isJudged {
            guard let trend = SoakTrend(series, after: record.warmUp) else {
                obstacles.append("\(series.name) was seen too seldom after the warm-up: run for longer.")
                continue
            }
            let allowance = series.figure.allowance(typical: trend.typical)
            let finding = Finding(
                series: series.name, figure: series.figure, trend: trend, allowance: allowance,
                smallestLeak: events[series.process].flatMap { $0 > 0 ? allowance / $0 : nil })
            findings.append(finding)
            if finding.grows {
                violations.append(
                    "\(series.name) grew by \(Self.spoken(trend.growth, series.figure)) within "
                        + "\(Chaos.spoken(seconds: trend.seconds)), at \(Self.spoken(trend.typical, series.figure)); "
                        + "\(Self.spoken(allowance, series.figure)) are allowed.")
            }
        }
        for figure in SoakFigure.allCases
        where figure.isJudged && !record.series.contains(where: { $0.figure == figure }) {
            obstacles.append("Nobody looked at \(figure.rawValue).")
        }
        for rest in record.after { violations += rest.leftOver(before: record.before) }
        if record.after.isEmpty { obstacles.append("The run ended before it was quiet.") }
        let strangers = record.strangers.reduce(0) { $0 + $1.begun }
        let due = record.strangers.reduce(0) { $0 + $1.due }
        if strangers * 2 < due || strangers == 0 {
            obstacles.append(
                "Only \(grouped(strangers)) of \(grouped(due)) strangers came: the machine is too slow for that rate.")
        }
        self.findings = findings
        self.violations = violations
        self.obstacles = obstacles
    }

    package var verdict: Verdict {
        // A leak that was seen was seen, whatever else was not.
        !self.violations.isEmpty ? .broken : self.obstacles.isEmpty ? .kept : .unknown
    }

    /// How many connections or requests each process had while it was judged.
    private static func events(_ record: SoakRecord) -> [String: Double] {
        var events: [String: Double] = [:]
        for series in record.series where !series.figure.isJudged {
            let points = series.points.filter { $0.seconds >= record.warmUp }
            guard let first = points.first, let last = points.last else { continue }
            events[series.process] = last.value - first.value
        }
        return events
    }

    // MARK: For people

    package var table: [String] {
        var lines = [
            "\(Chaos.spoken(seconds: self.record.seconds)) of load, judged after "
                + "\(Chaos.spoken(seconds: self.record.warmUp)) of warm-up", "",
        ]
        lines += columns(
            [["figure", "typically", "a minute", "growth", "allowed", "would be found", ""]]
                + self.findings.map { finding in
                    let trend = finding.trend
                    return [
                        finding.series, Self.spoken(trend.typical, finding.figure),
                        Self.spoken(trend.slope * 60, finding.figure), Self.spoken(trend.growth, finding.figure),
                        Self.spoken(finding.allowance, finding.figure),
                        finding.smallestLeak.map { Self.spokenLeak($0, finding) } ?? "–",
                        finding.grows ? "GROWS" : "flat",
                    ]
                })
        lines.append("")
        lines += columns(
            [["at rest", "devices", "sessions", "sockets", "routes", "open files", "after"]]
                + ([self.record.before] + self.record.after).map { rest in
                    [
                        rest.name, grouped(rest.devices), grouped(rest.sessions), grouped(rest.sockets),
                        grouped(rest.routes),
                        rest.descriptors.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
                            .joined(separator: ", "), Chaos.spoken(seconds: rest.seconds),
                    ]
                })
        lines.append("")
        for strangers in self.record.strangers {
            lines.append(
                "\(grouped(strangers.begun)) strangers came; \(grouped(strangers.closed)) were shown out, "
                    + "\(grouped(strangers.refused)) not let in, \(grouped(strangers.outstayed)) could have stayed"
                    + (strangers.outstayed > 0 ? ": \(Self.counts(strangers.outstayedHabits))" : ""))
        }
        lines.append("")
        lines += self.violations + self.obstacles
        switch self.verdict {
        case .kept: lines.append("Verdict: everything stays flat, and nothing is left.")
        case .broken: lines.append("Verdict: broken: \(self.violations.count) of the above.")
        case .unknown: lines.append("Verdict: none, for the run does not tell.")
        }
        return lines
    }

    private static func counts(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }

    private static func spokenLeak(_ leak: Double, _ finding: Finding) -> String {
        let event = finding.series.hasPrefix("northbound") ? "request" : "connection"
        return finding.figure == .memory
            ? "\(grouped(Int((leak * 1024).rounded(.up)))) bytes a \(event)"
            : "1 in \(grouped(max(1, Int(1 / leak)))) \(event)s"
    }

    private static func spoken(_ value: Double, _ figure: SoakFigure) -> String {
        let sign = value < 0 ? "-" : ""
        let size = abs(value)
        return switch figure {
        case .memory: sign + (size < 10_000 ? "\(decimal(size)) KiB" : "\(decimal(size / 1024)) MiB")
        case .descriptors, .sockets, .sessions, .routes, .connections, .requests: sign + decimal(size)
        }
    }
}
