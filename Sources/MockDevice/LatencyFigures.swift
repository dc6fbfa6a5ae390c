import Histogram

/// How long something took, each time: a histogram of microseconds.
package struct LatencyFigures: Sendable {
    /// What is longer counts as this: an hour.
    private static let longest: UInt64 = 3_600_000_000

    private var histogram = Histogram<UInt32>(
        highestTrackableValue: Self.longest, numberOfSignificantValueDigits: .three)

    package init() {}

    package mutating func record(_ duration: Duration) {
        let microseconds = UInt64(clamping: Int64(max(duration, .zero) / .microseconds(1)))
        self.histogram.record(min(microseconds, Self.longest))
    }

    package mutating func add(_ other: LatencyFigures) {
        self.histogram.add(other.histogram)
    }

    /// What people and programs are told; nil if nothing was measured.
    package var summary: LatencySummary? {
        guard self.histogram.totalCount > 0 else { return nil }
        return LatencySummary(
            count: Int(clamping: self.histogram.totalCount), least: .microseconds(self.histogram.min),
            percentiles: LatencySummary.percents.map { .microseconds(self.histogram.valueAtPercentile($0)) },
            most: .microseconds(self.histogram.max))
    }
}

/// A distribution, in a few figures.
package struct LatencySummary: Sendable, Hashable {
    package static let percents: [Double] = [50, 90, 99, 99.9]

    package let count: Int
    package let least: Duration
    /// One for each of `percents`.
    package let percentiles: [Duration]
    package let most: Duration

    /// The head of a table of these.
    package static func head(_ what: String) -> String {
        "  \(what.padded(20))   count     least       50%       90%       99%     99.9%      most"
    }

    /// A row below that head.
    package func row(_ name: String) -> String {
        "  \(name.padded(20))\(grouped(self.count).leading(8))"
            + ([self.least] + self.percentiles + [self.most]).map { $0.short.leading(10) }.joined()
    }
}
