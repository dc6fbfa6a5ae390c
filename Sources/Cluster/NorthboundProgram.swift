import Cloud
import Edge
import Northbound
import OCF
import RedisStore
import RegistryReach
package import ServiceShell

/// The command `northbound`: HTTP in, requests to registry and pods out.
package enum NorthboundProgram: ServerProgram {
    package static func start(
        _ settings: NorthboundSettings, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        try await StartUndo.guarding { undo in
            let context = ProgramContext(
                NorthboundSettings.program, settings.process, metrics: metrics, checks: [],
                memoryLimit: settings.ceilings.memoryLimit, undo: &undo)
            return try await Self.assemble(settings, context)
        }
    }

    private static func assemble(
        _ settings: NorthboundSettings, _ context: ProgramContext
    ) async throws -> StartedProgram {
        let name = settings.pod.bootName()
        let reach = try ClusterReach(settings.reach, context, name: name)
        let edge = EdgeResponder(
            pods: PodsByHop(pool: reach.pool), routes: reach.routes, name: name,
            registry: RegistryClient(reach.registry, caller: "edge"), group: context.loops.group,
            timeout: settings.requests.timeout)
        let streams = OpenStreams()
        let accessLog = context.accessLog("northbound")
        let certificates = try settings.http.certificates(logger: context.logger("tls"))
        let http = try await context.bindHTTP(
            settings.http.northbound(settings.process, timeout: settings.requests),
            registry: RegistryClient(reach.registry), recall: reach.recall, devices: edge, presence: reach.routes,
            sessions: EndedByChanges(), events: RedisEventLog(client: reach.redis), streams: streams,
            states: RedisStateStore(client: reach.redis), keys: RedisKeyedAnswerStore(client: reach.redis),
            certificates: certificates, accessLog: accessLog)
        let hurry = Hurry()
        let drain = ServeOn(
            for: settings.drain.propagation, readiness: context.readiness, hurry: hurry,
            logger: context.logger("drain"), begin: { http.drain() },
            finish: { await http.finish(within: settings.requests.timeout) })
        let admin = try await context.bindAdmin(
            logs: ["northbound": accessLog], served: ["northbound"], draining: { drain.status })
        let follower = ChangeFollower(
            reach.balancer, caller: "northbound", cache: reach.cache, logger: context.logger("changes"),
            changed: { streams.end($0) })
        return StartedProgram(
            ports: ["http": http.port, "admin": admin.port]
                .merging(http.securePort.map { ["https": $0] } ?? [:]) { $1 },
            services: [context.loops, context.ceilings.memory] + CertificateWatch.services(certificates)
                + reach.services + [
                    follower, admin, http, EdgeStop(edge: edge), drain,
                ],
            details: ["pod": name], hurry: hurry)
    }

    package static func sentence(_ error: any Error) -> String { Failures.sentence(error) }
}

extension NorthboundSettings {
    var reach: ReachSettings {
        ReachSettings(registry: self.registry, redis: self.redis, inside: self.inside, pod: self.pod)
    }
}

/// Sessions are in other processes, which learn from the registry's changes that one must end.
private struct EndedByChanges: SessionEnder {
    func end(_ devices: [DeviceID], reason: String) async {}
    func end(_ change: Change) async {}
}
