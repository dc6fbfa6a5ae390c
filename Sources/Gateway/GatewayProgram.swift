import Cluster
package import ServiceShell

/// The command `coap-gateway`.
package enum GatewayProgram: ServerProgram {
    package static func start(
        _ configuration: GatewayConfiguration, metrics: MetricsRegistry
    ) async throws -> StartedProgram {
        let gateway = try await EmbeddedGateway.start(configuration, metrics: metrics)
        return StartedProgram(
            ports: gateway.ports.named,
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
              HTTP      http://\(host):\(http)
              \(Self.moreLines(configuration, ports))
              admin     http://\(host):\(ports["admin"] ?? 0)/status
              data      \(configuration.dataDirectory)
            Next, in another terminal (README.md has the whole session):
              \(register)
              .build/release/mock-device\(device)

            """
    }

    /// A line for each other listener, and what to trust.
    private static func moreLines(_ configuration: GatewayConfiguration, _ ports: [String: Int]) -> String {
        let host = configuration.process.host
        var lines: [String] = []
        if let https = ports["https"] { lines.append("HTTPS     https://\(host):\(https)") }
        if let coap = ports["coap"] { lines.append("CoAP/TCP  \(configuration.endpoint(port: coap))") }
        for (name, label, scheme) in [
            ("coaps", "CoAP/TLS ", "coaps+tcp"), ("ws", "CoAP/WS  ", "coap+ws"), ("wss", "CoAP/WSS ", "coaps+ws"),
        ] {
            if let port = ports[name] { lines.append("\(label) \(scheme)://\(host):\(port)") }
        }
        if configuration.isDevelopmentCertificateShown {
            lines.append("trust     \(configuration.certificatesDirectory)/ca.pem")
        }
        return lines.joined(separator: "\n  ")
    }

    package static func sentence(_ error: any Error) -> String { Failures.sentence(error) }
}
