import Cloud
import HTTPTypes
import HummingbirdCore
import NIOCore
import OCF
import ServiceShell

/// One HTTP request while it is handled: what handlers share and what its access line says.
struct RequestScope {
    let id: String
    let method: HTTPRequest.Method
    let fields: HTTPFields
    let body: RequestBody
    let channel: any Channel
    let started: ContinuousClock.Instant
    /// When an answer is worth nothing any more.
    let deadline: ContinuousClock.Instant

    /// The pattern of the path, never the path itself.
    var pattern = "-"
    var action: Endpoint.Action?
    var target = HTTPTarget(segments: [])
    var parameters = PathParameters()
    /// Who asks: set before any handler that needs it runs.
    var principal: Principal?
    /// The token it was proved with.
    var token: Secret?
    var device: DeviceID?
    var delivery: AccessOutcome?
    var errorCode: String?

    init(_ request: HummingbirdCore.Request, on channel: any Channel, timeout: Duration) {
        self.id = RequestID.of(request.headers)
        self.method = request.method
        self.fields = request.headers
        self.body = request.body
        self.channel = channel
        self.started = .now
        self.deadline = self.started + (Preferences.wait(request.headers) ?? timeout)
    }

    /// The address it came from, nil for what is no address.
    var peer: String? { self.channel.remoteAddress?.ipAddress }

    var remaining: Duration { max(.zero, self.deadline - .now) }

    /// How the registry is asked on behalf of this request.
    var call: RegistryClient.Call {
        RegistryClient.Call(requestID: self.id, deadline: self.remaining)
    }

    /// The principal of an endpoint whose row asks for one.
    func authenticated() throws(Problem) -> Principal {
        guard let principal = self.principal else { throw Problem(.unauthorized) }
        return principal
    }

    func outcome(status: Int) -> AccessOutcome { self.delivery ?? AccessOutcome(codeClass: status / 100) }

    func accessRecord(status: Int, duration: Duration) -> AccessRecord {
        AccessRecord(
            .http,
            requestID: self.id,
            method: EndpointTable.knownMethods.contains(self.method) ? self.method.rawValue : "other",
            path: self.pattern,
            status: String(status),
            device: self.device?.text,
            principal: self.principal.map { "\($0.kind.rawValue):\(self.token?.hash.short ?? "-")" },
            outcome: self.outcome(status: status),
            duration: duration,
            errorCode: self.errorCode,
            peer: self.peer,
        )
    }
}
