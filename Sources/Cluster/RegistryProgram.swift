import Cloud
import Glibc
import Hop
import Logging
import NIOCore
import RedisStore
import SQLStore
package import ServiceShell

/// The command `registry`: everything that is kept, for the other programs.
package enum RegistryProgram: ServerProgram {
    /// How old a connection of another program gets before it is released, so that new replicas get work too.
    private static let maximumAge = Duration.seconds(600)

    package static func main(arguments: [String], environment: [String: String]) async -> Int32 {
        if arguments.first == "ca" { return CertificateAuthorityCommand.run(Array(arguments.dropFirst())) }
        guard arguments.first == "migrate" else {
            return await Self.serve(arguments: arguments, environment: environment)
        }
        switch await Self.prepare(arguments: Array(arguments.dropFirst()), environment: environment) {
        case .ended(let status): return status
        case .configured(let settings): return await Self.migrate(settings)
        }
    }

    /// Brings the tables up to date and stops.
    private static func migrate(_ settings: RegistrySettings) async -> Int32 {
        let logger = Self.beginLogging(settings)
        do {
            let driver = MySQLDriver(settings.database.configuration)
            let versions = try await SQLCloudStore.migrate(driver)
            logger.info(
                "the tables are up to date",
                metadata: [
                    "from": "\(versions.from)", "to": "\(versions.to)", "address": "\(settings.database.address)",
                ])
            return 0
        } catch {
            StandardStreams.say("registry: \(Self.sentence(error))", to: STDERR_FILENO)
            return 1
        }
    }

    package static func start(
        _ settings: RegistrySettings, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        try await StartUndo.guarding { undo in
            let context = ProgramContext(
                RegistrySettings.program, settings.process, metrics: metrics, checks: [], undo: &undo)
            return try await Self.assemble(settings, context)
        }
    }

    private static func assemble(
        _ settings: RegistrySettings, _ context: ProgramContext
    ) async throws -> StartedProgram {
        let redis = Self.redis(settings, context)
        let accessLog = context.accessLog("registry")
        let front = LateResponder(waiting: "the registry waits for its database")
        let desk = try RegistryDesk(settings, context, redis: redis, accessLog: accessLog, front: front)
        var limits = HopLimits()
        limits.maximumAge = .init(Self.maximumAge)
        let inside = try await context.bindHop(
            port: settings.port, variable: "REGISTRY_PORT", name: RegistryBalancer.registryName,
            secrets: try settings.inside.secrets(),
            tls: try settings.inside.hopTLS(namespace: settings.pod.namespace, logger: context.logger("hop")),
            limits: limits, front)
        let hurry = Hurry()
        let drain = ServeOn(
            for: settings.drain.propagation, readiness: context.readiness, hurry: hurry,
            logger: context.logger("drain"))
        let admin = try await context.bindAdmin(
            logs: ["registry": accessLog], served: ["registry"], draining: { drain.status })
        return StartedProgram(
            ports: ["registry": inside.port, "admin": admin.port],
            services: [context.loops] + (redis.map { [$0] } ?? []) + [desk, admin, inside, drain],
            details: ["sid": settings.sid, "database": "\(settings.database.address)"], hurry: hurry)
    }

    private static func redis(_ settings: RegistrySettings, _ context: ProgramContext) -> RedisClient? {
        guard let address = settings.redis.address else { return nil }
        context.dependencies.expect("redis", at: address, need: .never)
        return RedisClient(
            settings.redis.configuration(clientName: settings.pod.name, address: address), group: context.loops.group,
            logger: context.logger("redis"))
    }

    package static func sentence(_ error: any Error) -> String { Failures.sentence(error) }
}
