import Certificates
import Cloud
import Cluster
import CoAP
import CoAPInterface
import Edge
import FoundationEssentials
package import Logging
import NIOCore
import NIOPosix
import Northbound
import OCF
import Registry
import RegistryReach
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
        /// 0: there is none.
        package let coap: Int
        /// The other listeners, by the names they have in the ports file.
        package let more: [String: Int]
        package let admin: Int

        /// All of them, as the ports file names them.
        package var named: [String: Int] {
            var named = self.more
            named["http"] = self.http
            named["coap"] = self.coap == 0 ? nil : self.coap
            named["admin"] = self.admin
            return named
        }
    }

    package let ports: Ports
    /// The cloud's own UUID, which devices are provisioned with.
    package let sid: String
    /// In the order of dependency.
    package let services: [any Service]

    /// Opens the store and takes every port; what it took is given back if the rest cannot be had.
    /// - Parameter makeLogger: gives the logger of each part, by label.
    /// - Throws: `BindError`, `CertificateError`, `CloudError` or `KeptFile.Failure`, each with what happened, to what,
    ///   and what to do.
    package static func start(
        _ configuration: GatewayConfiguration, metrics: MetricsRegistry,
        makeLogger: @escaping @Sendable (String) -> Logger = { Logger(label: $0) }
    ) async throws -> EmbeddedGateway {
        try await StartUndo.guarding { undo in
            let context = ProgramContext(
                GatewayConfiguration.program, configuration.process, metrics: metrics, checks: ["store"],
                memoryLimit: configuration.ceilings.memoryLimit, makeLogger: makeLogger, undo: &undo)
            let store = try await EmbeddedStore.open(configuration, undo: &undo)
            return try await Self.assemble(configuration, context, store)
        }
    }

    private static func assemble(
        _ configuration: GatewayConfiguration, _ context: ProgramContext, _ store: EmbeddedStore
    ) async throws -> EmbeddedGateway {
        let inside = Inside(configuration, context, store)
        let shown = try Certified(configuration, sid: store.sid, logger: context.logger("tls"))
        let devices = try await context.bindDevices(
            configuration.devices, shown.toDevices,
            CoAPInterfaceContext(
                registry: inside.registry,
                signIns: SignIns(
                    limits: configuration.devices.signInLimits(eventLoops: configuration.process.eventLoops)),
                edge: inside.edge, keeper: inside.keeper,
                publicEndpoints: configuration.devices.publicEndpoints,
                requestTimeout: .init(configuration.requests.timeout), states: inside.stateKeeper,
                accessLog: inside.logs.devices,
                relayLog: inside.logs.relay, metrics: inside.metrics,
                logger: context.logger("coap-interface")))
        let http = try await context.bindHTTP(
            configuration.http.northbound(configuration.process, timeout: configuration.requests),
            registry: RegistryClient(inside.remembering), recall: inside.caching.recall, devices: inside.edge,
            presence: inside.routes, sessions: inside.sessions, events: inside.events, streams: inside.streams,
            states: inside.states, keys: InMemoryKeyedAnswerStore(), certificates: shown.overHTTP,
            accessLog: inside.logs.northbound)
        context.readiness.pass("store")
        let admin = try await context.bindAdmin(
            logs: inside.logs.byName, served: ["northbound", "coap-interface"], sessions: { inside.sessions.count })
        return EmbeddedGateway(
            ports: Ports(
                http: http.port, coap: devices.port,
                more: devices.namedPorts.filter { $0.key != "coap" }
                    .merging(http.securePort.map { ["https": $0] } ?? [:]) { $1 },
                admin: admin.port),
            sid: store.sid,
            services: [
                context.loops, context.ceilings.memory, store, inside.desk, inside.housekeeping, inside.changes, admin,
                inside.keeper, devices, http,
                EdgeStop(edge: inside.edge),
            ] + CertificateWatch.services(shown.toDevices) + CertificateWatch.services(shown.overHTTP))
    }
}

/// What the listeners with TLS show: what is configured, else certificates of an authority made at the first start.
private struct Certified {
    let toDevices: ServerCertificates?
    let overHTTP: ServerCertificates?

    init(_ configuration: GatewayConfiguration, sid: String, logger: Logger) throws(CertificateError) {
        var made: DevelopmentAuthority.Prepared?
        if configuration.isDevelopmentCertificateShown {
            let prepared = try DevelopmentAuthority.prepare(
                in: configuration.certificatesDirectory, sid: sid, hostNames: [ProcessInfo.processInfo.hostName])
            if prepared.madeAuthority {
                logger.info(
                    "an authority for development was made: clients that use TLS have to trust it",
                    metadata: .init([.path: prepared.authority]))
            }
            made = prepared
        }
        let own = made.map { ServerCertificates.Files(certificate: $0.certificate, key: $0.key) }
        self.toDevices = try configuration.tls.certificates(sid: sid, otherwise: own, logger: logger)
        self.overHTTP = try configuration.http.certificates(otherwise: own, logger: logger)
    }
}

/// Everything behind the ports.
private struct Inside {
    let logs: AccessLogs
    let sessions = SessionTable()
    /// Event streams over HTTP.
    let streams = OpenStreams()
    let events: InMemoryEventLog
    /// What devices last said; nil: nobody takes it down.
    let states: InMemoryStateStore?
    let stateKeeper: StateKeeper?
    let routes: InMemoryRouteStore
    let housekeeping: Housekeeping
    let desk: RegistryResponder
    /// The registry for all who ask it: nobody outside may see an answer in pages.
    let registry: PagingRegistry
    /// The same with a memory of who stands behind a token: for those who ask it on every request.
    let remembering: PagingRegistry
    let caching: CachingRegistry
    let changes: ChangeReader
    let metrics = CoAPInterfaceMetrics()
    let keeper: RouteKeeper
    let edge: EdgeResponder

    init(_ configuration: GatewayConfiguration, _ context: ProgramContext, _ store: EmbeddedStore) {
        let clock = SystemWallClock()
        let events = InMemoryEventLog(clock: clock)
        self.events = events
        let mode = configuration.devices.storedState
        let states = mode == .off ? nil : InMemoryStateStore(clock: clock)
        let stateKeeper = states.map {
            StateKeeper(mode: mode, store: $0, group: context.loops.group)
        }
        self.states = states
        self.stateKeeper = stateKeeper
        let (sessions, streams) = (self.sessions, self.streams)
        self.logs = AccessLogs(context)
        self.routes = InMemoryRouteStore(clock: clock)
        let news = IdentityNews(
            events: events, clock: clock, logger: context.logger("coap-gateway"),
            endSessions: { devices, reason in
                sessions.endNow(devices, reason: reason)
                streams.end(devices)
            })
        let identity = Identity(
            store: store.store, clock: clock, sealer: store.sealer, configuration: configuration.tokens.identity,
            observer: news.tell)
        self.housekeeping = Housekeeping(identity: identity, logger: context.logger("housekeeping"))
        let nudge = InProcessNudge()
        self.desk = RegistryResponder(
            identity: identity, directory: Directory(store: store.store, clock: clock, observer: news.tell),
            configuration: RegistryConfiguration(redirectURI: configuration.tokens.redirectURI), nudge: nudge,
            accessLog: self.logs.registry, logger: context.logger("registry"),
            endSessions: { devices in
                sessions.endNow(devices, reason: "the registration was deleted")
                streams.end(devices)
                for di in devices { stateKeeper?.forget(di) }
            })
        self.registry = PagingRegistry(self.desk)
        let cache = IdentityCache(outageLimit: nil)
        self.caching = CachingRegistry(self.desk, cache: cache)
        self.remembering = PagingRegistry(self.caching)
        self.changes = ChangeReader(
            identity.changeLog, nudge: nudge, cache: cache, logger: context.logger("changes"))
        let pod = Pod(name: PodSettings.bootName(of: "coap-gateway"))
        self.keeper = RouteKeeper(
            routes: self.routes, sessions: sessions, pod: pod, events: events, clock: clock,
            metrics: self.metrics, logger: context.logger("coap-interface"))
        self.edge = EdgeResponder(
            pods: PodRouter(
                localPod: pod, sessions: sessions, currentLoop: { MultiThreadedEventLoopGroup.currentEventLoop }),
            routes: self.routes, name: pod.name, localPod: pod,
            registry: RegistryClient(self.registry, caller: "edge"), group: context.loops.group,
            timeout: configuration.requests.timeout)
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

    var byName: [String: AccessLog] {
        [
            "northbound": self.northbound, "coap-interface": self.devices, "relay": self.relay,
            "registry": self.registry,
        ]
    }
}
