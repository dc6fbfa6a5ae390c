import TestSupport

/// What the traffic is to be.
package struct TrafficPlan: Sendable {
    /// Requests a second.
    package var rate: Double
    /// This share of the requests, 0…1, is POST.
    package var posts = 0.3
    package var devices: Int
    /// So many connections are open at all times, and at most so many.
    package var minimumConnections = 64
    /// Who asks devices of a pod that stands still waits 20 s for each answer; the others are not to wait for these.
    package var maximumConnections = 8192
    /// So many requests may wait for a connection; who comes then is never begun.
    package var maximumWaiting = 100_000
    /// How long the answer may take.
    package var patience = Duration.seconds(60)
    /// Connections beyond the minimum go when they were not needed for so long.
    package var idle = Duration.seconds(10)
    /// Before a connection is opened for no request, when one has just come to nothing.
    package var pause = Duration.seconds(1)
    package var seed: UInt64 = 0

    package init(rate: Double, devices: Int) {
        self.rate = rate
        self.devices = devices
    }
}

/// Which request falls due when: the same in each run with the same seed. Does no input or output.
struct TrafficSchedule: Sendable {
    private let rate: Double
    private let posts: Double
    private let devices: Int
    private let start: Int64
    private var random: SeededGenerator
    /// How many have fallen due.
    private(set) var count = 0

    init(_ plan: TrafficPlan, start: Int64) {
        self.rate = plan.rate
        self.posts = plan.posts
        self.devices = plan.devices
        self.start = start
        self.random = SeededGenerator(seed: plan.seed)
    }

    /// When the next request falls due: reckoned from the start, so that no delay adds to another.
    var next: Int64 { self.start + Int64(Double(self.count) * 1_000_000_000 / self.rate) }

    /// The next request, if it is due.
    mutating func take(now: Int64) -> TrafficRequest? {
        let due = self.next
        guard due <= now else { return nil }
        self.count += 1
        return TrafficRequest(
            n: self.count, method: Double.random(in: 0..<1, using: &self.random) < self.posts ? .post : .get,
            device: Int.random(in: 0..<self.devices, using: &self.random), due: due)
    }
}
