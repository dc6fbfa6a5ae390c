/// A device's or client's id (`di`): often a UUID, but any text that keeps the id rule. Always keeps the one id rule of
/// `Identifier`.
package struct DeviceID: Hashable, Comparable, Sendable {
    package let identifier: Identifier

    package var text: String { self.identifier.text }

    /// The id of a device or client as a peer wrote it.
    package init(_ text: String) throws(IdentifierError) {
        self.identifier = try Identifier(text)
    }

    /// The same, for whoever answers with the field at fault.
    ///
    /// - Throws: `badRequest` that names `field`.
    package init(_ text: String, field: String) throws(CloudError) {
        do throws(IdentifierError) {
            self.identifier = try Identifier(text)
        } catch {
            throw CloudError(.badRequest, "\(field) \(error)", field: field)
        }
    }

    /// An id as it came from our own store.
    package init(stored text: String) {
        self.identifier = Identifier(stored: text)
    }

    package static func < (one: Self, other: Self) -> Bool { one.identifier < other.identifier }
}

extension DeviceID: CustomStringConvertible {
    package var description: String { self.text }
}
