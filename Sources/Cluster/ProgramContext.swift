package import Certificates
package import Cloud
package import CoAP
package import CoAPInterface
import CoAPTransport
import Hop
package import Logging
package import Northbound
package import ServiceShell

/// What the parts of one program are made with.
package struct ProgramContext: Sendable {
    package let program: ProgramDescription
    package let process: ProcessSettings
    package let loops: EventLoops
    package let readiness: Readiness
    package let dependencies: Dependencies
    /// What connections from outside have to fit under.
    package let ceilings: Ceilings
    private let metrics: MetricsRegistry
    private let makeLogger: @Sendable (String) -> Logger

    /// - Parameters:
    ///   - checks: what `/readyz` waits for besides dependencies.
    ///   - memoryLimit: `MEMORY_LIMIT`; nil: the limit of the cgroup.
    ///   - makeLogger: gives the logger of each part, by label.
    package init(
        _ program: ProgramDescription, _ process: ProcessSettings, metrics: MetricsRegistry, checks: [String],
        memoryLimit: Int? = nil,
        makeLogger: @escaping @Sendable (String) -> Logger = { Logger(label: $0) }, undo: inout StartUndo
    ) {
        self.program = program
        self.process = process
        self.loops = EventLoops(count: process.eventLoops, undo: &undo)
        self.metrics = metrics
        self.readiness = Readiness(checks: checks)
        self.makeLogger = makeLogger
        self.ceilings = Ceilings(
            memoryLimit: memoryLimit, eventLoops: process.eventLoops, logger: makeLogger("ceilings"))
        self.dependencies = Dependencies(readiness: self.readiness, logger: makeLogger(program.name))
    }

    package func logger(_ label: String) -> Logger { self.makeLogger(label) }

    /// The access log of one part.
    package func accessLog(_ part: String) -> AccessLog {
        AccessLog(mode: self.process.accessLog, logger: self.makeLogger("access.\(part)"))
    }

    /// Takes the ports for devices and clients.
    /// - Parameter certificates: what those with TLS show; nil: there are none.
    package func bindDevices(
        _ devices: DeviceSettings, _ certificates: ServerCertificates?, _ context: CoAPInterfaceContext
    ) async throws(BindError) -> CoAPInterfaceServer {
        self.ceilings.descriptors.check(
            devices.maxConnections, setting: "MAX_CONNECTIONS", logger: self.logger("ceilings"))
        do throws(DevicePortError) {
            return try await CoAPInterfaceServer.bind(
                host: self.process.bindAddress, ports: devices.listeners(certificates), proxies: devices.proxies,
                group: self.loops.group, configuration: devices.connection,
                maximumConnections: devices.maxConnections,
                handshakes: devices.handshakeLimits(eventLoops: self.process.eventLoops),
                sources: devices.sourceRate.map { SourceLimit(perSecond: $0) }, ceilings: self.ceilings,
                context: context)
        } catch {
            throw BindError(
                host: self.process.bindAddress, port: error.port, variable: error.scheme.portVariable,
                underlying: error.underlying)
        }
    }

    /// Takes a port that other programs reach this one at.
    /// - Parameters:
    ///   - variable: the setting that moves the port.
    ///   - name: who we are: the pod's name with its boot id, or `registry`.
    func bindHop(
        port: Int, variable: String, name: String, secrets: ClusterSecrets, tls: HopTLS?,
        limits: HopLimits = HopLimits(), loopWatch: LoopWatch? = nil, _ responder: LateResponder
    ) async throws -> HopListener {
        do {
            return try await HopListener.bind(
                host: self.process.bindAddress, port: port, group: self.loops.group, name: name, secrets: secrets,
                tls: tls, limits: limits, loopWatch: loopWatch, logger: self.logger("hop"), responder: responder)
        } catch {
            throw BindError(host: self.process.bindAddress, port: port, variable: variable, underlying: error)
        }
    }

    /// Takes the ports of the HTTP API.
    /// - Parameter certificates: what is shown over HTTPS; nil: there is none.
    package func bindHTTP(
        _ configuration: NorthboundConfiguration, registry: any RegistryAccess,
        recall: @escaping @Sendable (Secret) -> Principal?, devices: any Responder,
        presence: any PresenceReader, sessions: any SessionEnder, events: any EventHistory,
        streams: OpenStreams, states: (any StateStore)?, keys: any KeyedAnswerStore,
        certificates: ServerCertificates?, accessLog: AccessLog
    ) async throws(BindError) -> NorthboundService {
        let logger = self.logger("northbound")
        return try await NorthboundService.bind(
            configuration,
            responder: NorthboundResponder(
                configuration: configuration, registry: registry, recall: recall, devices: devices,
                presence: presence, sessions: sessions, events: events, streams: streams, states: states,
                keys: keys, accessLog: accessLog, logger: logger),
            certificates: certificates, ceilings: self.ceilings, group: self.loops.group, logger: logger)
    }

    /// Takes the admin port.
    /// - Parameters:
    ///   - logs: the access logs of the parts, by name.
    ///   - served: the names of those whose requests count as the program's own.
    ///   - sessions: how many are signed in.
    ///   - draining: how far the program is with stopping.
    ///   - cluster: how the sessions are spread; nil where nobody knows.
    package func bindAdmin(
        logs: [String: AccessLog], served: Set<String>, sessions: @escaping @Sendable () -> Int = { 0 },
        draining: @escaping @Sendable () -> DrainStatus? = { nil },
        cluster: (@Sendable () -> ClusterStatus)? = nil
    ) async throws -> AdminServer {
        let started = ContinuousClock.now
        let program = self.program
        let dependencies = self.dependencies
        let status: @Sendable () -> ProgramStatus = {
            let requests = logs.mapValues(\.requests)
            return ProgramStatus(
                program: program.name, version: program.version,
                uptimeSeconds: Int(started.duration(to: .now).components.seconds), requests: requests,
                requestsServed: requests.filter { served.contains($0.key) }.values.reduce(0, +),
                sessions: sessions(), dependencies: dependencies.states, draining: draining())
        }
        let pages = AdminPages(readiness: self.readiness, metrics: self.metrics, status: status, cluster: cluster)
        return try await AdminServer.bind(
            host: self.process.bindAddress, port: self.process.adminPort, pages: pages, group: self.loops.group)
    }
}

extension URIScheme {
    /// The setting that moves the port.
    fileprivate var portVariable: String {
        switch self {
        case .tcp: "COAP_PORT"
        case .tls: "COAPS_PORT"
        case .webSocket: "COAP_WS_PORT"
        case .secureWebSocket: "COAPS_WS_PORT"
        }
    }

    /// The name in the ports file.
    fileprivate var portName: String {
        switch self {
        case .tcp: "coap"
        case .tls: "coaps"
        case .webSocket: "ws"
        case .secureWebSocket: "wss"
        }
    }
}

extension CoAPInterfaceServer {
    /// The ports that are open, as the ports file names them.
    package var namedPorts: [String: Int] {
        Dictionary(self.ports.map { ($0.key.portName, $0.value) }) { first, _ in first }
    }
}
