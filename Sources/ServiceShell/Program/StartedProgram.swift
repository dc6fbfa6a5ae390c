package import ServiceLifecycle

/// A program that has taken its ports and waits to be run.
package struct StartedProgram: Sendable {
    /// Name to port: `http`, `coap`, `admin` and so on.
    package let ports: [String: Int]
    /// In the order of dependency.
    package let services: [any Service]
    /// What the line `listening` tells besides address and ports.
    package let details: [String: String]
    /// Is told of Ctrl-C, where a stop may take long.
    package let hurry: Hurry?

    package init(ports: [String: Int], services: [any Service], details: [String: String] = [:], hurry: Hurry? = nil) {
        self.ports = ports
        self.services = services
        self.details = details
        self.hurry = hurry
    }
}
