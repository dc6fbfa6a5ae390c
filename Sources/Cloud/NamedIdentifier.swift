/// An identifier of one kind, so that a user's is never taken for a device's. Always keeps the one id rule of
/// `Identifier`; each kind adds nothing but its name.
package protocol NamedIdentifier: Hashable, Comparable, Sendable, CustomStringConvertible {
    var identifier: Identifier { get }

    init(identifier: Identifier)
}

extension NamedIdentifier {
    package var text: String { self.identifier.text }

    /// The id as a peer wrote it.
    package init(_ text: String) throws(IdentifierError) {
        self.init(identifier: try Identifier(text))
    }

    /// The same, for whoever answers with the field at fault.
    ///
    /// - Throws: `badRequest` that names `field`.
    package init(_ text: String, field: String) throws(CloudError) {
        do throws(IdentifierError) {
            self.init(identifier: try Identifier(text))
        } catch {
            throw CloudError(.badRequest, "\(field) \(error)", field: field)
        }
    }

    /// An id as it came from our own store.
    package init(stored text: String) {
        self.init(identifier: Identifier(stored: text))
    }

    package static func < (one: Self, other: Self) -> Bool { one.identifier < other.identifier }

    package var description: String { self.text }
}
