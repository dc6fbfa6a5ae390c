import Synchronization

/// Every secret any test of this run was given. No log line may hold one.
package final class IssuedSecrets: Sendable {
    package static let shared = IssuedSecrets()

    private let secrets = Mutex<Set<String>>([])

    package func note(_ secret: String) {
        self.secrets.withLock { _ = $0.insert(secret) }
    }

    /// - Throws: naming the line, with the secret cut out of it.
    package func check(_ lines: [String]) throws {
        let secrets = self.secrets.withLock { $0 }
        for line in lines {
            // Tokens are made of these characters only, so a line is a list of candidates.
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
            if words.contains(where: { secrets.contains(String($0)) }) {
                throw PeerError("a log line holds a secret: \(line.prefix(40))…")
            }
        }
    }
}
