import Synchronization

/// Counts requests in flight, or observations. Who is admitted is released exactly once, with the last answer.
package final class Admission: Sendable {
    package enum Verdict: Hashable, Sendable {
        /// - Parameter number: greater than that of every request before.
        case admitted(number: UInt64)
        case ownerIsFull
        case isFull
    }

    private struct Owner {
        var total = 0
        /// By name: few, for there is one for each pod that is asked now.
        var pods: [(name: String, count: Int)] = []

        mutating func enter(_ pod: String, maximum: Int) -> Bool {
            guard let index = self.pods.firstIndex(where: { $0.name == pod }) else {
                self.pods.append((pod, 1))
                return true
            }
            guard self.pods[index].count < maximum else { return false }
            self.pods[index].count += 1
            return true
        }

        mutating func leave(_ pod: String) {
            guard let index = self.pods.firstIndex(where: { $0.name == pod }) else { return }
            if self.pods[index].count > 1 { self.pods[index].count -= 1 } else { self.pods.remove(at: index) }
        }
    }

    private struct State {
        var total = 0
        var owners: [String: Owner] = [:]
        var number: UInt64 = 0
    }

    private let maximum: Int
    private let maximumPerOwner: Int
    private let maximumPerOwnerAndPod: Int
    private let state = Mutex(State())

    package init(maximum: Int, perOwner: Int, perOwnerAndPod: Int = .max) {
        self.maximum = maximum
        self.maximumPerOwner = perOwner
        self.maximumPerOwnerAndPod = perOwnerAndPod
    }

    package convenience init(_ limits: EdgeLimits) {
        self.init(
            maximum: limits.inFlight, perOwner: limits.inFlightPerOwner,
            perOwnerAndPod: limits.inFlightPerOwnerAndPod)
    }

    /// All requests in flight.
    package var count: Int { self.state.withLock { $0.total } }
    /// How many owners have any.
    package var owners: Int { self.state.withLock { $0.owners.count } }

    package func admit(_ owner: String) -> Verdict {
        self.state.withLock { state in
            guard state.total < self.maximum else { return .isFull }
            guard state.owners[owner]?.total ?? 0 < self.maximumPerOwner else { return .ownerIsFull }
            state.owners[owner, default: Owner()].total += 1
            state.total += 1
            state.number += 1
            return .admitted(number: state.number)
        }
    }

    /// An admitted request is about to be sent to a pod.
    /// - Returns: false if the owner has as many there as may be.
    package func enter(_ owner: String, pod: String) -> Bool {
        self.state.withLock { $0.owners[owner]?.enter(pod, maximum: self.maximumPerOwnerAndPod) ?? false }
    }

    /// A pod has answered, and the request stays admitted.
    package func leave(_ owner: String, pod: String) {
        self.state.withLock { $0.owners[owner]?.leave(pod) }
    }

    /// - Parameter pod: which it is at; nil: none.
    package func release(_ owner: String, pod: String? = nil) {
        self.state.withLock { state in
            guard let total = state.owners[owner]?.total else { return }
            state.total -= 1
            guard total > 1 else {
                state.owners[owner] = nil
                return
            }
            state.owners[owner]?.total = total - 1
            if let pod { state.owners[owner]?.leave(pod) }
        }
    }
}
