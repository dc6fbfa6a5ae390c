package import Cloud
package import CoAP
import HTTPTypes
package import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1
import OCF
package import ServiceShell

/// Answers HTTP requests: admission, then the endpoint table, then who asks, then what is asked.
///
/// It knows no device protocol and keeps no state of users or devices; every right is asked for anew with every
/// request, from a memory that hears of what was taken back, else from the registry.
package struct NorthboundResponder: Sendable {
    let configuration: NorthboundConfiguration
    let registry: any RegistryAccess
    /// Who stands behind a token, as far as this program has it in mind and nobody took it back.
    private let recall: @Sendable (Secret) -> Principal?
    let devices: any Responder
    let presence: any PresenceReader
    let sessions: any SessionEnder
    let events: any EventHistory
    /// What devices last said; nil: nobody takes it down.
    let states: (any StateStore)?
    /// What requests with keys were answered.
    let keys: any KeyedAnswerStore
    let accessLog: AccessLog
    let logger: Logger
    let clock: any WallClock
    let admission: Admission
    let limits: RequestLimits
    let dates: HTTPDates
    let metrics: NorthboundMetrics
    let awaited = AwaitedAnswers()
    /// The event streams that are open.
    package let streams: OpenStreams

    /// - Parameters:
    ///   - recall: asked before the registry, which is asked where it knows nobody.
    ///   - devices: answers requests whose Uri-Path begins with a device's id, and compares their fence.
    ///   - presence: who is online.
    ///   - sessions: ends the sessions of what was deleted.
    ///   - events: what happens to the owners' devices.
    ///   - streams: made here unless somebody else must be able to end some.
    package init(
        configuration: NorthboundConfiguration,
        registry: any RegistryAccess,
        recall: @escaping @Sendable (Secret) -> Principal? = { _ in nil },
        devices: any Responder,
        presence: any PresenceReader,
        sessions: any SessionEnder,
        events: any EventHistory,
        streams: OpenStreams? = nil,
        states: (any StateStore)? = nil,
        keys: any KeyedAnswerStore,
        accessLog: AccessLog,
        logger: Logger,
        clock: any WallClock = SystemWallClock(),
    ) {
        self.configuration = configuration
        self.registry = registry
        self.recall = recall
        self.devices = devices
        self.presence = presence
        self.sessions = sessions
        self.events = events
        self.states = states
        self.keys = keys
        self.accessLog = accessLog
        self.logger = logger
        self.clock = clock
        self.admission = Admission(
            maximum: configuration.maximumInFlight, maximumPerOwner: configuration.maximumInFlightPerOwner)
        self.limits = RequestLimits(
            registrationBurst: configuration.registrationBurst, wrongDeviceBurst: configuration.wrongDeviceBurst)
        self.dates = HTTPDates(clock: clock)
        self.metrics = NorthboundMetrics()
        self.streams =
            streams
            ?? OpenStreams(
                maximum: configuration.maximumStreams, maximumPerOwner: configuration.maximumStreamsPerOwner)
    }

    /// What must run as long as requests are answered.
    func run() async {
        async let awaiting: Void = self.awaited.run()
        await EventFeed(log: self.events, streams: self.streams, period: self.configuration.eventPeriod).run()
        await awaiting
    }

    /// How many requests are being answered now.
    package var requestsInFlight: Int { self.admission.total }

    /// - Throws: only what is wrong with the connection, for whoever reads it.
    package func respond(
        to request: HummingbirdCore.Request, on channel: any Channel
    ) async throws -> HummingbirdCore.Response {
        var scope = RequestScope(request, on: channel, timeout: self.configuration.requestTimeout)
        let answer = try await self.answer(request, &scope)
        self.record(scope, answer)
        return self.response(answer, scope)
    }

    /// The answer to bytes that are no request, or that come over a connection there is no room for; they have no
    /// access line, since nothing of them can be told.
    package func answerUnheard(_ problem: Problem) -> HTTPAnswer {
        if problem.kind != .noRoom {
            self.logger.debug("malformed HTTP request", metadata: .init([.errorCode: problem.kind.slug]))
            self.metrics.countMalformed()
        }
        let id = FreshRequestID.make()
        var answer = HTTPAnswer(problem, requestID: id)
        answer.fields[RequestID.field] = id
        answer.fields[.date] = self.dates.now()
        return answer
    }

    private func answer(_ request: HummingbirdCore.Request, _ scope: inout RequestScope) async throws -> HTTPAnswer {
        let problem: Problem
        do {
            guard self.admission.enter() else { throw Problem(.overloaded, retryAfter: 1) }
            defer { self.admission.leave() }
            return try await self.route(request, &scope)
        } catch let error as Problem {
            problem = error
        } catch let error as RegistryError {
            problem = Problem(registry: error)
        } catch let error as PayloadError {
            problem = Problem(payload: error)
        } catch is BodyTimeout {
            problem = Problem(.bodyTimeout)
        } catch let error as HTTPParserError {
            throw error
        } catch {
            self.logger.error(
                "an HTTP request failed by a mistake of ours",
                metadata: .init([.requestID: scope.id, .error: "\(error)"]))
            problem = Problem(.internalError)
        }
        scope.errorCode = problem.kind.slug
        return HTTPAnswer(problem, requestID: scope.id)
    }

    private func route(_ request: HummingbirdCore.Request, _ scope: inout RequestScope) async throws -> HTTPAnswer {
        guard EndpointTable.knownMethods.contains(request.method) else { throw Problem(.methodNotImplemented) }
        // RFC 9112 §3.2: a request without Host, or with two, is refused; a proxy before us may have read the other.
        guard request.head.authority != nil else { throw Problem.header("Host", "is missing") }
        guard !scope.fields.contains(where: { $0.name.canonicalName == "host" }) else {
            throw Problem.header("Host", "stands there twice")
        }
        scope.target = try HTTPTarget(request.head.path ?? "")
        let endpoint: Endpoint
        switch EndpointTable.match(request.method, scope.target.segments) {
        case .found(let found, let parameters):
            endpoint = found
            scope.parameters = parameters
        case .otherMethods(let methods):
            throw Problem(.methodNotAllowed, allowed: methods.map(\.rawValue))
        case .nothing:
            throw Problem(.notFound)
        }
        scope.pattern = endpoint.path.text
        scope.action = endpoint.action
        guard !endpoint.principals.isEmpty else { return try await self.perform(endpoint.action, &scope) }

        let principal = try await self.authenticate(&scope)
        guard endpoint.principals.contains(principal.kind) else {
            let kinds = endpoint.principals.map(\.rawValue).sorted().joined(separator: " or ")
            throw Problem(
                .wrongPrincipal, "This token is a \(principal.kind.rawValue)'s.",
                remedy: "Use the token of a \(kinds); docs/http.md has the table.")
        }
        guard self.admission.enter(principal.uid) else { throw Problem(.tooManyInFlight, retryAfter: 1) }
        defer { self.admission.leave(principal.uid) }
        return try await self.perform(endpoint.action, &scope)
    }

    /// Who asks. Looked up anew for every request: a token that was taken back is no good from then on.
    private func authenticate(_ scope: inout RequestScope) async throws -> Principal {
        guard scope.fields.contains(.authorization) else {
            throw Problem(.unauthorized, "The request carries no access token.")
        }
        guard let token = try Bearer.token(scope.fields),
            let principal = try await self.principal(for: token, scope)
        else {
            throw Problem(.unauthorized, "The token in Authorization is unknown, expired or revoked.")
        }
        scope.principal = principal
        scope.token = token
        return principal
    }

    private func principal(for token: Secret, _ scope: RequestScope) async throws(RegistryError) -> Principal? {
        if let known = self.recall(token) { return known }
        return try await self.registry.principal(for: token, call: scope.call)
    }

    private func perform(_ action: Endpoint.Action, _ scope: inout RequestScope) async throws -> HTTPAnswer {
        switch action {
        case .registerUser: try await self.registerUser(scope)
        case .provisionMediator: try await self.provisionMediator(scope)
        case .provisionClient: try await self.provision(.client, scope)
        case .provisionDevice: try await self.provision(.device, scope)
        case .signUp: try await self.signUp(&scope)
        case .refresh: try await self.refresh(&scope)
        case .discover: try await self.discover(scope)
        case .listDevices: try await self.listDevices(scope)
        case .showDevice: try await self.showDevice(&scope)
        case .followEvents: try self.followEvents(scope)
        case .listMediators: try await self.listMediators(scope)
        case .deleteMediator: try await self.deleteMediator(scope)
        case .deleteUser: try await self.deleteUser(scope)
        case .deleteClient: try await self.deleteClient(&scope)
        case .deleteDevice: try await self.deleteDevice(&scope)
        case .askDevice: try await self.askDevice(&scope)
        case .openAPI: .document(OpenAPIDocument.text, type: "application/yaml")
        case .errors: .document(ErrorsDocument.text, type: "text/markdown;charset=utf-8")
        }
    }

    private func record(_ scope: RequestScope, _ answer: HTTPAnswer) {
        let duration = .now - scope.started
        self.accessLog.record(
            scope.outcome(status: answer.status), scope.accessRecord(status: answer.status, duration: duration))
        self.metrics.count(scope.action, status: answer.status, duration: duration)
    }

    private func response(_ answer: HTTPAnswer, _ scope: RequestScope) -> HummingbirdCore.Response {
        var fields = answer.fields
        fields[RequestID.field] = scope.id
        fields[.date] = self.dates.now()
        // Who waited for 100 and got a refusal instead may send his body or not: what follows cannot be told apart.
        if scope.fields[.connection]?.lowercased() == "close" || answer.status >= 400 && scope.fields.contains(.expect)
        {
            fields[.connection] = "close"
        }
        let status = HTTPResponse.Status(code: answer.status)
        // RFC 9110 §8.6: no Content-Length in 204; what a GET would have in 304 is not known here.
        guard answer.status != 204, answer.status != 304 else {
            return HummingbirdCore.Response(status: status, headers: fields)
        }
        if let stream = answer.stream {
            return HummingbirdCore.Response(
                status: status, headers: fields,
                body: .init { writer in
                    // It may always have more to say: the event loop would come to nothing else.
                    try await withTaskExecutorPreference(globalConcurrentExecutor) { try await stream.run(&writer) }
                })
        }
        fields[.contentLength] = String(answer.body.readableBytes)
        return HummingbirdCore.Response(
            status: status, headers: fields,
            body: scope.method == .head ? .init() : .init(byteBuffer: answer.body))
    }
}
