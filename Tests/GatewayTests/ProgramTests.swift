import CoAP
import Foundation
import TestServers
import TestSupport
import Testing

@Suite("The program coap-gateway")
struct ProgramTests {
    @Test("SIGTERM and SIGINT stop it with status 0", arguments: [SIGTERM, SIGINT])
    func stopsCleanly(signal: Int32) async throws {
        let directory = "\(NSTemporaryDirectory())gateway-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let gateway = try await GatewayProcess.start(directory: directory)
        let peer = try await ScriptedPeer.connect(port: gateway.coap)
        // Until then the connection may be the kernel's only.
        #expect(try await peer.receive().code == .capabilitiesAndSettings)
        gateway.process.signal(signal)
        #expect(try await peer.receiveUntilClose().map(\.code) == [.release])
        let ended = await gateway.process.ended()
        #expect(ended.status == 0)
        #expect(ended.output.contains("stopped"))
    }

    @Test("A bad value stops it with status 78, naming the key, the value and what is allowed")
    func badValue() async throws {
        let ended = try await Subprocess.run(["coap-gateway"], environment: ["HTTP_PORT": "70000"])
        #expect(ended.status == 78)
        #expect(ended.errors.contains("HTTP_PORT"))
        #expect(ended.errors.contains("70000"))
        #expect(ended.errors.contains("65535"))
        #expect(ended.output.isEmpty)
    }

    @Test("An unknown flag stops it with status 64 and a suggestion")
    func unknownFlag() async throws {
        let ended = try await Subprocess.run(["coap-gateway", "--htp-port", "1"])
        #expect(ended.status == 64)
        #expect(ended.errors.contains("--http-port"))
    }

    @Test(
        "A port in use is named together with the variable that moves it",
        arguments: ["HTTP_PORT", "COAP_PORT", "ADMIN_PORT"])
    func portInUse(variable: String) async throws {
        try await GatewayProcess.with { gateway in
            var settings = [
                "HTTP_PORT": "0", "HTTPS_PORT": "0", "COAP_PORT": "0", "COAPS_PORT": "0", "ADMIN_PORT": "0",
                "DATA_DIR": "\(gateway.directory)/other",
            ]
            settings[variable] = "\(gateway.http)"
            let ended = try await Subprocess.run(["coap-gateway"], environment: settings)
            #expect(ended.status == 1)
            #expect(ended.errors.contains("127.0.0.1:\(gateway.http)"))
            #expect(ended.errors.contains(variable))
            #expect(!ended.errors.contains("is up"))
        }
    }

    @Test("--help lists the settings, --version the version")
    func help() async throws {
        let help = try await Subprocess.run(["coap-gateway", "--help"])
        #expect(help.status == 0)
        #expect(help.output.contains("--http-port"))
        let version = try await Subprocess.run(["coap-gateway", "--version"])
        #expect(version.status == 0)
        #expect(version.output.hasPrefix("coap-gateway "))
    }

    @Test("After a restart users, tokens and links are still there")
    func restart() async throws {
        let directory = "\(NSTemporaryDirectory())gateway-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = try await GatewayProcess.start(directory: directory)
        let user =
            try await HTTPTestClient(port: first.http)
            .post("/register/user", "{\"uid\": \"u\", \"authprovider\": \"github\"}").member("accesstoken") ?? ""
        #expect(await first.stop().status == 0)
        let second = try await GatewayProcess.start(directory: directory)
        let devices = try await HTTPTestClient(port: second.http).get("/devices", token: user)
        #expect(devices.status == 200)
        let again = try await HTTPTestClient(port: second.http)
            .post("/register/user", "{\"uid\": \"u\", \"authprovider\": \"github\"}")
        #expect(again.status == 409)
        #expect(await second.stop().status == 0)
    }

    @Test("The admin port says alive, ready, how many requests were served, and the metrics")
    func admin() async throws {
        try await GatewayProcess.with { gateway in
            let admin = HTTPTestClient(port: gateway.admin)
            _ = try await HTTPTestClient(port: gateway.http).get("/devices")
            #expect(try await admin.get("/livez").status == 200)
            #expect(try await admin.get("/readyz").status == 200)
            #expect(try await admin.get("/metrics").text.contains("# TYPE"))
            let status = try await admin.get("/status")
            #expect(status.text.contains("uptimeSeconds"))
            #expect(status.member("requestsServed") == "1")
        }
    }

    @Test("A second gateway on the same data directory is refused, naming it")
    func directoryInUse() async throws {
        try await GatewayProcess.with { gateway in
            let ended = try await Subprocess.run(
                ["coap-gateway"],
                environment: [
                    "HTTP_PORT": "0", "HTTPS_PORT": "0", "COAP_PORT": "0", "COAPS_PORT": "0", "ADMIN_PORT": "0",
                    "DATA_DIR": "\(gateway.directory)/data",
                ])
            #expect(ended.status == 1)
            #expect(ended.errors.contains("\(gateway.directory)/data"))
            #expect(ended.errors.contains("another coap-gateway runs on it; stop that one"))
        }
    }

    @Test("A data directory that cannot be written is named with what to do")
    func dataDirectory() async throws {
        let ended = try await Subprocess.run(
            ["coap-gateway"],
            environment: [
                "HTTP_PORT": "0", "HTTPS_PORT": "0", "COAP_PORT": "0", "COAPS_PORT": "0", "ADMIN_PORT": "0",
                "DATA_DIR": "/proc/nowhere",
            ])
        #expect(ended.status == 1)
        #expect(ended.errors.contains("/proc/nowhere"))
        #expect(ended.errors.contains("DATA_DIR"))
    }
}
