package import Logging
import Synchronization

/// What a program needs of others, and whether each can be reached. Tells operators once a change and once a reason,
/// `/readyz` as far as it matters there, and `/status` always.
package final class Dependencies: Sendable {
    /// What being without it means for readiness.
    package enum Need: Hashable, Sendable {
        /// Not ready before it was there once; degraded afterwards.
        case once
        /// Degraded only.
        case never
    }

    package enum State: String, Hashable, Sendable {
        /// Was not reached yet.
        case waiting
        case up
        /// Was reached, and is not any more.
        case down
    }

    private struct Entry {
        let address: String
        let need: Need
        var state = State.waiting
        /// Why it could not be reached, since it last could: each reason is told once.
        var reasons: Set<String> = []

        /// More than that tell nobody anything.
        static let maximumReasons = 8
    }

    private let readiness: Readiness
    private let logger: Logger
    private let entries = Mutex<[String: Entry]>([:])

    /// - Parameter readiness: has a check of the name of each dependency that counts for it.
    package init(readiness: Readiness, logger: Logger) {
        self.readiness = readiness
        self.logger = logger
    }

    /// - Parameter address: as people know it: `registry:5688`.
    package func expect(_ name: String, at address: String, need: Need) {
        self.entries.withLock { $0[name] = Entry(address: address, need: need) }
        if need != .never { self.readiness.fail(name, "waiting for \(address)") }
    }

    package func isUp(_ name: String) {
        let change = self.entries.withLock { entries -> Entry? in
            guard var entry = entries[name], entry.state != .up else { return nil }
            entry.state = .up
            entry.reasons = []
            entries[name] = entry
            return entry
        }
        guard let entry = change else { return }
        if entry.need != .never { self.readiness.pass(name) }
        self.logger.info("reached \(entry.address)", metadata: .init([.dependency: name]))
    }

    /// - Parameter reason: a few words without secrets.
    package func isDown(_ name: String, _ reason: String) {
        let change = self.entries.withLock { entries -> (entry: Entry, isNews: Bool)? in
            guard var entry = entries[name] else { return nil }
            if entry.state == .up { entry.state = .down }
            let isNews = entry.reasons.count < Entry.maximumReasons && entry.reasons.insert(reason).inserted
            entries[name] = entry
            return (entry, isNews)
        }
        guard let (entry, isNews) = change else { return }
        if entry.state == .waiting, entry.need == .once {
            self.readiness.fail(name, "waiting for \(entry.address): \(reason)")
        }
        guard isNews else { return }
        let metadata = Logger.Metadata([.dependency: name, .reason: reason])
        switch entry.state {
        case .waiting: self.logger.warning("waiting for \(entry.address)", metadata: metadata)
        case .up, .down:
            let event = entry.reasons.count == 1 ? "lost" : "still without"
            self.logger.warning("\(event) \(entry.address)", metadata: metadata)
        }
    }

    /// Name to state, for `/status`.
    package var states: [String: String] {
        self.entries.withLock { $0.mapValues(\.state.rawValue) }
    }

    /// The first by name that cannot be reached, nil if all can.
    package var firstDown: String? {
        self.entries.withLock { entries in
            entries.filter { $0.value.state != .up }.keys.sorted().first.flatMap { name in
                entries[name].map { "\(name) cannot be reached at \($0.address)" }
            }
        }
    }

    /// Whether it was reached at all.
    package func state(of name: String) -> State {
        self.entries.withLock { $0[name]?.state ?? .waiting }
    }
}
