import Cloud
import CoAP
import Logging
import OCF
import ServiceShell

/// Takes one request from its path to its response, and writes down what became of it.
struct Desk: Sendable {
    let resources: [Resource]
    let metrics: RegistryMetrics
    let accessLog: AccessLog
    let logger: Logger

    @Sendable func answer(_ request: Request) async -> Response {
        let start = ContinuousClock.now
        var resource: Resource?
        do {
            let (found, exchange) = try self.open(request, &resource)
            guard let handler = found.methods[request.method] else { throw Self.wrongMethod(found) }
            return self.close(request, found, try await handler(exchange), since: start)
        } catch {
            return self.close(request, resource, self.reply(to: error, request), since: start)
        }
    }

    /// The same for a resource whose requests are held: `answer` is called exactly once.
    func hold(_ request: Request, answer: @escaping @Sendable (Response) -> Void) {
        let start = ContinuousClock.now
        var resource: Resource?
        do {
            let (found, exchange) = try self.open(request, &resource)
            guard let holder = found.holding[request.method] else { throw Self.wrongMethod(found) }
            try holder(exchange) { reply in answer(self.close(request, found, reply, since: start)) }
        } catch {
            answer(self.close(request, resource, self.reply(to: error, request), since: start))
        }
    }

    /// Which queue a request waits in; nil: none.
    func lane(of request: Request) -> Resource.Lane? {
        let path = request.options.path ?? []
        guard let resource = self.resources.first(where: { $0.match(path) != nil }) else { return .directory }
        return resource.lane
    }

    /// - Parameter found: the resource, also when it throws.
    private func open(
        _ request: Request, _ found: inout Resource?
    ) throws(PayloadError) -> (Resource, Exchange) {
        guard let path = request.options.path else {
            throw PayloadError(.badRequest, "a Uri-Path is not UTF-8 (RFC 7252 §5.10.1)")
        }
        let (resource, variable) = try self.resource(path, request.options)
        found = resource
        guard resource.takes(request.method) else { throw Self.wrongMethod(resource) }
        return (resource, try Self.exchange(request, variable: variable))
    }

    private static func wrongMethod(_ resource: Resource) -> PayloadError {
        PayloadError(.methodNotAllowed, "\(resource.pattern) takes \(resource.taken)")
    }

    private func close(
        _ request: Request, _ resource: Resource?, _ reply: Reply, since start: ContinuousClock.Instant
    ) -> Response {
        let duration = ContinuousClock.now - start
        let pattern = resource?.pattern ?? "other"
        self.metrics.record(resource: pattern, code: reply.response.code, duration: duration)
        guard !reply.isRoutine else { return reply.response }
        self.accessLog.record(
            AccessRecord(
                .coap,
                requestID: request.options.requestID ?? "-",
                method: request.method.name ?? request.method.description,
                path: pattern,
                status: reply.response.code.description,
                device: reply.di?.text ?? request.options.sessionDevice,
                principal: (reply.uid?.text ?? request.options.sessionUser).map { "user:\(SecretHash(of: $0).short)" },
                outcome: AccessOutcome(codeClass: Int(reply.response.code.codeClass)),
                duration: duration,
            ))
        return reply.response
    }

    private func reply(to error: any Error, _ request: Request) -> Reply {
        switch error {
        case let error as PayloadError:
            self.log(error.message, request)
            return Reply(Failure.response(error))
        case let error as CloudError:
            self.log(error.description, request)
            return Reply(Failure.response(error))
        default:
            self.logger.error(
                "a request failed in a way nobody foresaw: please report it",
                metadata: Logger.Metadata([.error: "\(error)", .requestID: request.options.requestID]))
            return Reply(Response(.internalServerError, diagnostic: "the registry failed: see its log"))
        }
    }

    /// The resource of a path, if the one who asks may know of it. Before sign-in everything but account, session and
    /// tokenrefresh is 4.01, whether it exists or not.
    private func resource(_ path: [String], _ options: Options) throws(PayloadError) -> (Resource, String) {
        // Our programs ask for themselves or on behalf of a user, never on behalf of a session.
        let isProgram = options.caller != nil && options.sessionDevice == nil
        let isUser = options.sessionUser != nil
        let isSession = isUser && options.sessionDevice != nil
        for resource in self.resources {
            guard let variable = resource.match(path) else { continue }
            switch resource.access {
            case .anyone: return (resource, variable)
            case .user where isUser: return (resource, variable)
            case .session where isSession: return (resource, variable)
            case .program where isProgram && !isUser: return (resource, variable)
            case .program where isUser: break
            case .user, .session, .program: throw Handlers.notSignedIn
            }
        }
        guard isUser || isProgram else { throw Handlers.notSignedIn }
        throw PayloadError(.notFound, "there is no such resource here")
    }

    private static func exchange(_ request: Request, variable: String) throws(PayloadError) -> Exchange {
        Exchange(
            request: request,
            negotiation: try Negotiation(request),
            variable: variable,
            user: request.options.sessionUser.map { UserID(stored: $0) },
            device: request.options.sessionDevice.map { DeviceID(stored: $0) },
        )
    }

    /// What a peer did wrong is for whoever looks for it; errors name no tokens.
    private func log(_ message: String, _ request: Request) {
        self.logger.debug(
            "refused a request",
            metadata: Logger.Metadata([.error: message, .requestID: request.options.requestID]))
    }
}
