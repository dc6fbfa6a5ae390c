import Metrics

/// Where questions about tokens were answered.
struct ReachMetrics: Sendable {
    enum Source: String, Sendable, CaseIterable {
        /// This program's own memory.
        case local
        /// The cache that all programs share.
        case shared
        /// Another request was asking the registry the same.
        case joined
        case registry
    }

    private let lookups: [Source: Counter]

    init(factory: any MetricsFactory = MetricsSystem.factory) {
        self.lookups = Dictionary(
            uniqueKeysWithValues: Source.allCases.map { source in
                let counter = Counter(
                    label: "identity.lookups", dimensions: [("source", source.rawValue)], factory: factory)
                return (source, counter)
            })
    }

    func count(_ source: Source) {
        self.lookups[source]?.increment()
    }
}
