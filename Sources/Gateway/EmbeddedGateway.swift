import Cloud
import Cluster
import CoAP
import CoAPInterface
import Edge
package import Logging
import NIOCore
import Northbound
import OCF
import Registry
import SQLStore
package import ServiceLifecycle
package import ServiceShell

/// All programs in one process, joined by the responder seam instead of connections.
///
/// `start` opens the store and takes every port; `services` then run until shutdown. In the order of dependency:
///
///     northbound ─► edge ─► session table ─► device connections
///          │          │                            │
///          └──────────┴──────► registry ◄──────────┘ ─► SQLite
package struct EmbeddedGateway: Sendable {
    /// The ports that were taken.
    package struct Ports: Hashable, Sendable {
        package let http: Int
        package let coap: Int
        package let admin: Int
    }

    package let ports: Ports
    /// The cloud's own UUID, which devices are provisioned with.
    package let sid: String
    /// In the order of dependency.
    package let services: [any Service]

    /// Opens the store and takes every port; what it took is given back if the rest cannot be had.
    /// - Parameter makeLogger: gives the logger of each part, by label.
    /// - Throws: `BindError`, `CloudError` or `KeptFile.Failure`, each with what happened, to what, and what to do.
    package static func start(
        _ configuration: GatewayConfiguration, metrics: MetricsRegistry,
        makeLogger: @escaping @Sendable (String) -> Logger = { Logger(label: $0) }
    ) async throws -> EmbeddedGateway {
        try await StartUndo.guarding { undo in
            let context = ProgramContext(
                GatewayConfiguration.program, configuration.process, metrics: metrics, checks: ["store"],
                makeLogger: makeLogger, undo: &undo)
            let store = try await EmbeddedStore.open(configuration, undo: &undo)
            return try await Self.assemble(configuration, context, store)
        }
    }

    private static func assemble(
        _ configuration: GatewayConfiguration, _ context: ProgramContext, _ store: EmbeddedStore
    ) async throws -> EmbeddedGateway {
        let clock = SystemWallClock()
        let sessions = SessionTable()
        let routes = InMemoryRouteStore(clock: clock)
        let identity = Self.identity(configuration, context, store, sessions, clock)
        let logs = AccessLogs(context)
        let registry = RegistryResponder(
            identity: identity, directory: Directory(store: store.store, clock: clock), accessLog: logs.registry,
            logger: context.logger("registry"),
            endSessions: { sessions.endNow($0, reason: "the registration was deleted") })
        let pod = Self.pod()
        let edge = EdgeResponder(
            pods: PodRouter(localPod: pod, sessions: sessions), routes: routes, name: pod.name, localPod: pod,
            registry: RegistryClient(registry, caller: "edge"), group: context.loops.group,
            timeout: configuration.requests.timeout)
        let coapMetrics = CoAPInterfaceMetrics()
        let keeper = RouteKeeper(
            routes: routes, sessions: sessions, pod: pod, clock: clock, metrics: coapMetrics,
            logger: context.logger("coap-interface"))
        let coap = try await context.bindDevices(
            configuration.devices,
            CoAPInterfaceContext(
                registry: registry, edge: edge, keeper: keeper, publicEndpoint: configuration.devices.publicEndpoint,
                requestTimeout: .init(configuration.requests.timeout), accessLog: logs.devices, relayLog: logs.relay,
                metrics: coapMetrics, logger: context.logger("coap-interface")))
        let http = try await context.bindHTTP(
            configuration.http.northbound(configuration.process, timeout: configuration.requests),
            registry: RegistryClient(registry), devices: edge, presence: routes, sessions: sessions,
            accessLog: logs.northbound)
        context.readiness.pass("store")
        let admin = try await context.bindAdmin(
            logs: [
                "northbound": logs.northbound, "coap-interface": logs.devices, "relay": logs.relay,
                "registry": logs.registry,
            ],
            served: ["northbound", "coap-interface"], sessions: { sessions.count })
        return EmbeddedGateway(
            ports: Ports(http: http.port, coap: coap.port, admin: admin.port),
            sid: store.sid,
            services: [
                context.loops, store, registry,
                Housekeeping(identity: identity, logger: context.logger("housekeeping")), admin, keeper, coap,
                http, EdgeStop(edge: edge),
            ])
    }

    private static func identity(
        _ configuration: GatewayConfiguration, _ context: ProgramContext, _ store: EmbeddedStore,
        _ sessions: SessionTable, _ clock: SystemWallClock
    ) -> Identity {
        let logger = context.logger("coap-gateway")
        return Identity(
            store: store.store, clock: clock, sealer: store.sealer, configuration: configuration.tokens.identity,
            observer: { event in Self.observe(event, sessions: sessions, logger: logger) })
    }

    /// Two starts of the same machine are two pods.
    private static func pod() -> Pod {
        let boot = SystemRandomSource().bytes(4)
        return Pod(name: "coap-gateway.\(CoAP.hexadecimal(boot))")
    }

    /// What the rules of identity want operators, and live sessions, to know.
    private static func observe(_ event: IdentityEvent, sessions: SessionTable, logger: Logger) {
        switch event {
        case .tokenReuse(let uid, let di, _, let sessionEnds):
            logger.warning(
                "refresh token used again: the family is \(sessionEnds ? "revoked" : "renewed")",
                metadata: .init([.userID: uid.text, .deviceID: di.text, .reason: "token.reuse"]))
            if sessionEnds {
                sessions.endNow([di], reason: "the token was used by somebody else too: sign up again")
            }
        case .registrationReplaced(_, let di, _):
            sessions.endNow([di], reason: "this device was registered anew: sign in with its new token")
        }
    }
}

/// Who writes which access lines.
private struct AccessLogs {
    let northbound: AccessLog
    let devices: AccessLog
    let relay: AccessLog
    let registry: AccessLog

    init(_ context: ProgramContext) {
        self.northbound = context.accessLog("northbound")
        self.devices = context.accessLog("coap-interface")
        self.relay = context.accessLog("coap-interface.relay")
        self.registry = context.accessLog("registry")
    }
}
