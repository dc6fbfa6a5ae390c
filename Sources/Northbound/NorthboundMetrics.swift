import Metrics

/// The northbound's metrics, made once: labels are endpoints and classes of statuses, never what a client wrote.
struct NorthboundMetrics: Sendable {
    private let requests: [Endpoint.Action?: [Counter]]
    private let durations: [Endpoint.Action?: Timer]
    private let malformed: Counter
    private let refused: [HTTPConnections.Refusal: Counter]
    private let dropped = Counter(label: "http.streams.dropped")
    private let gaps = Counter(label: "http.streams.gaps")

    init() {
        var requests: [Endpoint.Action?: [Counter]] = [:]
        var durations: [Endpoint.Action?: Timer] = [:]
        for action in Endpoint.Action.allCases.map(Optional.some) + [nil] {
            let name = action?.rawValue ?? "none"
            requests[action] = (1...5).map { digit in
                Counter(label: "http.requests", dimensions: [("endpoint", name), ("status", "\(digit)xx")])
            }
            durations[action] = Timer(label: "http.request.duration", dimensions: [("endpoint", name)])
        }
        self.requests = requests
        self.durations = durations
        self.malformed = Counter(label: "http.requests.malformed")
        self.refused = Dictionary(
            uniqueKeysWithValues: HTTPConnections.Refusal.allCases.map {
                ($0, Counter(label: "http.connections.refused", dimensions: [("reason", $0.rawValue)]))
            })
    }

    func count(_ action: Endpoint.Action?, status: Int, duration: Duration) {
        self.requests[action]?[min(5, max(1, status / 100)) - 1].increment()
        self.durations[action]?.record(duration: duration)
    }

    /// The reader of an event stream was too slow.
    func countDropped() {
        self.dropped.increment()
    }

    /// A reader was told that events are lost.
    func countGap() {
        self.gaps.increment()
    }

    /// A connection was not taken.
    func countRefused(_ refusal: HTTPConnections.Refusal) {
        self.refused[refusal]?.increment()
    }

    func countMalformed() {
        self.malformed.increment()
    }
}
