import Cloud
import CoAP
import OCF

/// The one place where an error becomes a response.
enum Failure {
    /// What devices are told to wait when a store cannot answer, in seconds.
    static let unavailableMaxAge: UInt32 = 5

    static func response(_ error: CloudError) -> Response {
        Self.response(
            Self.code(error.code), error.message, field: error.field,
            maxAge: error.retryAfter.map(Self.seconds) ?? (error.code == .unavailable ? Self.unavailableMaxAge : nil))
    }

    static func response(_ error: PayloadError) -> Response {
        Self.response(error.code, error.message, field: error.field, maxAge: nil)
    }

    static func code(_ code: CloudError.Code) -> Code {
        switch code {
        case .badRequest: .badRequest
        case .unauthorized: .unauthorized
        case .forbidden: .forbidden
        case .notFound: .notFound
        case .conflict: .conflict
        case .tooLarge: .requestEntityTooLarge
        case .tooMany: .tooManyRequests
        // Never a 4.xx: devices take one at sign-up as final.
        case .unavailable: .serviceUnavailable
        }
    }

    private static func response(_ code: Code, _ message: String, field: String?, maxAge: UInt32?) -> Response {
        var response = Response(code, diagnostic: message, maxAge: maxAge)
        response.options.errorField = field
        return response
    }

    /// Whole seconds, rounded up, at least one.
    private static func seconds(_ duration: Duration) -> UInt32 {
        let (seconds, attoseconds) = duration.components
        return UInt32(clamping: max(1, seconds + (attoseconds > 0 ? 1 : 0)))
    }
}
