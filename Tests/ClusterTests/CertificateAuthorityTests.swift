import FoundationEssentials
import TestServers
import Testing

@Suite("The command registry ca", .timeLimit(.minutes(2)))
struct CertificateAuthorityTests {
    private static let di = "08e7e385-15be-41f3-a373-7d370f8c8c93"

    @Test("An authority is made, issues, revokes and lists, and OpenSSL agrees")
    func whole() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ca-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func ca(_ arguments: String...) async throws -> Subprocess.Ended {
            try await Subprocess.run(["registry", "ca"] + arguments + ["--dir", folder])
        }
        let before = try await ca("list")
        #expect(before.status == 1)
        #expect(before.errors.contains("registry ca init"))
        let made = try await ca("init", "--name", "Test authority")
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.output.contains("\(folder)/ca.pem"))
        #expect(try await ca("init").status == 1)
        let device = try await ca("issue", "--device", Self.di)
        #expect(device.output.contains("\(folder)/issued/device-\(Self.di).pem"), "\(device.errors)")
        let cloud = try await ca("issue", "--cloud", "1d1d1d1d-0000-4000-8000-000000000001", "--host", "cloud.example")
        #expect(cloud.output.contains("TLS_CERTIFICATE=\(folder)/issued/cloud-1d1d"), "\(cloud.errors)")
        let service = try await ca("issue", "--service", "registry", "--out", "\(folder)/out")
        #expect(service.output.contains("INTERNAL_TLS_CA=\(folder)/ca.pem"), "\(service.errors)")
        let revoked = try await ca("revoke", "--device", Self.di)
        #expect(revoked.status == 0, "\(revoked.errors)")
        #expect(try await ca("crl", "--days", "7").status == 0)
        let listed = try await ca("list").output.split(separator: "\n")
        #expect(listed.count == 3)
        #expect(listed.count { $0.contains("revoked") } == 1)
        for (file, status) in [("issued/device-\(Self.di)", Int32(2)), ("out/service-registry", 0)] {
            let verified = try await Subprocess.run([
                "/usr/bin/openssl", "verify", "-crl_check", "-CAfile", "\(folder)/ca.pem", "-CRLfile",
                "\(folder)/crl.pem", "\(folder)/\(file).pem",
            ])
            #expect(verified.status == status, "\(verified.errors)")
        }
    }

    @Test(
        "A wrong command line ends with 64 and says what is right",
        arguments: [
            ["issue"], ["issue", "--device", "a", "--cloud", "b"], ["issue", "--device", "a", "--host", "b"],
            ["revoke"], ["forget"], ["init", "--days", "many"],
        ])
    func usage(arguments: [String]) async throws {
        let ended = try await Subprocess.run(["registry", "ca"] + arguments)
        #expect(ended.status == 64)
        #expect(ended.errors.contains("registry ca"))
        #expect(ended.output.isEmpty)
    }

    @Test("Help is given where it is asked for")
    func help() async throws {
        let ended = try await Subprocess.run(["registry", "ca", "issue", "--help"])
        #expect(ended.status == 0)
        #expect(ended.output.contains("--device"))
        let program = try await Subprocess.run(["registry", "--help"])
        #expect(program.output.contains("registry ca --help"))
    }
}
