import Cluster
package import ServiceShell

/// The command `coap-gateway`.
package enum GatewayProgram: ServerProgram {
    package static func start(
        _ configuration: GatewayConfiguration, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        let gateway = try await EmbeddedGateway.start(configuration, metrics: metrics)
        return StartedProgram(
            ports: ["http": gateway.ports.http, "coap": gateway.ports.coap, "admin": gateway.ports.admin]
                .merging(gateway.ports.https.map { ["https": $0] } ?? [:]) { $1 },
            services: gateway.services, details: ["data": configuration.dataDirectory, "sid": gateway.sid])
    }

    /// Where it listens, and what to type next.
    package static func greeting(_ configuration: GatewayConfiguration, _ ports: [String: Int]) -> String {
        let host = configuration.process.host
        let http = ports["http"] ?? 0
        let coap = ports["coap"] ?? 0
        let device = configuration.devices.port == 5683 && host == "127.0.0.1" ? "" : " --address \(host):\(coap)"
        let register =
            configuration.http.isOpen(configuration.process)
            ? "curl http://\(host):\(http)/register/user -d '{\"uid\": \"me\", \"authprovider\": \"github\"}'"
            : "set REGISTRATION=open for a moment to register the first user"
        return """

            coap-gateway is up; Ctrl-C stops it.
              HTTP      http://\(host):\(http)\(ports["https"].map { "\n  HTTPS     https://\(host):\($0)" } ?? "")
              CoAP/TCP  \(configuration.endpoint(port: coap))
              admin     http://\(host):\(ports["admin"] ?? 0)/status
              data      \(configuration.dataDirectory)
            Next, in another terminal (README.md has the whole session):
              \(register)
              .build/release/mock-device\(device)

            """
    }

    package static func sentence(_ error: any Error) -> String { Failures.sentence(error) }
}
