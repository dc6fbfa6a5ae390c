import Cloud
package import CoAP
package import CoAPTransport
package import Logging
package import NIOCore
package import ServiceShell

/// What all device connections of one process share.
package struct CoAPInterfaceContext: Sendable {
    /// Answers account, session, tokenrefresh, rd, res.
    package var registry: any Responder
    /// When it is asked: not all at once.
    package var signIns: SignIns
    /// Whether an identity request is answered from memory, so that `registry` does not ask anybody for it.
    package var isRemembered: @Sendable (Request) -> Bool
    /// Who signs in again and again.
    package var flapping: FlappingWatch
    /// Takes requests for `/{di}/…` to their device.
    package var edge: any Responder
    /// Signs sessions in, and knows the sessions of this process.
    package var keeper: RouteKeeper
    /// What clients dial, for `eps`; none: the address each of them did dial.
    package var publicEndpoints: PublicEndpoints
    /// How long the registry may take for one request.
    package var registryTimeout: TimeAmount
    /// How long a device may take for one request.
    package var requestTimeout: TimeAmount
    package var limits: SessionMachine.Limits
    /// Whether no registry can be reached, so that nobody can renew a token.
    package var isRegistryUnreachable: @Sendable () -> Bool
    /// Notices when an event loop of the devices slept, and calls `RouteKeeper.paused` then. Its owner starts it; nil
    /// where nobody else can take a session over.
    package var watch: LoopWatch?
    /// Takes down what devices say; nil: nobody does.
    package var states: StateKeeper?
    /// Requests of devices and clients.
    package var accessLog: AccessLog
    /// Requests to devices, whoever asked.
    package var relayLog: AccessLog
    package var metrics: CoAPInterfaceMetrics
    package var logger: Logger

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
