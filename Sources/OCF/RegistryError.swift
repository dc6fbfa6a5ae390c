package import CoAP

/// What the registry answered instead of a result.
package struct RegistryError: Error, Hashable, Sendable {
    /// The code of the answer; 5.02 when the answer could not be read.
    package var code: Code
    /// For people: what happened, and what to do next.
    package var message: String
    /// The input at fault, as on the wire.
    package var field: String?
    /// How long to wait before another attempt.
    package var retryAfter: Duration?
    /// Not nil: the request was never acted on.
    package var undelivered: Undelivered?

    package init(
        _ code: Code, _ message: String, field: String? = nil, retryAfter: Duration? = nil,
        undelivered: Undelivered? = nil
    ) {
        self.code = code
        self.message = message
        self.field = field
        self.retryAfter = retryAfter
        self.undelivered = undelivered
    }

    /// The error an answer stands for.
    package init(_ response: Response) {
        self.init(
            response.code,
            response.diagnostic ?? response.code.name ?? "no reason given",
            field: response.options.errorField,
            retryAfter: response.options.maxAge.map { .seconds($0) },
            undelivered: response.options.undelivered,
        )
    }

    static func unreadable(_ error: PayloadError) -> RegistryError {
        RegistryError(.badGateway, "the registry's answer cannot be read (\(error.message)): see its version and log")
    }
}

extension RegistryError: CustomStringConvertible {
    package var description: String { "\(self.code) \(self.message)" }
}
