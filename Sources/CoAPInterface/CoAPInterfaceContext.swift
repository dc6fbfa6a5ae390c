import Cloud
package import CoAP
package import CoAPTransport
package import Logging
package import NIOCore
package import ServiceShell

/// What all device connections of one process share: a reference, since each of them keeps it.
package final class CoAPInterfaceContext: Sendable {
    /// Answers account, session, tokenrefresh, rd, res.
    package let registry: any Responder
    /// When it is asked: not all at once.
    package let signIns: SignIns
    /// Whether an identity request is answered from memory, so that `registry` does not ask anybody for it.
    package let isRemembered: @Sendable (Request) -> Bool
    /// Who signs in again and again.
    package let flapping: FlappingWatch
    /// Takes requests for `/{di}/…` to their device.
    package let edge: any Responder
    /// Signs sessions in, and knows the sessions of this process.
    package let keeper: RouteKeeper
    /// What clients dial, for `eps`; none: the address each of them did dial.
    package let publicEndpoints: PublicEndpoints
    /// How long the registry may take for one request.
    package let registryTimeout: TimeAmount
    /// How long a device may take for one request.
    package let requestTimeout: TimeAmount
    package let limits: SessionMachine.Limits
    /// Whether no registry can be reached, so that nobody can renew a token.
    package let isRegistryUnreachable: @Sendable () -> Bool
    /// Notices when an event loop of the devices slept, and calls `RouteKeeper.paused` then. Its owner starts it; nil
    /// where nobody else can take a session over.
    package let watch: LoopWatch?
    /// Takes down what devices say; nil: nobody does.
    package let states: StateKeeper?
    /// Requests of devices and clients.
    package let accessLog: AccessLog
    /// Requests to devices, whoever asked.
    package let relayLog: AccessLog
    package let metrics: CoAPInterfaceMetrics
    package let logger: Logger

    var routes: any RouteStore { self.keeper.routes }
    var sessions: SessionTable { self.keeper.sessions }

    package init(
        registry: any Responder, signIns: SignIns = SignIns(),
        isRemembered: @escaping @Sendable (Request) -> Bool = { _ in false },
        edge: any Responder, keeper: RouteKeeper,
        publicEndpoints: PublicEndpoints = PublicEndpoints(), registryTimeout: TimeAmount = .seconds(10),
        requestTimeout: TimeAmount = .seconds(20), limits: SessionMachine.Limits = .init(),
        isRegistryUnreachable: @escaping @Sendable () -> Bool = { false },
        watch: LoopWatch? = nil, states: StateKeeper? = nil, accessLog: AccessLog, relayLog: AccessLog? = nil,
        metrics: CoAPInterfaceMetrics = CoAPInterfaceMetrics(), logger: Logger
    ) {
        self.registry = registry
        self.signIns = signIns
        self.isRemembered = isRemembered
        self.flapping = FlappingWatch()
        self.edge = edge
        self.keeper = keeper
        self.publicEndpoints = publicEndpoints
        self.registryTimeout = registryTimeout
        self.requestTimeout = requestTimeout
        self.limits = limits
        self.isRegistryUnreachable = isRegistryUnreachable
        self.watch = watch
        self.states = states
        self.accessLog = accessLog
        self.relayLog = relayLog ?? accessLog
        self.metrics = metrics
        self.logger = logger
    }
}
