import Crypto

/// What our own programs share, and prove to each other that they know. It is never sent and cannot be printed.
package struct ClusterSecret: Sendable {
    /// What it must have at least, in bytes.
    package static let minimumBytes = 32
    /// How long a proof is, in bytes: HMAC-SHA-512.
    package static let proofBytes = 64

    private let key: SymmetricKey

    /// - Parameter bytes: the secret as it stands in its file or variable.
    /// - Throws: `badRequest` for fewer than 32 bytes.
    package init(_ bytes: [UInt8]) throws(CloudError) {
        guard bytes.count >= Self.minimumBytes else {
            throw CloudError(
                .badRequest,
                "the cluster secret has fewer than \(Self.minimumBytes) bytes: make one with openssl rand -hex 32",
                field: "CLUSTER_SECRET")
        }
        self.key = SymmetricKey(data: bytes)
    }

    /// The proof that whoever made it knows the secret and meant exactly these parts. Each part goes in behind its
    /// length, so that no two lists of parts give the same bytes.
    package func proof(of parts: [[UInt8]]) -> [UInt8] {
        Array(HMAC<SHA512>.authenticationCode(for: Self.joined(parts), using: self.key))
    }

    /// Whether `proof` is the one of these parts, found in a time that does not tell where it differs.
    package func proves(_ proof: [UInt8], _ parts: [[UInt8]]) -> Bool {
        HMAC<SHA512>.isValidAuthenticationCode(proof, authenticating: Self.joined(parts), using: self.key)
    }

    private static func joined(_ parts: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        for part in parts {
            withUnsafeBytes(of: UInt64(part.count).bigEndian) { bytes.append(contentsOf: $0) }
            bytes += part
        }
        return bytes
    }
}

extension ClusterSecret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// The cluster secret, and while it is being replaced the one before it.
///
/// To rotate: give every program the new one as current and the old one as previous; when all have been restarted, take
/// the previous one away.
package struct ClusterSecrets: Sendable {
    package let current: ClusterSecret
    package let previous: ClusterSecret?

    package init(current: ClusterSecret, previous: ClusterSecret? = nil) {
        self.current = current
        self.previous = previous
    }

    /// The current one first.
    package var all: [ClusterSecret] { [self.current] + (self.previous.map { [$0] } ?? []) }
}
