import Cloud
import CoAPInterface
import CoAPTransport
import Edge
import Hop
import NIOCore
import OCF
import RedisStore
import RegistryReach
package import ServiceShell

/// The command `coap-interface`: devices in, requests to registry and other pods out.
package enum CoAPInterfaceProgram: ServerProgram {
    package static func start(
        _ settings: CoAPInterfaceSettings, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        try await StartUndo.guarding { undo in
            let context = ProgramContext(
                CoAPInterfaceSettings.program, settings.process, metrics: metrics, checks: [],
                memoryLimit: settings.ceilings.memoryLimit, undo: &undo)
            return try await Self.assemble(settings, context)
        }
    }

    /// How long after the registry could not be reached a device has to renew its token. Asked only where a token is
    /// over, so one failed exchange is enough to begin it: at worst such a session lasts a little longer.
    ///
    /// Unspecified: devices are told to come back after 5 s, and double that a few times.
    private static let renewalGrace: TimeAmount = .seconds(30)

    private static func assemble(
        _ settings: CoAPInterfaceSettings, _ context: ProgramContext
    ) async throws -> StartedProgram {
        let name = settings.pod.bootName()
        let fence = LateFence()
        let loopWatch = LoopWatch(limit: .init(RouteTimes.loopPause)) { fence.paused($0) }
        loopWatch.start(on: context.loops.group)
        let reach = try ClusterReach(settings.reach, context, name: name, loopWatch: loopWatch)
        let inside = LateResponder(waiting: "this pod is starting")
        let podPort = try await context.bindHop(
            port: settings.podPort, variable: "POD_PORT", name: name, secrets: reach.secrets, tls: reach.tls,
            loopWatch: loopWatch, inside)
        let address = settings.pod.endpoint(boundTo: settings.process.bindAddress, port: podPort.port)
        let keeper = Self.keeper(
            Pod(name: name, address: address), settings.move.alternativeAddresses, context, reach, podPort)
        fence.becomes(keeper)
        inside.becomes(PodResponder(keeper: keeper))
        let logs = (devices: context.accessLog("coap-interface"), relay: context.accessLog("coap-interface.relay"))
        let edge = Self.edge(keeper, settings, context, reach)
        let mode = settings.devices.storedState
        let states =
            mode == .off
            ? nil
            : StateKeeper(
                mode: mode, store: RedisStateStore(client: reach.redis), group: context.loops.group)
        let certificates = try settings.tls.certificates(sid: nil, logger: context.logger("tls"))
        let signIns = SignIns(limits: settings.devices.signInLimits(eventLoops: settings.process.eventLoops))
        let coap = try await context.bindDevices(
            settings.devices, certificates,
            CoAPInterfaceContext(
                registry: reach.registry, signIns: signIns,
                isRemembered: { reach.remembers($0) }, edge: edge, keeper: keeper,
                publicEndpoints: settings.devices.publicEndpoints, requestTimeout: .init(settings.requests.timeout),
                isRegistryUnreachable: { reach.balancer.wasUnreachable(within: Self.renewalGrace) },
                watch: loopWatch, states: states, accessLog: logs.devices, relayLog: logs.relay,
                logger: context.logger("coap-interface")))
        let hurry = Hurry()
        let drain = Drain(
            settings: settings.move.machine(settings.drain, requestTimeout: settings.requests.timeout),
            keeper: keeper, readiness: context.readiness, hurry: hurry,
            trouble: { context.dependencies.firstDown }, logger: context.logger("drain"))
        let balancer = Balancer(
            keeper: keeper, isMoving: settings.move.rebalances, trouble: { context.dependencies.firstDown },
            signInWait: { signIns.wait }, logger: context.logger("balance"))
        let admin = try await context.bindAdmin(
            logs: ["coap-interface": logs.devices, "relay": logs.relay], served: ["coap-interface", "relay"],
            sessions: { keeper.sessions.count }, draining: { drain.status },
            cluster: { balancer.status })
        return StartedProgram(
            ports: coap.namedPorts.merging(["pod": podPort.port, "admin": admin.port]) { $1 },
            services: [context.loops, context.ceilings.memory] + CertificateWatch.services(certificates)
                + reach.services
                + [
                    Self.follower(keeper.sessions, states, context, reach), admin, keeper, podPort, coap,
                    EdgeStop(edge: edge), balancer, drain,
                ],
            details: ["pod": name, "pod.address": address], hurry: hurry)
    }

    private static func keeper(
        _ pod: Pod, _ endpoints: PublicEndpoints, _ context: ProgramContext, _ reach: ClusterReach,
        _ podPort: HopListener
    ) -> RouteKeeper {
        RouteKeeper(
            routes: reach.routes, sessions: SessionTable(), pod: pod, endpoints: endpoints,
            pods: PodsByHop(pool: reach.pool),
            events: RedisEventLog(client: reach.redis), logger: context.logger("routes"),
            onPause: { _ in
                // Whoever waits for an answer over them has given up meanwhile, or asks again.
                reach.pool.closeAll(reason: "this process slept")
                podPort.closeAll(reason: "this process slept")
            })
    }

    /// For CoAP clients, whose devices may be at any pod.
    private static func edge(
        _ keeper: RouteKeeper, _ settings: CoAPInterfaceSettings, _ context: ProgramContext, _ reach: ClusterReach
    ) -> EdgeResponder {
        EdgeResponder(
            pods: PodRouter(
                localPod: keeper.pod, sessions: keeper.sessions, others: PodsByHop(pool: reach.pool)),
            routes: reach.routes, name: keeper.pod.name, localPod: keeper.pod,
            registry: RegistryClient(reach.registry, caller: "edge"), group: context.loops.group,
            timeout: settings.requests.timeout)
    }

    private static func follower(
        _ sessions: SessionTable, _ states: StateKeeper?, _ context: ProgramContext, _ reach: ClusterReach
    ) -> ChangeFollower {
        ChangeFollower(
            reach.balancer, caller: "coap-interface", cache: reach.cache, logger: context.logger("changes"),
            changed: { change in
                // Of a deleted user the devices that are connected here are known: what others said cannot be read any
                // more, and ends with its time.
                let gone =
                    switch change.named {
                    case .device(let di): [di]
                    case .user(let uid): sessions.connected(of: uid)
                    case .mediator, .family: [DeviceID]()
                    }
                sessions.endNow(change)
                if let states { for di in gone { states.forget(di) } }
            },
            sessions: { sessions.logins(missedUpTo: $0) })
    }

    package static func sentence(_ error: any Error) -> String { Failures.sentence(error) }
}

extension CoAPInterfaceSettings {
    var reach: ReachSettings {
        ReachSettings(registry: self.registry, redis: self.redis, inside: self.inside, pod: self.pod)
    }
}
