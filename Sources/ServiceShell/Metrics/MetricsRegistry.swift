package import CoreMetrics
import Synchronization

/// Keeps all metrics of the process in memory for the admin port to show.
///
/// The number of series is bounded: labels come from closed sets, so reaching the bound is a mistake of ours, which
/// must not become memory. What is beyond it is counted in `metrics_series_refused_total` and otherwise dropped.
package final class MetricsRegistry: MetricsFactory {
    enum Instrument: Sendable {
        case counter(CounterCell)
        case gauge(GaugeCell)
        case histogram(HistogramCell)

        var kind: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    struct Series: Hashable, Comparable {
        /// In the spelling of the text format.
        let name: String
        /// `{a="b"}` or nothing, sorted by label.
        let labels: String

        static func < (left: Self, right: Self) -> Bool {
            (left.name, left.labels) < (right.name, right.labels)
        }
    }

    struct State {
        var series: [Series: Instrument] = [:]
        /// The kind of each name: the format allows one.
        var kinds: [String: String] = [:]
        var refused = 0
    }

    private let state = Mutex(State())
    private let seriesLimit: Int

    package init(seriesLimit: Int = 1000) {
        self.seriesLimit = seriesLimit
    }

    /// Makes this the factory of the process. Call once, before the first metric is made.
    package func bootstrap() {
        MetricsSystem.bootstrap(self)
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        let cell = self.instrument(label, suffix: "_total", dimensions) { .counter(CounterCell()) }
        guard case .counter(let counter)? = cell else { return CounterCell() }
        return counter
    }

    package func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool,
    ) -> any RecorderHandler {
        guard aggregate else { return self.gauge(label, dimensions) }
        let cell = self.instrument(label, suffix: "", dimensions) {
            .histogram(HistogramCell(bounds: HistogramCell.amounts))
        }
        guard case .histogram(let histogram)? = cell else { return HistogramCell(bounds: []) }
        return histogram
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        self.gauge(label, dimensions)
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        let cell = self.instrument(label, suffix: "_seconds", dimensions) {
            .histogram(HistogramCell(bounds: HistogramCell.durations))
        }
        guard case .histogram(let histogram)? = cell else { return HistogramCell(bounds: []) }
        return histogram
    }

    /// A series lives as long as the process: a scraper would take its end for a restart.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}

    /// A copy of the table, and how many series were refused.
    func snapshot() -> (series: [(Series, Instrument)], refused: Int) {
        self.state.withLock { state in
            (state.series.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }, state.refused)
        }
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeCell {
        let cell = self.instrument(label, suffix: "", dimensions) { .gauge(GaugeCell()) }
        guard case .gauge(let gauge)? = cell else { return GaugeCell() }
        return gauge
    }

    /// The instrument of that name and labels, made if need be; `nil` when there is no room or the name is another
    /// kind's.
    private func instrument(
        _ label: String,
        suffix: String,
        _ dimensions: [(String, String)],
        make: () -> Instrument,
    ) -> Instrument? {
        let series = Series(name: Exposition.name(label) + suffix, labels: Exposition.labels(dimensions))
        return self.state.withLock { state in
            if let known = state.series[series] { return known }
            let made = make()
            let kind = state.kinds[series.name, default: made.kind]
            guard state.series.count < self.seriesLimit, kind == made.kind else {
                state.refused += 1
                return nil
            }
            state.kinds[series.name] = made.kind
            state.series[series] = made
            return made
        }
    }
}

/// A number that only grows.
final class CounterCell: CounterHandler {
    private let total = Atomic<Int64>(0)

    var value: Int64 { self.total.load(ordering: .relaxed) }

    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        // Wraps after 2⁶³, which a scraper takes for a restart.
        self.total.wrappingAdd(amount, ordering: .relaxed)
    }

    func reset() {
        self.total.store(0, ordering: .relaxed)
    }
}

/// A number that goes up and down.
final class GaugeCell: MeterHandler, RecorderHandler {
    private let current = Mutex<Double>(0)

    var value: Double { self.current.withLock { $0 } }

    func set(_ value: Int64) { self.set(Double(value)) }
    func set(_ value: Double) { self.current.withLock { $0 = value } }
    func increment(by amount: Double) { self.current.withLock { $0 += amount } }
    func decrement(by amount: Double) { self.current.withLock { $0 -= amount } }
    func record(_ value: Int64) { self.set(Double(value)) }
    func record(_ value: Double) { self.set(value) }
}

/// How often values fell below each of a few fixed bounds.
final class HistogramCell: TimerHandler, RecorderHandler {
    /// Upper bounds in seconds, for timers.
    static let durations = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60]
    /// Upper bounds for sizes and counts.
    static let amounts: [Double] = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576]

    struct Values: Equatable {
        /// One more than there are bounds: the last is for what is above all.
        var buckets: [Int]
        var sum = 0.0

        var count: Int { self.buckets.reduce(0, +) }
    }

    let bounds: [Double]
    private let kept: Mutex<Values>

    init(bounds: [Double]) {
        self.bounds = bounds
        self.kept = Mutex(Values(buckets: Array(repeating: 0, count: bounds.count + 1)))
    }

    var values: Values { self.kept.withLock { $0 } }

    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1e9) }
    func record(_ value: Int64) { self.record(Double(value)) }

    func record(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = self.bounds.firstIndex { value <= $0 } ?? self.bounds.count
        self.kept.withLock { kept in
            kept.buckets[bucket] += 1
            kept.sum += value
        }
    }
}
