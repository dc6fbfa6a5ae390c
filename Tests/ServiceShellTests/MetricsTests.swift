import CoreMetrics
import Metrics
import ServiceShell
import Testing

@Suite("Metrics")
struct MetricsTests {
    @Test("Counters, gauges and timers show in the text format with dots as underscores")
    func exposition() {
        let registry = MetricsRegistry()
        let labels = [("method", "GET"), ("code", "2.05")]
        Counter(label: "coap.requests", dimensions: labels, factory: registry).increment(by: 2)
        Counter(label: "coap.requests", dimensions: labels.reversed(), factory: registry).increment()
        Meter(label: "coap.sessions.active", factory: registry).set(7)
        Gauge(label: "coap.queue", factory: registry).record(1.5)
        let timer = Timer(label: "coap.request.duration", factory: registry)
        timer.recordMilliseconds(2)
        timer.recordSeconds(100)
        let lines = registry.exposition().split(separator: "\n").map(String.init)
        #expect(lines.contains("# TYPE coap_requests_total counter"))
        #expect(lines.contains(#"coap_requests_total{code="2.05",method="GET"} 3"#))
        #expect(lines.contains("# TYPE coap_sessions_active gauge"))
        #expect(lines.contains("coap_sessions_active 7"))
        #expect(lines.contains("coap_queue 1.5"))
        #expect(lines.contains("# TYPE coap_request_duration_seconds histogram"))
        #expect(lines.contains(#"coap_request_duration_seconds_bucket{le="0.001"} 0"#))
        #expect(lines.contains(#"coap_request_duration_seconds_bucket{le="0.0025"} 1"#))
        #expect(lines.contains(#"coap_request_duration_seconds_bucket{le="60"} 1"#))
        #expect(lines.contains(#"coap_request_duration_seconds_bucket{le="+Inf"} 2"#))
        #expect(lines.contains("coap_request_duration_seconds_sum 100.002"))
        #expect(lines.contains("coap_request_duration_seconds_count 2"))
        #expect(lines.filter { $0.hasPrefix("# TYPE") }.count == 5)
    }

    @Test("Label values are escaped, and labels of a histogram stand beside its bounds")
    func labels() {
        let registry = MetricsRegistry()
        Counter(label: "9 lives", dimensions: [("a b", "x\"y\\z\n")], factory: registry).increment()
        Recorder(label: "size", dimensions: [("kind", "in")], factory: registry).record(5)
        let text = registry.exposition()
        #expect(text.contains(#"_9_lives_total{a_b="x\"y\\z\n"} 1"#))
        #expect(text.contains(#"size_bucket{kind="in",le="16"} 1"#))
        #expect(text.contains(#"size_sum{kind="in"} 5"#))
    }

    @Test("The number of series is bounded; what is refused is counted and does no harm")
    func bound() {
        let registry = MetricsRegistry(seriesLimit: 10)
        for number in 0..<1000 {
            Counter(label: "requests", dimensions: [("device", "\(number)")], factory: registry).increment()
        }
        Timer(label: "late", factory: registry).recordSeconds(1)
        Meter(label: "later", factory: registry).set(1)
        let text = registry.exposition()
        #expect(text.split(separator: "\n").filter { $0.hasPrefix("requests_total{") }.count == 10)
        #expect(text.contains("metrics_series_refused_total 992\n"))
    }

    @Test("A name belongs to the kind that took it first")
    func oneKindAName() {
        let registry = MetricsRegistry()
        Meter(label: "size", factory: registry).set(3)
        Recorder(label: "size", dimensions: [("a", "b")], factory: registry).record(1)
        let text = registry.exposition()
        #expect(text.contains("# TYPE size gauge\nsize 3\n"))
        #expect(text.contains("metrics_series_refused_total 1\n"))
    }

    @Test("A level that many tasks change at once ends where it began")
    func levels() async {
        let registry = MetricsRegistry()
        let level = LevelGauge(label: "streams.open", factory: registry)
        level.change(by: 3)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<1000 {
                        level.change(by: 1)
                        level.change(by: -1)
                    }
                }
            }
        }
        #expect(registry.exposition().contains("streams_open 3\n"))
    }

    @Test("Counting from many tasks at once loses nothing")
    func concurrency() async {
        let registry = MetricsRegistry()
        let counter = Counter(label: "hits", factory: registry)
        let meter = Meter(label: "level", factory: registry)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<1000 {
                        counter.increment()
                        meter.increment()
                    }
                }
            }
        }
        #expect(registry.exposition().contains("hits_total 8000\n"))
        #expect(registry.exposition().contains("level 8000\n"))
    }
}
