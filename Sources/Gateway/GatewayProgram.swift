import Cloud
import Glibc
import Logging
import NIOCore
import ServiceShell

/// The command `coap-gateway`.
package enum GatewayProgram {
    /// Reads the configuration, takes the ports, serves until a signal.
    /// - Returns: the exit status: 0 after a clean stop, 64 for a wrong command line, 78 for a wrong setting (the
    ///   numbers of sysexits.h), 1 for everything else.
    package static func main(arguments: [String], environment: [String: String]) async -> Int32 {
        let configuration: GatewayConfiguration
        do throws(ConfigurationError) {
            switch try GatewayConfiguration.program.parse(arguments) {
            case .show(let text):
                Self.say(text, to: STDOUT_FILENO)
                return 0
            case .run(let given):
                configuration = try GatewayConfiguration(arguments: given, environment: environment)
            }
        } catch {
            Self.say(error.description, to: STDERR_FILENO)
            return error.exitStatus
        }

        Observability.bootstrap(level: configuration.logLevel, format: configuration.logFormat)
        let metrics = MetricsRegistry()
        metrics.bootstrap()
        let logger = Logger(label: "coap-gateway")
        for warning in configuration.warnings {
            logger.warning("\(warning)")
        }
        do {
            let gateway = try await EmbeddedGateway.start(configuration, metrics: metrics)
            let ports = gateway.ports
            if !configuration.portsFile.isEmpty {
                try PortsFile.write(
                    ["http": ports.http, "coap": ports.coap, "admin": ports.admin], to: configuration.portsFile)
            }
            logger.info(
                "listening",
                metadata: [
                    "address": "\(configuration.bindAddress)", "http.port": "\(ports.http)",
                    "coap.port": "\(ports.coap)", "admin.port": "\(ports.admin)",
                    "data": "\(configuration.dataDirectory)", "sid": "\(gateway.sid)",
                ])
            return await ProgramRunner.run(
                gateway.services, gracePeriod: configuration.stopTime, logger: logger
            ) {
                Self.say(Self.greeting(configuration, ports), to: STDERR_FILENO)
            }
        } catch {
            Self.say("coap-gateway: \(Self.sentence(error))", to: STDERR_FILENO)
            return 1
        }
    }

    /// Where it listens, and what to type next.
    static func greeting(_ configuration: GatewayConfiguration, _ ports: EmbeddedGateway.Ports) -> String {
        let host =
            configuration.bindAddress.contains(":") ? "[\(configuration.bindAddress)]" : configuration.bindAddress
        let device = configuration.coapPort == 5683 && host == "127.0.0.1" ? "" : " --address \(host):\(ports.coap)"
        let register =
            configuration.registrationOpen
            ? "curl http://\(host):\(ports.http)/register/user -d '{\"uid\": \"me\", \"authprovider\": \"github\"}'"
            : "set REGISTRATION=open for a moment to register the first user"
        return """

            coap-gateway is up; Ctrl-C stops it.
              HTTP      http://\(host):\(ports.http)
              CoAP/TCP  \(configuration.endpoint(port: ports.coap))
              admin     http://\(host):\(ports.admin)/status
              data      \(configuration.dataDirectory)
            Next, in another terminal (README.md has the whole session):
              \(register)
              .build/release/mock-device\(device)

            """
    }

    private static func sentence(_ error: any Error) -> String {
        if let error = error as? CloudError { return error.message }
        return "\(error)"
    }

    private static func say(_ text: String, to descriptor: Int32) {
        var rest = Array("\(text)\n".utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            // Nothing can be done about a closed standard output or error.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
