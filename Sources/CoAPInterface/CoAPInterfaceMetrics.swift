import CoAP
import CoAPTransport
import Metrics
import Synchronization

/// What the CoAP interface counts. Labels come from closed sets only: never a device, a user or a path as sent.
package final class CoAPInterfaceMetrics: Sendable {
    private struct RequestKey: Hashable {
        let direction: String
        let resource: String
        let code: Code
    }

    private let requests = Mutex<[RequestKey: Counter]>([:])
    private let ended = Mutex<[String: Counter]>([:])
    private let ignored = Mutex<[IgnoredMessage: Counter]>([:])
    private let duration = Timer(label: "coap.request.duration")
    private let active = Mutex(0)
    private let activeGauge = Gauge(label: "coap.sessions.active")
    private let takeovers = Counter(label: "coap.sessions.takeovers")

    package init() {}

    /// - Parameter direction: `in` from devices and clients, `out` to devices.
    func request(direction: String, resource: String, code: Code, took: Duration) {
        self.count(RequestKey(direction: direction, resource: resource, code: code))
        self.duration.record(duration: took)
    }

    /// A request that was answered before its resource was looked at.
    func refused(with code: Code) {
        self.count(RequestKey(direction: "in", resource: "refused", code: code))
    }

    private func count(_ key: RequestKey) {
        self.requests.withLock { counters in
            counters.existing(key) {
                Counter(
                    label: "coap.requests",
                    dimensions: [
                        ("direction", $0.direction), ("resource", $0.resource), ("code", "\($0.code)"),
                    ])
            }
        }.increment()
    }

    func connectionEnded(_ end: ConnectionEnd) {
        self.ended.withLock { counters in
            counters.existing(end.reason) { Counter(label: "coap.connections.ended", dimensions: [("reason", $0)]) }
        }.increment()
    }

    func ignored(_ message: IgnoredMessage) {
        self.ignored.withLock { counters in
            counters.existing(message) {
                Counter(label: "coap.messages.ignored", dimensions: [("reason", $0.rawValue)])
            }
        }.increment()
    }

    func sessionBegan(tookOver: Bool) {
        self.changeActive(by: 1)
        if tookOver { self.takeovers.increment() }
    }

    func sessionEnded() {
        self.changeActive(by: -1)
    }

    private func changeActive(by difference: Int) {
        // Recorded under the lock, lest an older value overtake a newer one and stay.
        self.active.withLock { count in
            count += difference
            self.activeGauge.record(count)
        }
    }
}

extension Dictionary {
    fileprivate mutating func existing(_ key: Key, make: (Key) -> Value) -> Value {
        if let value = self[key] { return value }
        let value = make(key)
        self[key] = value
        return value
    }
}

extension ConnectionEnd {
    /// A word from a closed set for metrics.
    var reason: String {
        switch self {
        case .closedByPeer: "closed-by-peer"
        case .closedByUs: "closed-by-us"
        case .released: "released"
        case .abortedByPeer: "aborted-by-peer"
        case .malformed(let error): "malformed-\(error.reason)"
        case .protocolError: "protocol-error"
        case .keepaliveTimeout: "keepalive-timeout"
        case .failed: "failed"
        }
    }
}
