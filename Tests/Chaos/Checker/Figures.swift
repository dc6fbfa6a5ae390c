import Histogram

/// How long requests took: HdrHistogram's percentiles, in milliseconds.
package struct LatencyFigures: Codable, Sendable, Hashable {
    package var p50: Double
    package var p99: Double
    package var p999: Double
    package var most: Double
}

/// Collects latencies.
struct Latencies {
    private var histogram = Histogram<UInt32>(
        highestTrackableValue: Self.longest, numberOfSignificantValueDigits: .three)
    /// What is longer counts as this: an hour, in microseconds.
    private static let longest: UInt64 = 3_600_000_000

    mutating func record(nanoseconds: Int64) {
        self.histogram.record(min(UInt64(max(nanoseconds, 0) / 1000), Self.longest))
    }

    /// Nil if nothing was recorded.
    var figures: LatencyFigures? {
        guard self.histogram.totalCount > 0 else { return nil }
        func milliseconds(_ percent: Double) -> Double { Double(self.histogram.valueAtPercentile(percent)) / 1000 }
        return LatencyFigures(
            p50: milliseconds(50), p99: milliseconds(99), p999: milliseconds(99.9),
            most: Double(self.histogram.max) / 1000)
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

/// `1,234,567`.
func grouped(_ number: Int) -> String {
    let digits = Array(String(number.magnitude))
    var text = ""
    for (index, digit) in digits.enumerated() {
        if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
        text.append(digit)
    }
    return number < 0 ? "-\(text)" : text
}

/// One place after the point.
func decimal(_ number: Double) -> String {
    "\((number * 10).rounded() / 10)"
}

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
