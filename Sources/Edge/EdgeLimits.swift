import Synchronization

/// What one edge takes on at a time.
package struct EdgeLimits: Hashable, Sendable {
    /// Requests in flight, and those of one owner.
    package var inFlight = 10_000
    package var inFlightPerOwner = 256
    /// Observations that stand, and those of one owner. They are not among the requests in flight.
    package var observations = 50_000
    package var observationsPerOwner = 1024
    /// Requests that wait for one device to come back.
    package var waitersPerDevice = 16
    /// Bytes of all requests that wait for a route.
    package var waitingBytes = 64 * 1024 * 1024
    /// Routes that are remembered.
    package var rememberedRoutes = 100_000

    package init() {}
}

/// Counts requests in flight, or observations. Who is admitted is released exactly once, with the last answer.
package final class Admission: Sendable {
    package enum Verdict: Hashable, Sendable {
        /// - Parameter number: greater than that of every request before.
        case admitted(number: UInt64)
        case ownerIsFull
        case isFull
    }

    private struct State {
        var total = 0
        var owners: [String: Int] = [:]
        var number: UInt64 = 0
    }

    private let maximum: Int
    private let maximumPerOwner: Int
    private let state = Mutex(State())

    package init(maximum: Int, perOwner: Int) {
        self.maximum = maximum
        self.maximumPerOwner = perOwner
    }

    package convenience init(_ limits: EdgeLimits) {
        self.init(maximum: limits.inFlight, perOwner: limits.inFlightPerOwner)
    }

    /// All requests in flight.
    package var count: Int { self.state.withLock { $0.total } }
    /// How many owners have any.
    package var owners: Int { self.state.withLock { $0.owners.count } }

    package func admit(_ owner: String) -> Verdict {
        self.state.withLock { state in
            guard state.total < self.maximum else { return .isFull }
            let count = state.owners[owner, default: 0]
            guard count < self.maximumPerOwner else { return .ownerIsFull }
            state.owners[owner] = count + 1
            state.total += 1
            state.number += 1
            return .admitted(number: state.number)
        }
    }

    package func release(_ owner: String) {
        self.state.withLock { state in
            guard let count = state.owners[owner] else { return }
            state.owners[owner] = count > 1 ? count - 1 : nil
            state.total -= 1
        }
    }
}
