import Cloud
import CoAP
import CoAPTransport
import Hop
import NIOCore
import OCF
import RedisStore
import RegistryReach
import ServiceLifecycle
import ServiceShell

/// What coap-interface and northbound reach the others with: the registry, Redis, and the pods.
struct ClusterReach: Sendable {
    let redis: RedisClient
    let routes: RedisRouteStore
    /// What our programs prove themselves to each other with, also to those who come to us.
    let secrets: ClusterSecrets
    /// Nil: connections between our programs are not encrypted.
    let tls: HopTLS?
    /// Connections to our other programs.
    let pool: HopPool
    let balancer: RegistryBalancer
    let cache: IdentityCache
    private let caching: CachingRegistry
    /// The registry, for all who ask it.
    let registry: PagingRegistry
    private let watch: DependencyWatch

    /// - Parameters:
    ///   - name: who we are, with the boot id.
    ///   - loopWatch: is asked before each read from another program.
    init(
        _ settings: ReachSettings, _ context: ProgramContext, name: String, loopWatch: LoopWatch? = nil
    ) throws {
        let group = context.loops.group
        let redisSettings = settings.redis.configuration(clientName: name, address: settings.redis.requiredAddress)
        self.redis = RedisClient(redisSettings, group: group, logger: context.logger("redis"))
        self.routes = RedisRouteStore(client: self.redis)
        let hopLogger = context.logger("hop")
        self.secrets = try settings.inside.secrets()
        self.tls = try settings.inside.hopTLS(namespace: settings.pod.namespace, logger: hopLogger)
        self.pool = HopPool(
            group: group, name: name, role: context.program.name, secrets: self.secrets, tls: self.tls,
            loopWatch: loopWatch, logger: hopLogger)
        let registry = settings.registry
        self.balancer = RegistryBalancer(
            host: registry.host, port: registry.port, pool: self.pool, logger: context.logger("registry-client"))
        self.cache = IdentityCache()
        self.caching = CachingRegistry(
            self.balancer, cache: self.cache, tokenCache: RedisTokenCache(client: self.redis))
        self.registry = PagingRegistry(self.caching)
        self.watch = Self.watch(settings, context.dependencies, self.redis, self.balancer)
    }

    /// Who stands behind a token, from this program's memory.
    @Sendable func recall(_ token: Secret) -> Principal? { self.caching.recall(token) }

    /// Whether the answer is in this program's memory.
    func remembers(_ request: Request) -> Bool { self.caching.remembers(request) }

    /// Both are needed to begin with; without either one later, what can be done is done.
    private static func watch(
        _ settings: ReachSettings, _ dependencies: Dependencies, _ redis: RedisClient, _ balancer: RegistryBalancer
    ) -> DependencyWatch {
        dependencies.expect("redis", at: settings.redis.requiredAddress, need: .once)
        dependencies.expect("registry", at: settings.registry.address, need: .once)
        return DependencyWatch(
            dependencies,
            [
                .redis(redis),
                .init("registry") {
                    if balancer.lastAnswer != nil, balancer.unreachableFor() == nil { return nil }
                    return balancer.addresses.isEmpty ? "its name has no address" : "it does not answer"
                },
            ])
    }

    /// In the order of dependency.
    var services: [any Service] {
        [PoolService(pool: self.pool), self.redis, self.balancer, self.caching, self.watch]
    }
}

/// The settings of whoever reaches the others.
struct ReachSettings: Sendable {
    let registry: RegistryLocation
    let redis: RedisSettings
    let inside: InternalSettings
    let pod: PodSettings
}

/// Closes the connections to other programs once nobody asks them any more.
private struct PoolService: Service {
    let pool: HopPool

    func run() async throws {
        try? await gracefulShutdown()
        self.pool.shutDown()
    }
}
