import CoAP
import CoAPTransport
import Metrics
import NIOCore
import ServiceShell

/// What the CoAP interface counts. Labels come from closed sets only: never a device, a user or a path as sent.
package final class CoAPInterfaceMetrics: Sendable {
    private struct RequestKey: Hashable {
        let direction: String
        let resource: String
        let code: Code
    }

    /// What became of an assertion of a route.
    enum Assertion: String {
        case ours, displaced, superseded, unavailable
    }

    /// What became of a takeover notice.
    enum Notice: String {
        case acknowledged, repeated, expired, full
        case podGone = "pod-gone"
    }

    private let requests = CounterCache<RequestKey>(label: "coap.requests") {
        [("direction", $0.direction), ("resource", $0.resource), ("code", "\($0.code)")]
    }
    private let ended = CounterCache<String>(label: "coap.connections.ended") { [("reason", $0)] }
    private let refused = CounterCache<ListenerRefusal>(label: "coap.connections.refused") {
        [("reason", $0.rawValue)]
    }
    private let ignored = CounterCache<IgnoredMessage>(label: "coap.messages.ignored") { [("reason", $0.rawValue)] }
    private let assertions = CounterCache<Assertion>(label: "routes.assertions") { [("outcome", $0.rawValue)] }
    private let notices = CounterCache<Notice>(label: "routes.notices") { [("outcome", $0.rawValue)] }
    private let duration = Timer(label: "coap.request.duration")
    private let active = LevelGauge(label: "coap.sessions.active")
    private let upstream = LevelGauge(label: "coap.observations.upstream")
    private let observers = LevelGauge(label: "coap.observations.observers")
    private let takeovers = Counter(label: "coap.sessions.takeovers")
    private let contested = Counter(label: "coap.sessions.contested")
    private let flapping = Counter(label: "coap.sessions.flapping")
    private let signInWait = Timer(label: "coap.signins.wait")
    private let unprocessed = Counter(label: "coap.signins.unprocessed")
    private let handshakeWait = Timer(label: "coap.handshakes.wait")
    private let unwritten = Counter(label: "coap.sessions.unwritten")
    private let pauses = Counter(label: "coap.pauses")
    private let moved = CounterCache<MoveEnd>(label: "coap.sessions.moved") { [("end", $0.rawValue)] }
    private let draining = Gauge(label: "coap.draining")
    private let mean = Gauge(label: "coap.balance.mean")
    private let deviation = Gauge(label: "coap.balance.deviation")
    private let rate = Gauge(label: "coap.balance.rate")
    private let balanced = Counter(label: "coap.balance.released")

    package init() {}

    /// - Parameter direction: `in` from devices and clients, `out` to devices.
    func request(direction: String, resource: String, code: Code, took: Duration) {
        self.requests.count(RequestKey(direction: direction, resource: resource, code: code))
        self.duration.record(duration: took)
    }

    /// A request that was answered before its resource was looked at.
    func refused(with code: Code) {
        self.requests.count(RequestKey(direction: "in", resource: "refused", code: code))
    }

    func connectionEnded(_ end: ConnectionEnd) { self.ended.count(end.reason) }
    /// A connection that never came to CoAP.
    func refusedConnection(_ refusal: ListenerRefusal) { self.refused.count(refusal) }
    func ignored(_ message: IgnoredMessage) { self.ignored.count(message) }
    func asserted(_ outcome: Assertion) { self.assertions.count(outcome) }
    func noticed(_ outcome: Notice) { self.notices.count(outcome) }
    /// A newcomer was kept out of a contested device.
    func deviceContested() { self.contested.increment() }
    /// A device signs in again and again.
    func deviceFlaps() { self.flapping.increment() }
    /// A sign-up, sign-in or refresh had to wait for the registry to have time.
    func signInWaited(_ wait: TimeAmount) { self.signInWait.recordNanoseconds(wait.nanoseconds) }
    /// One was answered without having been looked at.
    func signInUnprocessed() { self.unprocessed.increment() }
    /// A TLS handshake had to wait.
    func handshakeWaited(_ wait: TimeAmount) { self.handshakeWait.recordNanoseconds(wait.nanoseconds) }
    /// A session began without its route.
    func sessionUnwritten() { self.unwritten.increment() }
    /// What the shares of the pods look like.
    func looked(_ view: Rebalancing.View) {
        self.mean.record(view.mean)
        self.deviation.record(view.deviation)
        self.rate.record(view.rate)
    }
    /// A device was asked to go elsewhere for balance.
    func releasedForBalance() { self.balanced.increment() }
    /// An event loop had slept for too long.
    func paused() { self.pauses.increment() }

    /// A session that was asked to go elsewhere is over.
    func moved(_ end: MoveEnd) { self.moved.count(end) }
    func isDraining(_ isDraining: Bool) { self.draining.record(isDraining ? 1 : 0) }

    func sessionBegan(tookOver: Bool) {
        self.active.change(by: 1)
        if tookOver { self.takeovers.increment() }
    }

    func sessionEnded() {
        self.active.change(by: -1)
    }

    /// By how many more or fewer resources a device is observed, and by how many observers.
    func observed(upstream: Int, observers: Int) {
        self.upstream.change(by: upstream)
        self.observers.change(by: observers)
    }
}

extension ConnectionEnd {
    /// A word from a closed set for metrics.
    var reason: String {
        switch self {
        case .closedByPeer: "closed-by-peer"
        case .closedByUs: "closed-by-us"
        case .released: "released"
        case .releaseUnheeded: "release-unheeded"
        case .abortedByPeer: "aborted-by-peer"
        case .malformed(let error): "malformed-\(error.reason)"
        case .protocolError: "protocol-error"
        case .keepaliveTimeout: "keepalive-timeout"
        case .failed: "failed"
        }
    }
}
