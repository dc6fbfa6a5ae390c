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
        let (resource, reply) = await self.reply(to: request)
        let duration = ContinuousClock.now - start
        let pattern = resource?.pattern ?? "other"
        self.metrics.record(resource: pattern, code: reply.response.code, duration: duration)
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

    private func reply(to request: Request) async -> (Resource?, Reply) {
        var found: Resource?
        do {
            guard let path = request.options.path else {
                throw PayloadError(.badRequest, "a Uri-Path is not UTF-8 (RFC 7252 §5.10.1)")
            }
            let (resource, variable) = try self.resource(path, request.options)
            found = resource
            guard let handler = resource.methods[request.method] else {
                let taken = resource.methods.keys.compactMap(\.name).sorted().joined(separator: ", ")
                throw PayloadError(.methodNotAllowed, "\(resource.pattern) takes \(taken)")
            }
            let exchange = try Self.exchange(request, variable: variable)
            return (resource, try await handler(exchange))
        } catch let error as PayloadError {
            self.log(error.message, request)
            return (found, Reply(Failure.response(error)))
        } catch let error as CloudError {
            self.log(error.description, request)
            return (found, Reply(Failure.response(error)))
        } catch {
            self.logger.error(
                "a request failed in a way nobody foresaw: please report it",
                metadata: Logger.Metadata([.error: "\(error)", .requestID: request.options.requestID]))
            return (found, Reply(Response(.internalServerError, diagnostic: "the registry failed: see its log")))
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
