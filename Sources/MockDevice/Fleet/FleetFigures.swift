/// How often what happened to a fleet, or to the part of it on one event loop.
package struct FleetCounts: Sendable, Equatable {
    package var devices = 0
    package var begun = 0
    /// Right now.
    package var connected = 0
    package var signedIn = 0
    /// Devices that have signed in at least once, and that will not try any more.
    package var everSignedIn = 0
    package var gaveUp = 0

    package var connections = 0
    package var steps: [FleetStep: Int] = [:]
    package var requests = 0
    package var answers = 0
    package var notifications = 0
    package var pings = 0
    package var releases = 0
    package var failures: [FleetFailure: Int] = [:]

    package init() {}

    /// What is counted for as long as a run lasts, in the order in which people are told.
    package var rates: [(name: String, count: Int)] {
        [("connections", self.connections)]
            + FleetStep.allCases.filter { $0 != .connect }.map { ($0.rawValue, self.steps[$0] ?? 0) }
            + [
                ("requests served", self.requests), ("answers", self.answers),
                ("notifications", self.notifications), ("pings", self.pings), ("releases", self.releases),
            ]
    }

    package var failed: Int { self.failures.values.reduce(0, +) }

    package mutating func add(_ other: FleetCounts) {
        self.devices += other.devices
        self.begun += other.begun
        self.connected += other.connected
        self.signedIn += other.signedIn
        self.everSignedIn += other.everSignedIn
        self.gaveUp += other.gaveUp
        self.connections += other.connections
        self.steps.merge(other.steps, uniquingKeysWith: +)
        self.requests += other.requests
        self.answers += other.answers
        self.notifications += other.notifications
        self.pings += other.pings
        self.releases += other.releases
        self.failures.merge(other.failures, uniquingKeysWith: +)
    }
}

/// One kind of failure: "sign-in: refused with 4.01".
package struct FleetFailure: Sendable, Hashable, CustomStringConvertible {
    package let what: String
    /// From a closed set: never a text of a peer.
    package let cause: String

    package init(_ what: String, _ cause: String) {
        self.what = what
        self.cause = cause
    }

    package var description: String { "\(self.what): \(self.cause)" }
}

/// What is measured.
package enum FleetLatency: String, Sendable, Hashable, CaseIterable {
    case provision
    case connect
    case signUp = "sign-up"
    case refresh
    case signIn = "sign-in"
    case publish
    case ping
    /// From a device's beginning to its first session.
    case firstSession = "begin to session"
    /// From the end of a session to the next.
    case back = "session to session"

    init(_ step: FleetStep) {
        switch step {
        case .provision: self = .provision
        case .connect: self = .connect
        case .signUp: self = .signUp
        case .refresh: self = .refresh
        case .signIn: self = .signIn
        case .publish: self = .publish
        }
    }
}

/// How long what took.
package struct FleetLatencies: Sendable {
    private var times: [FleetLatency: LatencyFigures] = [:]

    package init() {}

    package mutating func record(_ latency: FleetLatency, _ duration: Duration) {
        self.times[latency, default: LatencyFigures()].record(duration)
    }

    package mutating func add(_ other: FleetLatencies) {
        for (latency, times) in other.times {
            self.times[latency, default: LatencyFigures()].add(times)
        }
    }

    /// What people and programs are told of one of them; nil if it was never measured.
    package func summary(of latency: FleetLatency) -> LatencySummary? { self.times[latency]?.summary }
}
