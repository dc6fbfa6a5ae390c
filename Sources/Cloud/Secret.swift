/// A token, code or key: text that lets its bearer in.
///
/// Cannot be printed: everything that describes a secret shows the first digits of its SHA-256 instead. `reveal()` is
/// the one way to the text, for putting it on a wire. Stores keep `hash`, never the text.
package struct Secret: Sendable {
    /// How long a secret may be, in bytes. What is longer was never issued by us, nor is it worth hashing.
    package static let lengthBytes = 1...512

    /// How many random bytes are in a secret of ours.
    package static let randomBytes = 32

    private let text: String

    /// A fresh secret: 32 random bytes as 44 characters of base64url (RFC 4648 §5) that do not begin with `-`, so that
    /// it can be given to a command line program.
    package init(random: any RandomSource) {
        var text: String
        repeat {
            text = base64URL(random.bytes(Self.randomBytes))
        } while text.utf8.first == UInt8(ascii: "-")
        self.text = text
    }

    /// What a peer sent as its secret; nil unless it has 1…512 bytes. Nothing else is asked of it: whether it is good
    /// is found out by its hash.
    package init?(_ text: String) {
        guard Self.lengthBytes.contains(text.utf8.count) else { return nil }
        self.text = text
    }

    /// The text itself, to be put on a wire and nowhere else.
    package func reveal() -> String { self.text }

    /// What stores keep, and what a secret is looked up by.
    package var hash: SecretHash { SecretHash(of: self.text) }
}

extension Secret: Equatable {
    /// Takes the same time wherever two secrets differ.
    package static func == (one: Secret, other: Secret) -> Bool {
        one.hash == other.hash
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The kind and a short hash, as in `secret:1a2b3c4d`: enough to follow one secret through a log.
    package var description: String { "secret:\(self.hash.short)" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, unlabeledChildren: [self.description]) }
}
