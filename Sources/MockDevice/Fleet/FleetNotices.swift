import Synchronization

/// Tells of the first failure of each kind at once, in words; the rest are counted.
package final class FleetNotices: Sendable {
    private let told = Mutex<Set<FleetFailure>>([])
    private let print: @Sendable (String) -> Void

    package init(_ print: @escaping @Sendable (String) -> Void) {
        self.print = print
    }

    func tell(_ failure: FleetFailure, _ words: String) {
        guard self.told.withLock({ $0.insert(failure).inserted }) else { return }
        self.print("\(failure): \(sanitized(words.trimmed, limit: 1000))")
    }
}
