package import ServiceShell

/// The command `coap-interface`.
package enum CoAPInterfaceProgram: ServerProgram {
    package static func start(
        _ configuration: CoAPInterfaceSettings, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        throw ConfigurationError(program: "coap-interface", problems: [.usage("not wired")])
    }
}
