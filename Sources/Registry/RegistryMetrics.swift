import CoAP
import Metrics
import Synchronization

/// Requests by resource and code, and how long they took by resource. Both labels come from closed sets: patterns of
/// ours and codes of ours.
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

    init(factory: any MetricsFactory = MetricsSystem.factory) {
        self.factory = factory
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
