import HTTPTypes
import ServiceShell

/// The id that follows one request through the logs of every program.
enum RequestID {
    static let field = fieldName("X-Request-Id")

    /// What the client sent, if it is 1–64 printable ASCII characters without blanks, else 16 fresh digits.
    static func of(_ fields: HTTPFields) -> String {
        let given = fields[values: Self.field]
        if given.count == 1, (1...64).contains(given[0].utf8.count),
            given[0].utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        {
            return given[0]
        }
        return FreshRequestID.make()
    }
}

/// A header field's name that HTTPTypes has no constant for.
func fieldName(_ literal: StaticString) -> HTTPField.Name {
    // Only called with tokens, which is all the initialiser asks for.
    HTTPField.Name(literal.description)!
}
