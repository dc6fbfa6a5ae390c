package import ServiceShell

/// The command `northbound`.
package enum NorthboundProgram: ServerProgram {
    package static func start(
        _ configuration: NorthboundSettings, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        throw ConfigurationError(program: "northbound", problems: [.usage("not wired")])
    }
}
