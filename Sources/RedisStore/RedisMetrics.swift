import Metrics

/// What is counted of Redis.
final class RedisMetrics: Sendable {
    let answered = Counter(label: "redis.commands", dimensions: [("outcome", "answered")])
    let failed = Counter(label: "redis.commands", dimensions: [("outcome", "error")])
    let late = Counter(label: "redis.commands", dimensions: [("outcome", "late")])
    let refused = Counter(label: "redis.commands", dimensions: [("outcome", "refused")])
    let connections = Counter(label: "redis.connections")
    let connected = Gauge(label: "redis.connected")
    /// 1 while the server may evict keys.
    let evicts = Gauge(label: "redis.evicts")
}
