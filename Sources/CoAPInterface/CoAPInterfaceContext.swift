package import Cloud
package import CoAP
package import Logging
package import NIOCore
package import ServiceShell

/// What all device connections of one process share.
package struct CoAPInterfaceContext: Sendable {
    /// Answers account, session, tokenrefresh, rd, res.
    package var registry: any Responder
    /// Takes requests for `/{di}/…` to their device.
    package var edge: any Responder
    package var routes: any RouteStore
    package var sessions: SessionTable
    /// This process.
    package var pod: Pod
    /// What clients dial, for `eps`; nil: the address each of them did dial.
    package var publicEndpoint: String?
    /// How long the registry may take for one request.
    package var registryTimeout: TimeAmount
    /// How long a device may take for one request.
    package var requestTimeout: TimeAmount
    package var limits: SessionMachine.Limits
    /// Requests of devices and clients.
    package var accessLog: AccessLog
    /// Requests to devices, whoever asked.
    package var relayLog: AccessLog
    package var metrics: CoAPInterfaceMetrics
    package var logger: Logger

    package init(
        registry: any Responder, edge: any Responder, routes: any RouteStore, sessions: SessionTable, pod: Pod,
        publicEndpoint: String? = nil, registryTimeout: TimeAmount = .seconds(10),
        requestTimeout: TimeAmount = .seconds(20), limits: SessionMachine.Limits = .init(), accessLog: AccessLog,
        relayLog: AccessLog? = nil,
        metrics: CoAPInterfaceMetrics = CoAPInterfaceMetrics(), logger: Logger
    ) {
        self.registry = registry
        self.edge = edge
        self.routes = routes
        self.sessions = sessions
        self.pod = pod
        self.publicEndpoint = publicEndpoint
        self.registryTimeout = registryTimeout
        self.requestTimeout = requestTimeout
        self.limits = limits
        self.accessLog = accessLog
        self.relayLog = relayLog ?? accessLog
        self.metrics = metrics
        self.logger = logger
    }
}
