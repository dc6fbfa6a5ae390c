import Cloud
import CoAP
import CoAPInterface
import CoAPTransport
import Edge
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
        package let coap: Int
        package let admin: Int
    }

    package let ports: Ports
    /// The cloud's own UUID, which devices are provisioned with.
    package let sid: String
    /// In the order of dependency.
    package let services: [any Service]

    /// Gives back one thing that was taken.
    private typealias Undo = @Sendable () async -> Void

    /// Opens the store and takes every port; what it took is given back if the rest cannot be had.
    /// - Parameter makeLogger: gives the logger of each part, by label.
    /// - Throws: `BindError`, `CloudError` or `KeptFile.Failure`, each with what happened, to what, and what to do.
    package static func start(
        _ configuration: GatewayConfiguration, metrics: MetricsRegistry,
        makeLogger: (String) -> Logger = { Logger(label: $0) }
    ) async throws -> EmbeddedGateway {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.eventLoops)
        // Its only failure is to be shut down already.
        var undo: [Undo] = [{ try? await group.shutdownGracefully() }]
        do {
            return try await Self.assemble(configuration, group, metrics, makeLogger, undo: &undo)
        } catch {
            for step in undo.reversed() { await step() }
            throw error
        }
    }

    private static func assemble(
        _ configuration: GatewayConfiguration, _ group: MultiThreadedEventLoopGroup, _ metrics: MetricsRegistry,
        _ makeLogger: (String) -> Logger, undo: inout [Undo]
    ) async throws -> EmbeddedGateway {
        let clock = SystemWallClock()
        let logger = makeLogger("coap-gateway")
        let lock = try DirectoryLock(configuration.dataDirectory)
        undo.append { lock.release() }
        let sealer = try Self.sealer(configuration)
        let sid = try configuration.identity()
        let store = try await SQLCloudStore.open(
            SQLiteDriver(path: configuration.databasePath))
        undo.append { await store.close() }

        let sessions = SessionTable()
        let routes = InMemoryRouteStore(clock: clock)
        let identity = Identity(
            store: store, clock: clock, sealer: sealer,
            configuration: IdentityConfiguration(
                accessTokenLifetime: configuration.accessTokenLifetime,
                deviceTokenLifetime: configuration.deviceTokenLifetime,
                refreshReuse: configuration.refreshReuse),
            observer: { event in Self.observe(event, sessions: sessions, logger: logger) })
        let registryLog = AccessLog(mode: configuration.accessLog, logger: makeLogger("access.registry"))
        let registryService = RegistryResponder(
            identity: identity, directory: Directory(store: store, clock: clock), accessLog: registryLog,
            logger: makeLogger("registry"),
            endSessions: { sessions.endNow($0, reason: "the registration was deleted") })
        // Nobody outside may see an answer in pages.
        let registry = PagingRegistry(registryService)

        let edge = EdgeResponder(
            pods: sessions, registry: RegistryClient(registry, caller: "edge"), timeout: configuration.requestTimeout)
        let coapLog = AccessLog(mode: configuration.accessLog, logger: makeLogger("access.coap-interface"))
        let relayLog = AccessLog(mode: configuration.accessLog, logger: makeLogger("access.coap-interface.relay"))
        let coap: CoAPInterfaceServer
        do {
            coap = try await CoAPInterfaceServer.bind(
                host: configuration.bindAddress, port: configuration.coapPort, group: group,
                configuration: configuration.connection, maximumConnections: configuration.maxConnections,
                context: CoAPInterfaceContext(
                    registry: registry, edge: edge, routes: routes, sessions: sessions, pod: Pod(name: Self.podName()),
                    publicEndpoint: configuration.publicEndpoint,
                    requestTimeout: .init(configuration.requestTimeout), accessLog: coapLog,
                    relayLog: relayLog, logger: makeLogger("coap-interface")))
        } catch {
            throw BindError(
                host: configuration.bindAddress, port: configuration.coapPort, variable: "COAP_PORT", underlying: error)
        }

        let httpLog = AccessLog(mode: configuration.accessLog, logger: makeLogger("access.northbound"))
        let httpConfiguration = NorthboundConfiguration(
            host: configuration.bindAddress, port: configuration.httpPort,
            registration: configuration.registrationOpen ? .open : .closed,
            requestTimeout: configuration.requestTimeout)
        let http = try await NorthboundService.bind(
            httpConfiguration,
            responder: NorthboundResponder(
                configuration: httpConfiguration, registry: RegistryClient(registry), devices: edge, presence: routes,
                sessions: sessions, accessLog: httpLog, logger: makeLogger("northbound"), clock: clock),
            group: group, logger: makeLogger("northbound"))

        let readiness = Readiness(checks: ["store"])
        readiness.pass("store")
        let started = ContinuousClock.now
        let pages = AdminPages(readiness: readiness, metrics: metrics) {
            let requests = [
                "northbound": httpLog.requests, "coap-interface": coapLog.requests, "relay": relayLog.requests,
                "registry": registryLog.requests,
            ]
            return ProgramStatus(
                program: GatewayConfiguration.program.name, version: GatewayConfiguration.program.version,
                uptimeSeconds: Int(started.duration(to: .now).components.seconds), requests: requests,
                requestsServed: httpLog.requests + coapLog.requests, sessions: sessions.count)
        }
        let admin = try await AdminServer.bind(
            host: configuration.bindAddress, port: configuration.adminPort, pages: pages, group: group)

        return EmbeddedGateway(
            ports: Ports(http: http.port, coap: coap.port, admin: admin.port),
            sid: sid,
            services: [
                EventLoops(group: group), StoreService(store: store, lock: lock), registryService,
                Housekeeping(identity: identity, logger: makeLogger("housekeeping")), admin, coap, http,
            ])
    }

    /// Two starts of the same machine are two pods.
    private static func podName() -> String {
        let boot = SystemRandomSource().bytes(4)
        return "coap-gateway.\(CoAP.hexadecimal(boot))"
    }

    private static func sealer(_ configuration: GatewayConfiguration) throws -> ReplySealer {
        let keys = [try configuration.sealKey(), configuration.tokenSealKeyPrevious].compactMap { $0 }
        return try ReplySealer(keys: keys.compactMap { Secret(CoAP.hexadecimal($0.reveal())) })
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

extension GatewayConfiguration {
    /// How connections of devices and clients behave.
    var connection: ConnectionConfiguration {
        ConnectionConfiguration(
            limits: FrameLimits(maximumMessageSize: self.maxMessageSize),
            isStrict: self.csmStrict,
            keepalive: .init(
                time: .init(self.keepaliveTime), interval: .init(self.keepaliveInterval), retry: self.keepaliveRetry))
    }
}

/// Stops the event loops once nothing uses them any more.
private struct EventLoops: Service {
    let group: MultiThreadedEventLoopGroup

    func run() async throws {
        try? await gracefulShutdown()
        try await self.group.shutdownGracefully()
    }
}

/// Closes the store behind everybody who uses it, and leaves the data directory.
private struct StoreService: Service {
    let store: SQLCloudStore
    let lock: DirectoryLock

    func run() async throws {
        try? await gracefulShutdown()
        await self.store.close()
        self.lock.release()
    }
}
