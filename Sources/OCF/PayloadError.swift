package import CoAP

/// A request whose payload, query or options are not what the resource takes.
package struct PayloadError: Error, Hashable, Sendable {
    /// What to answer: 4.00, 4.01, 4.03, 4.06, 4.13 or 4.15.
    package let code: Code
    /// For people: what is wrong with what, and what is taken instead. Without secrets.
    package let message: String
    /// The input at fault, as on the wire: `links[3].href`.
    package let field: String?

    package init(_ code: Code = .badRequest, _ message: String, field: String? = nil) {
        self.code = code
        self.message = message
        self.field = field
    }
}

extension PayloadError: CustomStringConvertible {
    package var description: String { self.message }
}
