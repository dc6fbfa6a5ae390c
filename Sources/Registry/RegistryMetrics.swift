import CoAP
import Metrics
import Synchronization

/// Requests by resource and code, and how long they took by resource; requests that wait, by lane. The labels come
/// from closed sets: patterns, codes and lanes of ours.
final class RegistryMetrics: Sendable {
    private struct Key: Hashable {
        let resource: String
        let code: Code
    }

    private struct Instruments {
        var counters: [Key: Counter] = [:]
        var timers: [String: Metrics.Timer] = [:]
    }

    private let instruments = Mutex(Instruments())
    private let factory: any MetricsFactory
    private let queues: [Resource.Lane: Gauge]
    private let held: Gauge

    init(factory: any MetricsFactory = MetricsSystem.factory) {
        self.factory = factory
        self.queues = Dictionary(
            uniqueKeysWithValues: Resource.Lane.allCases.map { lane in
                let gauge = Gauge(
                    label: "registry.queue.length", dimensions: [("lane", lane.rawValue)], factory: factory)
                return (lane, gauge)
            })
        self.held = Gauge(label: "registry.changes.waiting", dimensions: [], factory: factory)
    }

    /// How many requests wait for a worker of a lane.
    func record(waiting: Int, in lane: Resource.Lane) {
        self.queues[lane]?.record(waiting)
    }

    /// How many requests are held until there are changes.
    func record(held: Int) {
        self.held.record(held)
    }

    func record(resource: String, code: Code, duration: Duration) {
        let (counter, timer) = self.instruments.withLock { instruments in
            let key = Key(resource: resource, code: code)
            let counter =
                instruments.counters[key]
                ?? Counter(
                    label: "registry.requests", dimensions: [("resource", resource), ("code", code.description)],
                    factory: self.factory)
            let timer =
                instruments.timers[resource]
                ?? Metrics.Timer(
                    label: "registry.query.duration", dimensions: [("resource", resource)], factory: self.factory)
            instruments.counters[key] = counter
            instruments.timers[resource] = timer
            return (counter, timer)
        }
        counter.increment()
        timer.record(duration: duration)
    }
}
