package import Cloud
package import CoAP
package import Logging
import OCF
import ServiceLifecycle
package import ServiceShell

/// How a registry behaves, besides what `Identity` is told.
package struct RegistryConfiguration: Hashable, Sendable {
    /// Requests that may wait for a worker; more get 5.03.
    package var queueCapacity: Int
    /// Requests in work at once.
    package var workers: Int
    /// Where devices shall sign in instead of here; nil: nothing is said.
    package var redirectURI: String?

    package init(queueCapacity: Int = 1024, workers: Int = 32, redirectURI: String? = nil) {
        self.queueCapacity = queueCapacity
        self.workers = workers
        self.redirectURI = redirectURI
    }
}

/// The registry: owner of account, session, tokenrefresh, rd, res and provisioning, as a CoAP server without a socket.
///
/// Whose session a request came in on is in its internal options `sessionUser` and `sessionDevice`; without them nobody
/// is signed in. That a token behind a session has run out or was revoked is for the connection to notice.
///
/// Answers to `oic/sec/session` carry `sessionUser`, `sessionDevice`, `sessionKind` and `sessionExpiry` if they are a
/// sign-in, and none of them if they are a sign-out; 2.02 to `oic/sec/account` carries a `sessionDevice` for each
/// device that is gone. Connections strip them.
///
/// It works while `run()` does; before that requests wait, after it they get 5.03.
package final class RegistryResponder: Responder, Service {
    private let resources: [Resource]
    private let dispatcher: Dispatcher

    /// - Parameters:
    ///   - accessLog: labelled `registry.access`.
    ///   - endSessions: is told, after the commit, whose sessions must end; must return at once. A session that
    ///     signs itself off is among them: it must be left its connection until it has the answer.
    package init(
        identity: Identity,
        directory: Directory,
        configuration: RegistryConfiguration = RegistryConfiguration(),
        accessLog: AccessLog,
        logger: Logger,
        endSessions: @escaping @Sendable ([DeviceID]) -> Void = { _ in },
    ) {
        let resources = Handlers(
            identity: identity, directory: directory, redirectURI: configuration.redirectURI,
            endSessions: { if !$0.isEmpty { endSessions($0) } }
        ).resources
        let desk = Desk(resources: resources, metrics: RegistryMetrics(), accessLog: accessLog, logger: logger)
        self.resources = resources
        self.dispatcher = Dispatcher(
            capacity: configuration.queueCapacity, workers: configuration.workers, handler: desk.answer)
    }

    package func respond(to request: Request, answer: @escaping @Sendable (Response) -> Void) {
        self.dispatcher.submit(request, answer: answer)
    }

    package func run() async {
        await self.dispatcher.run()
    }

    /// The patterns of all resources.
    package var patterns: [String] { self.resources.map(\.pattern) }
}
