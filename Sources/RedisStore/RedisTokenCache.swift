package import Cloud
import NIOCore

/// Principals by the hash of their token, in Redis. A token is neither key nor value nor argument of any command.
package final class RedisTokenCache: TokenCache {
    /// However long a token lives.
    package static let longest: Duration = .seconds(10 * 60)
    /// The form of the values; what has another is not ours, or of a version that knows more.
    private static let version = "1"

    private let client: RedisClient
    private let keys: RedisKeys

    package init(client: RedisClient) {
        self.client = client
        self.keys = RedisKeys(prefix: client.configuration.keyPrefix)
    }

    package func find(_ hash: SecretHash) async -> CachedPrincipal? {
        let command = RedisCommand("GET", self.keys.token(hash.bytes))
        // Then the registry is asked, which knows too.
        let answer = await self.client.ask(command, within: self.client.configuration.limits.hurried)
        guard case .success(let value) = answer, let text = value.text else { return nil }
        return Self.entry(text)
    }

    package func keep(_ entry: CachedPrincipal, for hash: SecretHash, lifetime: Duration) {
        let milliseconds = min(lifetime, Self.longest).clampedMilliseconds
        guard milliseconds > 0, let text = Self.text(entry) else { return }
        self.client.send(
            RedisCommand("SET", self.keys.token(hash.bytes), text, "PX", "\(milliseconds)"),
            deadline: .now() + TimeAmount(self.client.configuration.limits.unhurried)
        ) { _ in
            // A cache: what is not kept is asked for again.
        }
    }

    /// One line a field; an empty one is nil.
    private static func text(_ entry: CachedPrincipal) -> String? {
        let principal = entry.principal
        let fields = [
            Self.version, "\(entry.sequence)", principal.kind.rawValue, principal.uid.text, principal.di?.text ?? "",
            principal.expiresAt.map { "\($0.milliseconds)" } ?? "", principal.family?.text ?? "",
        ]
        guard !fields.contains(where: { $0.utf8.contains(UInt8(ascii: "\n")) }) else { return nil }
        return fields.joined(separator: "\n")
    }

    private static func entry(_ text: String) -> CachedPrincipal? {
        let fields = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 7, fields[0] == Self.version, let sequence = Int64(fields[1]),
            let kind = Principal.Kind(rawValue: fields[2]), !fields[3].isEmpty
        else { return nil }
        let expiresAt = fields[5].isEmpty ? nil : Int64(fields[5])
        guard fields[5].isEmpty || expiresAt != nil else { return nil }
        return CachedPrincipal(
            principal: Principal(
                kind: kind, uid: UserID(stored: fields[3]), di: fields[4].isEmpty ? nil : DeviceID(stored: fields[4]),
                expiresAt: expiresAt.map { Timestamp(milliseconds: $0) },
                family: fields[6].isEmpty ? nil : FamilyID(stored: fields[6])),
            sequence: sequence)
    }
}

extension RedisClient {
    /// Sends a command and waits for its answer, for so long at most.
    package func ask(_ command: RedisCommand, within: Duration) async -> Result<RedisValue, RedisError> {
        await withCheckedContinuation { continuation in
            // A little early, since deadlines are looked at every 20 ms only.
            self.send(command, deadline: .now() + TimeAmount(within) - RedisConnectionHandler.grain) {
                continuation.resume(returning: $0)
            }
        }
    }
}
