package import CoreMetrics
import Synchronization

/// Counters of one label, made when first needed. Keys come from closed sets only.
package final class CounterCache<Key: Hashable & Sendable>: Sendable {
    private let label: String
    private let factory: any MetricsFactory
    private let dimensions: @Sendable (Key) -> [(String, String)]
    private let counters = Mutex<[Key: Counter]>([:])

    package init(
        label: String, factory: any MetricsFactory = MetricsSystem.factory,
        dimensions: @escaping @Sendable (Key) -> [(String, String)]
    ) {
        self.label = label
        self.factory = factory
        self.dimensions = dimensions
    }

    package func count(_ key: Key) {
        self.counters.withLock { counters in
            if let counter = counters[key] { return counter }
            let counter = Counter(label: self.label, dimensions: self.dimensions(key), factory: self.factory)
            counters[key] = counter
            return counter
        }.increment()
    }
}
