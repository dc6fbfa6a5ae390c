package import ServiceShell

/// The command `registry`.
package enum RegistryProgram: ServerProgram {
    package static func start(
        _ configuration: RegistrySettings, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        throw ConfigurationError(program: "registry", problems: [.usage("not wired")])
    }
}
