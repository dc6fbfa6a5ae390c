import Synchronization

/// A word that several tasks look at.
final class Flag: Sendable {
    private let state: Mutex<Bool>

    init(_ value: Bool) { self.state = Mutex(value) }

    var value: Bool { self.state.withLock { $0 } }
    func set(_ value: Bool) { self.state.withLock { $0 = value } }
}

/// Counts from 0.
final class Turns: Sendable {
    private let count = Atomic(0)

    func next() -> Int { self.count.add(1, ordering: .relaxed).oldValue }
}
