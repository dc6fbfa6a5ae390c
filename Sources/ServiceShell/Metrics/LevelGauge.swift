package import CoreMetrics
import Synchronization

/// A gauge of how many there are now, changed from any thread by who comes and who goes.
package final class LevelGauge: Sendable {
    private let level = Mutex(0)
    private let gauge: Gauge

    package init(label: String, factory: any MetricsFactory = MetricsSystem.factory) {
        self.gauge = Gauge(label: label, factory: factory)
    }

    package func change(by difference: Int) {
        guard difference != 0 else { return }
        // Recorded under the lock, lest an older value overtake a newer one and stay.
        self.level.withLock { level in
            level += difference
            self.gauge.record(level)
        }
    }
}
