package import CoAP

/// One error as it is answered over HTTP (RFC 9457): the only thing an error response is built from.
package struct Problem: Error, Hashable, Sendable {
    package var kind: ProblemKind
    package var status: Int
    /// What happened, to what, and what to do next. Without secrets.
    package var detail: String
    /// The header field, member or parameter at fault.
    package var field: String?
    /// Whole seconds for Retry-After.
    package var retryAfter: Int?
    /// The code the device answered with, if it was the device that answered.
    package var deviceCode: Code?
    /// The methods for Allow.
    package var allowed: [String]

    /// - Parameters:
    ///   - detail: what happened; the kind's remedy is added unless `remedy` has a better one, or says nothing.
    package init(
        _ kind: ProblemKind,
        _ detail: String? = nil,
        remedy: String? = nil,
        status: Int? = nil,
        field: String? = nil,
        retryAfter: Int? = nil,
        deviceCode: Code? = nil,
        allowed: [String] = [],
    ) {
        self.kind = kind
        self.status = status ?? kind.status ?? 500
        self.detail = [detail ?? kind.meaning, remedy ?? kind.remedy].filter { !$0.isEmpty }.joined(separator: " ")
        self.field = field
        self.retryAfter = retryAfter
        self.deviceCode = deviceCode
        self.allowed = allowed
    }
}

extension Problem {
    /// A member of the body or a query parameter is at fault.
    package static func field(_ name: String, _ what: String, remedy: String? = nil) -> Problem {
        Problem(.badField, "The field \(name) \(what).", remedy: remedy, field: name)
    }

    /// A header field is at fault.
    package static func header(_ name: String, _ what: String) -> Problem {
        Problem(.badHeader, "The header field \(name) \(what).", field: name)
    }
}
