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

    /// Every pod whose lease is held: asked anew each time, in two steps.
    /// - Parameter shift: added to the server's clock.
    func all(
        shift: Duration, deadline: NIODeadline,
        completion: @escaping @Sendable (Result<[LeasedPod], RedisError>) -> Void
    ) {
        self.client.send(RedisCommand("SMEMBERS", self.keys.pods), deadline: deadline) { answer in
            switch answer {
            case .failure(let error): completion(.failure(error))
            case .success(let value):
                let names = (value.elements ?? []).compactMap(\.text).prefix(Self.maximumPods)
                self.read(Array(names), shift: shift, deadline: deadline, completion: completion)
            }
        }
    }

    private func read(
        _ names: [String], shift: Duration, deadline: NIODeadline,
        completion: @escaping @Sendable (Result<[LeasedPod], RedisError>) -> Void
    ) {
        let fields = ["address", "sessions", "seen", "draining", "since", "endpoints"]
        let commands = names.map { RedisCommand(["HMGET", self.keys.pod($0)] + fields) }
        self.client.send(commands + [RedisCommand("TIME")], deadline: deadline) { _, answers in
            let read = Result { () throws(RedisError) -> (pods: [LeasedPod], unknown: [String]) in
                let time = try answers[names.count].get().elements?.compactMap { $0.text.flatMap { Int64($0) } } ?? []
                guard time.count == 2 else { throw .unexpected("no time") }
                let now = Timestamp(milliseconds: time[0] * 1000 + time[1] / 1000) + shift
                var pods: [LeasedPod] = []
                var unknown: [String] = []
                for (name, answer) in zip(names, answers) {
                    let words = (try answer.get().elements ?? []).map(\.text)
                    guard words.count == fields.count, let seen = Self.moment(words[2]) else {
                        unknown.append(name)
                        continue
                    }
                    guard now - seen < RouteTimes.lease else { continue }
                    // A pod of a release before does not tell all of it.
                    pods.append(
                        LeasedPod(
                            pod: Pod(name: name, address: words[0] ?? ""), sessions: words[1].flatMap { Int($0) } ?? 0,
                            isDraining: words[3] == "1", age: Self.moment(words[4]).map { now - $0 } ?? .zero,
                            countAge: now - seen,
                            endpoints: words[5]?.split(separator: ",").map(String.init) ?? []))
                }
                return (pods.sorted { $0.pod.name < $1.pod.name }, unknown)
            }
            // Pods that ended without a word. One that is there after all adds itself with its next renewal.
            if case .success(let read) = read, !read.unknown.isEmpty {
                self.client.send(RedisCommand(["SREM", self.keys.pods] + read.unknown), deadline: deadline) { _ in }
            }
            completion(read.map(\.pods))
        }
    }

    private static func moment(_ text: String?) -> Timestamp? {
        text.flatMap { Int64($0) }.map { Timestamp(milliseconds: $0) }
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
