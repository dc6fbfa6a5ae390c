/// The id of a token family: 16 random bytes as 32 hexadecimal digits. Not a secret.
package struct FamilyID: Hashable, Sendable {
    package let text: String

    package init(random: any RandomSource) {
        self.text = random.bytes(16).hexadecimal
    }

    /// An id as it came from our own store.
    package init(stored text: String) {
        self.text = text
    }
}

extension FamilyID: CustomStringConvertible {
    package var description: String { self.text }
}
