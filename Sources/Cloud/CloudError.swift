/// What the domain answers instead of a result. The edge maps `code` to its own codes in one place; nothing of the
/// domain knows CoAP or HTTP.
package struct CloudError: Error, Sendable {
    package enum Code: String, Sendable, Hashable, CaseIterable {
        /// The input breaks a rule: `field` names it.
        case badRequest
        /// The token is unknown, expired, spent, revoked, or somebody else's.
        case unauthorized
        /// We know who asks, and he may not.
        case forbidden
        case notFound
        /// What is asked for contradicts what is there.
        case conflict
        case tooLarge
        /// A limit on how often or how many; `retryAfter` says when to come again, if that helps.
        case tooMany
        /// A store failed or is overloaded. Transient: the peer may repeat the very same request.
        case unavailable
    }

    package var code: Code
    /// For people: what happened, to what, and what to do next. Without secrets.
    package var message: String
    /// The name of the input at fault, as on the wire.
    package var field: String?
    /// How long to wait before another attempt.
    package var retryAfter: Duration?
    /// Where it was thrown, for the log.
    package var file: String
    package var line: Int

    package init(
        _ code: Code,
        _ message: String,
        field: String? = nil,
        retryAfter: Duration? = nil,
        file: String = #fileID,
        line: Int = #line,
    ) {
        self.code = code
        self.message = message
        self.field = field
        self.retryAfter = retryAfter
        self.file = file
        self.line = line
    }
}

extension CloudError: Equatable {
    /// Where it was thrown does not count.
    package static func == (one: CloudError, other: CloudError) -> Bool {
        one.code == other.code && one.message == other.message && one.field == other.field
            && one.retryAfter == other.retryAfter
    }
}

extension CloudError: CustomStringConvertible {
    package var description: String {
        "\(self.code.rawValue): \(self.message) (\(self.file):\(self.line))"
    }
}
