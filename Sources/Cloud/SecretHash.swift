import Crypto

/// SHA-256 of a secret's text: what stores keep and look secrets up by.
package struct SecretHash: Sendable {
    package static let lengthBytes = 32

    /// Exactly 32 bytes.
    package let bytes: [UInt8]

    package init(of text: String) {
        self.init(ofBytes: Array(text.utf8))
    }

    /// The same of any bytes.
    package init(ofBytes bytes: [UInt8]) {
        self.bytes = Array(SHA256.hash(data: bytes))
    }

    /// A hash as it came from a store; nil unless it has 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.lengthBytes else { return nil }
        self.bytes = bytes
    }

    /// The first eight hexadecimal digits, for logs.
    package var short: String { self.bytes.prefix(4).hexadecimal }
}

extension SecretHash: Hashable {
    /// Takes the same time wherever two hashes differ.
    package static func == (one: SecretHash, other: SecretHash) -> Bool {
        var difference: UInt8 = 0
        for (left, right) in zip(one.bytes, other.bytes) {
            difference |= left ^ right
        }
        return difference == 0
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.bytes)
    }
}

extension SecretHash: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "hash:\(self.short)" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, unlabeledChildren: [self.description]) }
}
