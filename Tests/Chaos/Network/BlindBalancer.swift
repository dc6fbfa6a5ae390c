import NIOCore
import NIOPosix
import TestSupport

/// Keeps a service's members to those whose `/readyz` answers 200, each change learnt 1 to 10 s late, as the balancer
/// of a cluster does: it is told of readiness, and of nothing else.
package actor BlindBalancer {
    private struct Watched {
        let member: Member
        let readiness: ReadinessProbe
        var isAsked = false
    }

    private struct Waiting {
        let condition: @Sendable ([String]) -> Bool
        let deadline: Duration
        let continuation: CheckedContinuation<Bool, Never>
    }

    /// How often each member is asked.
    private static let pace = TimeAmount.milliseconds(250)

    package nonisolated let service: Service
    private let setMembers: @Sendable ([Member]) async throws -> Void
    private let note: @Sendable (RunRecord) -> Void
    private let loop: any EventLoop
    private var belated: BelatedMembers
    /// Everybody the balancer may know, those forgotten too: it does not know yet.
    private var everybody: [String: Member] = [:]
    private var watched: [String: Watched] = [:]
    private var waiting: [Waiting] = []
    private var isOver = false
    /// In force, by name, in order.
    package private(set) var members: [String] = []

    package init(
        service: Service, network: Network, delay: ClosedRange<Duration> = .seconds(1) ... .seconds(10), seed: UInt64,
        note: @escaping @Sendable (RunRecord) -> Void
    ) {
        self.init(service: service, delay: delay, seed: seed, note: note) { members in
            try await network.setMembers(members, of: service)
        }
    }

    /// - Parameter setMembers: what tells the router.
    init(
        service: Service, delay: ClosedRange<Duration>, seed: UInt64, note: @escaping @Sendable (RunRecord) -> Void,
        setMembers: @escaping @Sendable ([Member]) async throws -> Void
    ) {
        self.service = service
        self.setMembers = setMembers
        self.note = note
        self.loop = MultiThreadedEventLoopGroup.singleton.any()
        self.belated = BelatedMembers(delay: delay, seed: seed)
    }

    /// Begins to watch.
    ///
    /// - Parameters:
    ///   - name: the process's, of its own in a run.
    ///   - readiness: where its `/readyz` is.
    package func add(name: String, address: String, port: Int, readiness: (host: String, port: Int)) {
        let member = Member(name: name, address: address, port: port)
        self.everybody[name] = member
        self.watched[name] = Watched(
            member: member, readiness: ReadinessProbe(host: readiness.host, port: readiness.port))
        self.belated.watch(name)
    }

    /// A process that is gone: it gives no answer from now on, and is learnt of as late as everything else.
    package func forget(_ name: String) {
        self.watched[name] = nil
        self.belated.forget(name, now: Self.now)
    }

    /// Until it is cancelled.
    package func run() async throws {
        defer {
            self.isOver = true
            self.tell { _ in false }
        }
        try await self.setMembers([])
        try await withThrowingDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for (name, watched) in self.watched where !watched.isAsked {
                    self.watched[name]?.isAsked = true
                    group.addTask { await self.ask(name, watched.readiness) }
                }
                if let names = self.belated.learn(now: Self.now) { try await self.apply(names) }
                let now = Self.now
                self.tell { $0.deadline <= now ? false : nil }
                try await self.pause()
            }
        }
    }

    /// Returns as soon as the condition holds for the members in force; throws when it does not in time, or this no
    /// longer runs.
    package func waitUntil(
        within patience: Duration = .seconds(60), _ condition: @escaping @Sendable ([String]) -> Bool
    ) async throws {
        if condition(self.members) { return }
        let deadline = Self.now + patience
        let holds = await withCheckedContinuation { continuation in
            if self.isOver { return continuation.resume(returning: false) }
            self.waiting.append(Waiting(condition: condition, deadline: deadline, continuation: continuation))
        }
        guard holds else {
            throw PeerError(
                "service \(self.service.name) does not have the members waited for within \(patience), or is not"
                    + " balanced any more: it has \(self.members)")
        }
    }

    // MARK: - How it is done

    private func ask(_ name: String, _ readiness: ReadinessProbe) async {
        let isReady = await readiness.isReady()
        // Forgotten meanwhile, or another by the same name: the answer is nobody's.
        guard self.watched[name]?.readiness === readiness else { return }
        self.watched[name]?.isAsked = false
        self.belated.saw(name, isReady: isReady, now: Self.now)
    }

    private func apply(_ names: [String]) async throws {
        try await self.setMembers(names.compactMap { self.everybody[$0] })
        self.members = names
        var record = RunRecord(.members, time: MonotonicTime.now)
        record.service = self.service.name
        record.members = names
        self.note(record)
        self.tell { $0.condition(names) ? true : nil }
    }

    /// - Parameter verdict: nil: it waits on.
    private func tell(_ verdict: (Waiting) -> Bool?) {
        self.waiting.removeAll { waiting in
            guard let holds = verdict(waiting) else { return false }
            waiting.continuation.resume(returning: holds)
            return true
        }
    }

    /// Until somebody is to be asked again, or something is to be learnt.
    private func pause() async throws {
        let news = self.belated.nextNews.map { TimeAmount.nanoseconds(max(0, ($0 - Self.now).nanoseconds)) }
        try await self.loop.scheduleTask(in: min(Self.pace, news ?? Self.pace)) {}.futureResult.get()
    }

    private static var now: Duration { .nanoseconds(MonotonicTime.now) }
}
