import Foundation
import ServiceShell
import TestServers
import TestSupport

/// One program of a cluster, in a process of its own, on ports the system chose.
final class ClusterProcess: Sendable {
    enum Program: String, Sendable, CaseIterable {
        case registry
        case coapInterface = "coap-interface"
        case northbound

        /// The settings that name its ports.
        var portSettings: [String] {
            switch self {
            case .registry: ["REGISTRY_PORT", "ADMIN_PORT"]
            case .coapInterface: ["COAP_PORT", "POD_PORT", "ADMIN_PORT"]
            case .northbound: ["HTTP_PORT", "ADMIN_PORT"]
            }
        }
    }

    let program: Program
    let name: String
    let process: Subprocess
    /// Everything it was told, so that another can be started like it.
    let environment: [String: String]
    /// Name to port: `http`, `coap`, `pod`, `registry`, `admin`.
    let ports: [String: Int]

    private init(
        _ program: Program, name: String, process: Subprocess, environment: [String: String], ports: [String: Int]
    ) {
        self.program = program
        self.name = name
        self.process = process
        self.environment = environment
        self.ports = ports
    }

    /// Starts it and waits until its ports are open, which is before it is ready.
    ///
    /// - Parameter products: where the program is; nil: where this run's are.
    static func start(
        _ program: Program, name: String, _ settings: [String: String], directory: String, products: String? = nil
    ) async throws -> ClusterProcess {
        let portsFile = "\(directory)/\(name)-\(UUID().uuidString).ports"
        var environment = ["POD_NAME": name, "PORTS_FILE": portsFile]
        for setting in program.portSettings { environment[setting] = "0" }
        environment.merge(settings) { $1 }
        let path = products.map { "\($0)/\(program.rawValue)" } ?? program.rawValue
        let process = try Subprocess([path], environment: environment)
        try await process.waitFor(" listening ")
        let ports = PortsFile.read(portsFile)
        guard ports["admin"] != nil else { throw PeerError("\(name) wrote no ports: \(ports)") }
        return ClusterProcess(program, name: name, process: process, environment: environment, ports: ports)
    }

    func port(_ name: String) throws -> Int {
        guard let port = self.ports[name] else { throw PeerError("\(self.name) has no port \(name): \(self.ports)") }
        return port
    }

    /// Where it listens.
    var host: String { self.environment["BIND_ADDRESS"] ?? "127.0.0.1" }

    var admin: HTTPTestClient { HTTPTestClient(host: self.host, port: self.ports["admin"] ?? 0) }

    /// The value of a metric without labels; nil if there is none.
    func metric(_ name: String) async throws -> String? {
        let text = try await self.admin.get("/metrics").text
        return text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }.map {
            String($0.dropFirst(name.count + 1))
        }
    }

    /// Waits until `/readyz` says so.
    func isReady(within patience: Duration = .seconds(60)) async throws {
        let deadline = ContinuousClock.now + patience
        var said = ""
        while ContinuousClock.now < deadline {
            let answer = try await self.admin.get("/readyz")
            if answer.status == 200 { return }
            said = answer.text
        }
        throw PeerError("\(self.name) is not ready within \(patience): \(said)\n\(self.log.suffix(20))")
    }

    /// What `/status` tells of a dependency.
    func state(of dependency: String) async throws -> String? {
        try await self.admin.get("/status").member(dependency)
    }

    /// Its log so far, by lines.
    var log: [String] { self.process.outputSoFar.split(separator: "\n").map(String.init) }

    func kill() async {
        self.process.signal(SIGKILL)
        _ = await self.process.ended()
    }

    /// Ends it as an operator does.
    func stop() async -> Subprocess.Ended {
        self.process.signal(SIGTERM)
        return await self.process.ended()
    }
}
