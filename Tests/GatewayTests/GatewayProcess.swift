import Foundation
import TestServers
import TestSupport

/// `coap-gateway` in a process of its own, on free ports.
struct GatewayProcess: Sendable {
    let process: Subprocess
    let directory: String
    let http: Int
    let coap: Int
    let admin: Int
    /// All of them.
    let ports: [String: Int]

    /// Starts it, runs `body`, stops it with SIGTERM, and expects status 0 and a log without secrets.
    /// - Parameter descriptors: how many files it may have open; nil: as many as we.
    static func with<R: Sendable>(
        _ settings: [String: String] = [:], descriptors: Int? = nil,
        _ body: @Sendable (GatewayProcess) async throws -> R
    ) async throws -> R {
        let directory = "\(NSTemporaryDirectory())gateway-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let gateway = try await self.start(settings, descriptors: descriptors, directory: directory)
        let result: R
        do {
            result = try await body(gateway)
        } catch {
            gateway.process.signal(SIGTERM)
            _ = await gateway.process.ended()
            throw error
        }
        let ended = await gateway.stop()
        guard ended.status == 0 else {
            throw PeerError("coap-gateway ended with \(ended.status):\n\(ended.output)\n\(ended.errors)")
        }
        try IssuedSecrets.shared.check(ended.output.split(separator: "\n").map(String.init))
        return result
    }

    static func start(
        _ settings: [String: String] = [:], descriptors: Int? = nil, directory: String
    ) async throws -> GatewayProcess {
        let portsFile = "\(directory)/ports"
        var environment = [
            "HTTP_PORT": "0", "HTTPS_PORT": "0", "COAP_PORT": "0", "COAPS_PORT": "0", "ADMIN_PORT": "0",
            "DATA_DIR": "\(directory)/data",
            "PORTS_FILE": portsFile,
        ]
        environment.merge(settings) { $1 }
        let limited = descriptors.map {
            ["/bin/sh", "-c", "ulimit -n \($0) && exec \"$0\"", "\(Subprocess.products)/coap-gateway"]
        }
        let process = try Subprocess(limited ?? ["coap-gateway"], environment: environment)
        try await process.waitFor("coap-gateway is up")
        let ports = try JSONDecoder().decode(
            [String: Int].self, from: Data(contentsOf: URL(fileURLWithPath: portsFile)))
        guard let http = ports["http"], let coap = ports["coap"], let admin = ports["admin"] else {
            throw PeerError("ports file without a port: \(ports)")
        }
        return GatewayProcess(
            process: process, directory: directory, http: http, coap: coap, admin: admin, ports: ports)
    }

    func stop() async -> Subprocess.Ended {
        self.process.signal(SIGTERM)
        return await self.process.ended()
    }
}
