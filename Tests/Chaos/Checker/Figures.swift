import MockDevice

/// How long requests took, in milliseconds.
package struct Percentiles: Codable, Sendable, Hashable {
    package var p50: Double
    package var p99: Double
    package var p999: Double
    package var most: Double

    /// Nil if nothing was measured.
    init?(_ latencies: LatencyFigures) {
        guard let summary = latencies.summary else { return nil }
        func milliseconds(_ percent: Double) -> Double {
            let index = LatencySummary.percents.firstIndex(of: percent)
            return (index.map { summary.percentiles[$0] } ?? summary.most) / .milliseconds(1)
        }
        self.p50 = milliseconds(50)
        self.p99 = milliseconds(99)
        self.p999 = milliseconds(99.9)
        self.most = summary.most / .milliseconds(1)
    }
}

extension History {
    /// What the device itself took for a request: from the delivery that was answered to its answer.
    func deviceTime(of request: Request) -> Int64 {
        var longest: Int64 = 0
        for delivery in self.deliveries(of: request) {
            if let answered = delivery.answered { longest = max(longest, answered - delivery.time) }
        }
        return longest
    }
}

// MARK: - For people

/// `12.3 ms`, `4.5 s`.
func spoken(milliseconds: Double) -> String {
    milliseconds < 1000 ? "\(decimal(milliseconds)) ms" : "\(decimal(milliseconds / 1000)) s"
}

/// `45 s`, `12 min 5 s`.
func spoken(seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    return whole % 60 == 0 ? "\(whole / 60) min" : "\(whole / 60) min \(whole % 60) s"
}

/// Columns as wide as what they hold: the first to the left, the others to the right.
func columns(_ rows: [[String]]) -> [String] {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
        let cells = row.enumerated().map { index, cell in
            let blanks = String(repeating: " ", count: widths[index] - cell.count)
            return index == 0 ? cell + blanks : blanks + cell
        }
        return "  " + cells.joined(separator: "  ")
    }
}
