import CoAP
import Metrics
import ServiceShell
import Synchronization

/// Requests by resource and code, and how long they took by resource; requests that wait, by lane. The labels come
/// from closed sets: patterns, codes and lanes of ours.
final class RegistryMetrics: Sendable {
    private struct Key: Hashable {
        let resource: String
        let code: Code
    }

    private let requests: CounterCache<Key>
    private let timers = Mutex<[String: Metrics.Timer]>([:])
    private let factory: any MetricsFactory
    private let queues: [Resource.Lane: Gauge]
    private let held: Gauge

    init(factory: any MetricsFactory = MetricsSystem.factory) {
        self.factory = factory
        self.requests = CounterCache(label: "registry.requests", factory: factory) { key in
            [("resource", key.resource), ("code", key.code.description)]
        }
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
        self.requests.count(Key(resource: resource, code: code))
        self.timers.withLock { timers in
            if let timer = timers[resource] { return timer }
            let timer = Metrics.Timer(
                label: "registry.query.duration", dimensions: [("resource", resource)], factory: self.factory)
            timers[resource] = timer
            return timer
        }.record(duration: duration)
    }
}
