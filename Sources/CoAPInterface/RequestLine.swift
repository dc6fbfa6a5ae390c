import CoAP
import ServiceShell

/// What the access log remembers of a request until it is answered.
struct RequestLine {
    let requestID: String
    let method: String
    let path: String
    let started: ContinuousClock.Instant
    /// Whose connection it was when the request came: a sign-out has no session any more when it is answered.
    let session: Session?

    init(_ request: Request, session: Session?) {
        self.session = session
        self.requestID = Self.makeID()
        self.method = request.method.name ?? "\(request.method)"
        self.path = Resource.pattern(of: request.options.path ?? [])
        self.started = .now
    }

    /// Sixteen hexadecimal digits.
    static func makeID() -> String {
        let value = UInt64.random(in: .min ... .max)
        return hexadecimal((0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) })
    }
}

extension AccessOutcome {
    init(_ response: Response) {
        if response.options.undelivered != nil {
            self = .undelivered
        } else if response.options.unknownOutcome != nil {
            self = .unknown
        } else {
            self.init(codeClass: Int(response.code.codeClass))
        }
    }
}
