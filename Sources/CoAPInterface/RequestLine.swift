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
        self.requestID = FreshRequestID.make()
        self.method = request.method.name ?? "\(request.method)"
        self.path = Resource.pattern(of: request.options.path ?? [])
        self.started = .now
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
