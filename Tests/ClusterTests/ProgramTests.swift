import Foundation
import ServiceShell
import TestServers
import Testing

@Suite("The programs of a cluster on their own", .timeLimit(.minutes(2)))
struct ProgramTests {
    private static let programs = ["coap-interface", "northbound", "registry"]

    @Test("Without its secrets a program ends with 78 and says how to make them", arguments: programs)
    func noSecrets(program: String) async throws {
        let ended = try await Subprocess.run([program])
        #expect(ended.status == 78)
        #expect(ended.errors.contains("CLUSTER_SECRET: is not set"))
        #expect(ended.errors.contains("openssl rand -base64 32"))
        #expect(ended.output.isEmpty)
    }

    @Test("A placeholder for a secret ends a program with 78, also when it comes from a file", arguments: programs)
    func placeholder(program: String) async throws {
        let file = "\(NSTemporaryDirectory())secret-\(UUID().uuidString)"
        try "PLACEHOLDER\n".write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let settings = SettingsTests.required.filter { $0.key != "CLUSTER_SECRET" }
        let ended = try await Subprocess.run(
            [program], environment: settings.merging(["CLUSTER_SECRET_FILE": file]) { $1 })
        #expect(ended.status == 78)
        #expect(ended.errors.contains("CLUSTER_SECRET: the secret given (from the file \(file)"))
        #expect(ended.errors.contains("openssl rand -base64 32"))
    }

    @Test("--help lists the settings, --version the version", arguments: programs)
    func help(program: String) async throws {
        let help = try await Subprocess.run([program, "--help"])
        #expect(help.status == 0)
        #expect(help.output.contains("--cluster-secret"))
        #expect(help.output.contains("--health"))
        #expect(help.output.contains("migrate") == (program == "registry"))
        let version = try await Subprocess.run([program, "--version"])
        #expect(version.status == 0)
        #expect(version.output.hasPrefix("\(program) "))
    }

    @Test("coap-gateway is each of the others under its name, and itself under any other")
    func manyNames() async throws {
        let folder = "\(NSTemporaryDirectory())names-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in Self.programs + ["anything"] {
            let path = "\(folder)/\(name)"
            try FileManager.default.createSymbolicLink(
                atPath: path, withDestinationPath: "\(Subprocess.products)/coap-gateway")
            let ended = try await Subprocess.run([path, "--version"])
            #expect(ended.output.hasPrefix(name == "anything" ? "coap-gateway " : "\(name) "))
        }
        let device = "\(folder)/mock-device"
        try FileManager.default.createSymbolicLink(
            atPath: device, withDestinationPath: "\(Subprocess.products)/coap-gateway")
        let help = try await Subprocess.run([device, "--help"])
        #expect(help.status == 0)
        #expect(help.output.contains("An OCF device for trying out"))
        let version = try await Subprocess.run([device, "--version"])
        #expect(version.status == 0)
        #expect(version.output == "mock-device \(ProgramDescription.currentVersion)\n")
    }

    @Test("--health of a program that does not run is bad news with status 1", arguments: programs + ["coap-gateway"])
    func health(program: String) async throws {
        let ended = try await Subprocess.run([program, "--health"], environment: ["ADMIN_PORT": "1"])
        #expect(ended.status == 1)
        #expect(ended.output == "\(program): 127.0.0.1:1/readyz did not answer: nobody listens there\n")
    }
}
