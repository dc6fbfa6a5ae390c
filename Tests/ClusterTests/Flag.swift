import Synchronization

/// A word that several tasks look at.
final class Flag: Sendable {
    private let state: Mutex<Bool>

    init(_ value: Bool) { self.state = Mutex(value) }

    var value: Bool { self.state.withLock { $0 } }
    func set(_ value: Bool) { self.state.withLock { $0 = value } }
    /// The value, which is false from then on.
    func take() -> Bool {
        self.state.withLock { value in
            defer { value = false }
            return value
        }
    }
}
