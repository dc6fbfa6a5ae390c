import Synchronization

/// Whether the program can serve, as the sum of named checks.
///
/// A check is not passed until somebody says so: a program that has not come to a check yet is not ready.
package final class Readiness: Sendable {
    /// Name to what is wrong; `nil` when nothing is.
    private let checks: Mutex<[String: String?]>

    /// - Parameter checks: The names of everything that must be ready.
    package init(checks: [String]) {
        self.checks = Mutex(Dictionary(checks.map { ($0, "not started") }, uniquingKeysWith: { $1 }))
    }

    package func pass(_ check: String) {
        self.checks.withLock { _ = $0.updateValue(nil, forKey: check) }
    }

    /// - Parameter reason: A few words for operators.
    package func fail(_ check: String, _ reason: String) {
        self.checks.withLock { _ = $0.updateValue(reason, forKey: check) }
    }

    package var isReady: Bool { self.failures.isEmpty }

    /// What is not passed, with its reason, sorted by name.
    package var failures: [(check: String, reason: String)] {
        self.checks.withLock { checks in
            checks.compactMap { check, reason in reason.map { (check, $0) } }.sorted { $0.0 < $1.0 }
        }
    }
}
