import Metrics
import Synchronization

/// Counters of one label, made when first needed. Keys come from closed sets only.
final class CounterCache<Key: Hashable & Sendable>: Sendable {
    private let label: String
    private let dimensions: @Sendable (Key) -> [(String, String)]
    private let counters = Mutex<[Key: Counter]>([:])

    init(label: String, dimensions: @escaping @Sendable (Key) -> [(String, String)]) {
        self.label = label
        self.dimensions = dimensions
    }

    func count(_ key: Key) {
        self.counters.withLock { counters in
            if let counter = counters[key] { return counter }
            let counter = Counter(label: self.label, dimensions: self.dimensions(key))
            counters[key] = counter
            return counter
        }.increment()
    }
}
