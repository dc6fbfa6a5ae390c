package import NIOCore

/// The rules of one connection for commands: the login first, then answers in the order of the questions. Does no input
/// or output and keeps no promises: whoever holds it has a queue of those, in step with the entries here.
package struct RedisConnectionMachine: ~Copyable {
    package enum ReceiveAction: Equatable {
        case wait
        /// The login is done.
        case ready(RedisServerFacts)
        /// The value is the answer to the oldest entry, which leaves.
        case complete
        /// The same, but nobody waits for it any more, or never did.
        case drop
        /// The same as `complete`, and the connection ends after it.
        case completeAndClose(String)
        case close(String)
    }

    package enum SubmitAction: Equatable {
        /// A new entry at the end.
        case write
        case refuse(RedisError)
    }

    package struct TickAction: Equatable {
        /// Places, counted from the oldest entry, of those whose callers are told that it is too late. They stay.
        package var late: [Int] = []
        /// Ask for a sign of life: a new entry at the end that nobody waits for.
        package var probe = false
        package var close: String?

        package init(late: [Int] = [], probe: Bool = false, close: String? = nil) {
            self.late = late
            self.probe = probe
            self.close = close
        }
    }

    private struct Entry {
        let deadline: NIODeadline
        var isWaited: Bool
    }

    private let limits: RedisLimits
    private let target: String
    /// Nil once it is done.
    private var handshake: RedisHandshake?
    private let opened: NIODeadline
    private var entries = CircularBuffer<Entry>()
    /// No entry that is waited for has an earlier deadline.
    private var earliest = NIODeadline.distantFuture
    /// The last answer, or the first question after none was open.
    private var progress: NIODeadline
    private var isClosed = false

    package init(_ configuration: RedisConfiguration, now: NIODeadline) {
        self.limits = configuration.limits
        self.target = configuration.target
        self.handshake = RedisHandshake(configuration, for: .commands)
        self.opened = now
        self.progress = now
    }

    /// What is sent first.
    package var opening: [RedisCommand] { self.handshake?.commands ?? [] }

    package var outstanding: Int { self.entries.count }

    /// Why there is no point in asking now: nothing was answered for longer than usual, although something was asked.
    package func stalled(now: NIODeadline) -> String? {
        guard !self.entries.isEmpty else { return nil }
        let silence = Duration(now - self.progress)
        return silence > self.limits.stall ? self.silent(silence) : nil
    }

    package mutating func submit(deadline: NIODeadline, now: NIODeadline) -> SubmitAction {
        guard !self.isClosed, self.handshake == nil else {
            return .refuse(.unavailable("there is no connection to Redis at \(self.target)"))
        }
        guard now < deadline else { return .refuse(.late) }
        if let reason = self.stalled(now: now) { return .refuse(.unavailable(reason)) }
        guard self.entries.count < self.limits.outstanding else { return .refuse(.overloaded) }
        self.append(Entry(deadline: deadline, isWaited: true), now: now)
        return .write
    }

    package mutating func received(_ value: RedisValue, now: NIODeadline) -> ReceiveAction {
        guard !self.isClosed else { return .wait }
        if self.handshake != nil { return self.receivedOpening(value, now: now) }
        guard let entry = self.entries.popFirst() else {
            return self.close("Redis at \(self.target) answered without being asked")
        }
        self.progress = now
        if value.isReadOnly {
            self.isClosed = true
            return .completeAndClose("a replica answers at \(self.target): it became one while we were connected")
        }
        return entry.isWaited ? .complete : .drop
    }

    package mutating func tick(now: NIODeadline) -> TickAction {
        guard !self.isClosed else { return TickAction() }
        guard self.handshake == nil else {
            guard Duration(now - self.opened) >= self.limits.opening else { return TickAction() }
            self.isClosed = true
            return TickAction(close: "Redis at \(self.target) did not answer the login in time")
        }
        var action = TickAction()
        if now >= self.earliest { action.late = self.takeLate(now: now) }
        let silence = Duration(now - self.progress)
        if self.entries.isEmpty {
            guard silence >= self.limits.idle else { return action }
            action.probe = true
            self.append(Entry(deadline: .distantFuture, isWaited: false), now: now)
        } else if silence >= self.limits.giveUp {
            self.isClosed = true
            action.close = self.silent(silence)
        }
        return action
    }

    /// The connection is gone, for whatever reason: every entry that is waited for has failed.
    package mutating func ended() {
        self.isClosed = true
        self.entries.removeAll()
    }

    private mutating func append(_ entry: Entry, now: NIODeadline) {
        if self.entries.isEmpty { self.progress = now }
        self.entries.append(entry)
        if entry.isWaited { self.earliest = min(self.earliest, entry.deadline) }
    }

    private mutating func takeLate(now: NIODeadline) -> [Int] {
        var late: [Int] = []
        self.earliest = .distantFuture
        for (place, index) in self.entries.indices.enumerated() where self.entries[index].isWaited {
            if self.entries[index].deadline <= now {
                self.entries[index].isWaited = false
                late.append(place)
            } else {
                self.earliest = min(self.earliest, self.entries[index].deadline)
            }
        }
        return late
    }

    private mutating func receivedOpening(_ value: RedisValue, now: NIODeadline) -> ReceiveAction {
        switch self.handshake?.received(value) {
        case .failed(let reason): return self.close(reason)
        case .wait, nil: return .wait
        case .done(let facts):
            self.handshake = nil
            self.progress = now
            return .ready(facts)
        }
    }

    private mutating func close(_ reason: String) -> ReceiveAction {
        self.isClosed = true
        return .close(reason)
    }

    private func silent(_ silence: Duration) -> String {
        let milliseconds = silence.components.seconds * 1000 + silence.components.attoseconds / 1_000_000_000_000_000
        return "Redis at \(self.target) has not answered for \(milliseconds) ms"
    }
}
