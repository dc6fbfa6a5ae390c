/// A secret from the configuration. It has no readable description: whoever needs the bytes asks for them by name.
package struct SecretValue: Sendable, Equatable {
    private let bytes: [UInt8]

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The secret itself.
    package func reveal() -> [UInt8] { self.bytes }
}

extension SecretValue: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    /// Empty, so that `dump` and string interpolation of an enclosing value do not look inside.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
