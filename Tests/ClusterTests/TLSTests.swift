import FoundationEssentials
import TestServers
import TestSupport
import Testing

@Suite("TLS for devices and HTTPS for people, in a cluster", .timeLimit(.minutes(3)))
struct TLSTests {
    /// The settings that `registry ca issue` says to set.
    private static func settings(_ words: [String]) async throws -> [String: String] {
        let ended = try await Subprocess.run(["registry", "ca"] + words)
        guard ended.status == 0 else { throw PeerError("registry ca \(words): \(ended.errors)") }
        let pairs = ended.output.split(separator: "\n").compactMap { line -> (String, String)? in
            let parts = line.drop { $0 == " " }.split(separator: "=", maxSplits: 1).map(String.init)
            return parts.count == 2 && parts[0].allSatisfy { $0.isUppercase || $0 == "_" } ? (parts[0], parts[1]) : nil
        }
        return Dictionary(pairs) { first, _ in first }
    }

    @Test("With certificates of registry ca, set as it says: curl over HTTPS, devices of others over coaps+tcp")
    func works() async throws {
        let folder = try ServerProcess.temporaryFolder("cloud")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let sid = UUID().uuidString.lowercased()
        _ = try await Self.settings(["init", "--dir", folder])
        let issued = try await Self.settings(["issue", "--cloud", sid, "--host", "localhost", "--dir", folder])
        let ports = ["COAPS_PORT", "HTTPS_PORT"]
        var shape = RunningCluster.Shape()
        shape.programSettings = [
            .registry: ["SID": sid],
            .coapInterface: issued.filter { !$0.key.hasPrefix("HTTPS") }.merging([ports[0]: "0"]) { $1 },
            .northbound: issued.filter { $0.key.hasPrefix("HTTPS") }.merging([ports[1]: "0"]) { $1 },
        ]
        try await RunningCluster.with(shape) { cluster in
            let owner = try await cluster.owner("alice")
            for (index, pod) in cluster.coapInterfaces.enumerated() {
                let di = "reference-\(index)"
                let code = try await cluster.deviceCode(di, mediator: owner.mediator)
                let device = try Subprocess([
                    "/usr/bin/env", "python3", "\(Subprocess.root)/Tests/GatewayTests/Peers/reference_stack.py",
                    "\(try pod.port("coaps"))", di, code, "--tls", "\(folder)/ca.pem",
                ])
                try await device.waitFor("ready\n")
                for door in cluster.northbounds {
                    let answer = try await Subprocess.run([
                        "/usr/bin/curl", "-sS", "--max-time", "30", "--noproxy", "*", "--cacert", "\(folder)/ca.pem",
                        "-H", "Authorization: Bearer \(owner.token)",
                        "https://localhost:\(try door.port("https"))/\(di)/switches/120",
                    ])
                    #expect(answer.status == 0, "\(answer.errors)")
                    #expect(answer.output.contains("\"power\":7"), "\(answer.output)")
                }
                // Its input ends, and so does it.
                device.closeInput()
                let ended = await device.ended()
                #expect(ended.status == 0, "\(ended.output) \(ended.errors)")
            }
            let code = try await cluster.deviceCode("mock", mediator: owner.mediator)
            let mock = try Subprocess([
                "mock-device", "--address", "coaps+tcp://localhost:\(try cluster.coapInterfaces[0].port("coaps"))",
                "--ca", "\(folder)/ca.pem", "--uid", "alice", "--di", "mock", "--access-token", "",
                "--onetime-token", code, "--refresh-token", "", "--quiet-tokens", "--fail-fast",
            ])
            try mock.type("register\nsession\npublish\n")
            try await cluster.eventually("it is online") {
                try await cluster.status(of: "mock", token: owner.token) == "online"
            }
            try mock.type("exit\n")
            mock.closeInput()
            let ended = await mock.ended()
            #expect(ended.status == 0, "\(ended.output) \(ended.errors)")
        }
    }

    @Test("A certificate that is replaced is read anew by every program that shows it, connections or none")
    func replaced() async throws {
        let folder = try ServerProcess.temporaryFolder("cloud")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let sid = UUID().uuidString.lowercased()
        _ = try await Self.settings(["init", "--dir", folder])
        let words = ["issue", "--cloud", sid, "--host", "localhost", "--dir", folder, "--replace"]
        let issued = try await Self.settings(words).filter { $0.key.hasPrefix("TLS_CERTIFICATE") }
        var shape = RunningCluster.Shape()
        (shape.coapInterfaces, shape.northbounds) = (1, 1)
        shape.programSettings = [
            .registry: ["SID": sid],
            .coapInterface: issued.merging(["COAPS_PORT": "0"]) { $1 },
            .northbound: issued.merging(["HTTPS_PORT": "0"]) { $1 },
        ]
        try await RunningCluster.with(shape) { cluster in
            _ = try cluster.northbounds[0].port("https")
            _ = try await Self.settings(words)
            for process in cluster.coapInterfaces + cluster.northbounds {
                try await cluster.eventually("it has read the new one") {
                    process.log.contains { $0.contains("the certificate read anew") }
                }
            }
        }
    }
}
