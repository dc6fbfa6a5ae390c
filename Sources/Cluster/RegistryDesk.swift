import Cloud
import Logging
import RedisStore
import Registry
import SQLStore
import ServiceLifecycle
import ServiceShell

/// The registry behind its port: waits for the database, brings its tables up to date, serves, and closes it behind
/// everybody.
struct RegistryDesk: Service {
    /// How long until a database that could not be had is tried again.
    private static let retry: Duration = .seconds(1)
    /// How often the database is asked for the time.
    private static let clockPeriod: Duration = .seconds(10)

    private let settings: RegistrySettings
    private let context: ProgramContext
    private let sealer: ReplySealer
    private let redis: RedisClient?
    private let accessLog: AccessLog
    private let front: LateResponder
    private let logger: Logger

    /// - Parameter front: answers for the registry until it can itself.
    init(
        _ settings: RegistrySettings, _ context: ProgramContext, redis: RedisClient?, accessLog: AccessLog,
        front: LateResponder
    ) throws {
        self.settings = settings
        self.context = context
        self.sealer = try SealKeys.sealer(settings.sealKey, previous: settings.previousSealKey)
        self.redis = redis
        self.accessLog = accessLog
        self.front = front
        self.logger = context.logger("registry")
        // Once it was there, an outage is every replica's: to take them all out of their Service would leave the other
        // programs without those answers too that need no database.
        context.dependencies.expect("database", at: "\(settings.database.address)", need: .once)
    }

    func run() async throws {
        guard let store = await cancelWhenGracefulShutdown({ await self.open() }) else { return }
        let clock = DatabaseClock(store)
        let news = IdentityNews(
            events: self.redis.map { RedisEventLog(client: $0) }, clock: clock, logger: self.logger)
        let identity = Identity(
            store: store, clock: clock, sealer: self.sealer, configuration: self.settings.tokens.identity,
            observer: news.tell)
        let registry = RegistryResponder(
            identity: identity, directory: Directory(store: store, clock: clock, observer: news.tell),
            configuration: RegistryConfiguration(
                storeConnections: self.settings.database.pool, redirectURI: self.settings.tokens.redirectURI),
            tokenCache: self.redis.map { RedisTokenCache(client: $0) },
            nudge: self.redis.map { RedisNudge(client: $0) },
            clock: clock, accessLog: self.accessLog, logger: self.logger)
        let housekeeping = Housekeeping(identity: identity, logger: self.context.logger("housekeeping"))
        let watch = DependencyWatch(self.context.dependencies, self.probes(store))
        // Nobody is told anything by a clock that may be wrong; if the database cannot say, its own next call fails
        // too.
        try? await clock.refresh()
        self.front.becomes(registry)
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await registry.run() }
            group.addTask { await housekeeping.run() }
            group.addTask { try await watch.run() }
            group.addTask { await self.follow(clock) }
        }
        await store.close()
    }

    /// Tries until the database is there, or the program ends.
    private func open() async -> SQLCloudStore? {
        while !Task.isCancelled {
            do {
                return try await SQLCloudStore.open(MySQLDriver(self.settings.database.configuration))
            } catch {
                if Task.isCancelled { break }
                self.context.dependencies.isDown("database", error.message)
            }
            // A cancelled sleep ends the loop at once.
            try? await Task.sleep(for: Self.retry)
        }
        return nil
    }

    private func probes(_ store: SQLCloudStore) -> [DependencyWatch.Probe] {
        let database = DependencyWatch.Probe("database") {
            do {
                _ = try await store.databaseMoment()
                return nil
            } catch {
                return Failures.sentence(error)
            }
        }
        guard let redis = self.redis else { return [database] }
        return [database, .redis(redis)]
    }

    private func follow(_ clock: DatabaseClock) async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                // A cancelled sleep ends the loop at once.
                try? await Task.sleep(for: Self.clockPeriod)
                // One that fails changes nothing; that the database is away is told elsewhere.
                try? await clock.refresh()
            }
        }
    }
}
