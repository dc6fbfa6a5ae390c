import Cloud
import NIOCore
import Synchronization

/// The leases of pods, read from Redis, and remembered for a moment: many devices are on few pods.
///
/// What is remembered is when the pod was last seen, by the store's clock; so "held" stays right for as long as the
/// remembered moment proves it, and anything else is asked for. Only a lease that was given back may be held for a
/// second more, by when its pod has no sessions.
final class RedisLeases: Sendable {
    private static let memory: Duration = .seconds(1)
    private static let maximumPods = 4096

    typealias Completion = @Sendable (Result<PodLease, RedisError>) -> Void

    private struct State {
        var seen: [String: (moment: Timestamp, asked: NIODeadline)] = [:]
        /// Who waits for an answer that is on its way.
        var asking: [String: [(now: Timestamp, completion: Completion)]] = [:]
    }

    private let client: RedisClient
    private let keys: RedisKeys
    private let state = Mutex(State())

    init(client: RedisClient, keys: RedisKeys) {
        self.client = client
        self.keys = keys
    }

    /// - Parameter now: the store's time.
    func find(_ pod: String, now: Timestamp, deadline: NIODeadline, completion: @escaping Completion) {
        let local = NIODeadline.now()
        let (isKnown, isFirst) = self.state.withLock { state -> (Bool, Bool) in
            if let seen = state.seen[pod], Duration(local - seen.asked) < Self.memory,
                now - seen.moment < RouteTimes.lease
            {
                return (true, false)
            }
            state.asking[pod, default: []].append((now, completion))
            return (false, state.asking[pod]?.count == 1)
        }
        if isKnown { return completion(.success(.held)) }
        guard isFirst else { return }
        self.client.send(RedisCommand("HGET", self.keys.pod(pod), "seen"), deadline: deadline) { answer in
            self.answered(pod, answer, asked: local)
        }
    }

    func forget(_ pod: String) {
        self.state.withLock { $0.seen[pod] = nil }
    }

    private func answered(_ pod: String, _ answer: Result<RedisValue, RedisError>, asked: NIODeadline) {
        let seen = answer.map { $0.text.flatMap { Int64($0) }.map { Timestamp(milliseconds: $0) } }
        let waiting = self.state.withLock { state in
            if case .success(let moment) = seen {
                if state.seen.count >= Self.maximumPods { state.seen.removeAll() }
                state.seen[pod] = moment.map { ($0, asked) }
            }
            return state.asking.removeValue(forKey: pod) ?? []
        }
        for (now, completion) in waiting {
            completion(
                seen.map { moment in
                    guard let moment else { return .gone }
                    let age = now - moment
                    return age < RouteTimes.lease ? .held : .lapsed(for: age - RouteTimes.lease)
                })
        }
    }
}
