import Certificates
import NIOCore
import TestServers
import Testing
import X509

/// What openssl says of a session that it keeps in a file.
private struct SessionClient {
    let bench: TLSBench
    let version: String

    private var path: String { self.bench.folder.path }

    init(_ bench: TLSBench, _ identity: TestIdentity, version: String) throws {
        self.bench = bench
        self.version = version
        try identity.write(to: "\(self.path)/client.pem", key: "\(self.path)/client.key")
    }

    func begin() async throws -> String { try await self.connect("-sess_out") }
    func resume() async throws -> String { try await self.connect("-sess_in") }

    private func connect(_ session: String) async throws -> String {
        let ended = try await Subprocess.run([
            "/bin/sh", "-c",
            """
            echo hello | timeout 30 openssl s_client \(self.version) -ign_eof -connect 127.0.0.1:\(self.bench.port) \
            -cert \(self.path)/client.pem -cert_chain \(self.path)/client.pem -key \(self.path)/client.key \
            \(session) \(self.path)/session 2>&1
            """,
        ])
        return ended.output
    }
}

@Suite("Resumed sessions", .timeLimit(.minutes(3)))
struct ResumptionTests {
    private static let id = "08e7e385-15be-41f3-a373-7d370f8c8c93"

    @Test("BI-48: a session is not resumed once its certificate is revoked", arguments: ["-tls1_2", "-tls1_3"])
    func revoked(version: String) async throws {
        let bench = try await TLSBench()
        let identity = try bench.authority.issue()
        let client = try SessionClient(bench, identity, version: version)
        let first = try await client.begin()
        #expect(first.contains(Self.id), "\(first)")
        // It is who it was, though it shows nothing again.
        let second = try await client.resume()
        #expect(second.contains("Reused") && second.contains(Self.id), "\(second)")
        try bench.replaceList(TestList(serials: [identity.chain[0].serialNumber]).signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        let third = try await client.resume()
        #expect(!third.contains("Reused") && !third.contains(Self.id), "\(third)")
        try await bench.close()
    }

    @Test(
        "BI-46, BI-48: a resumed session ends with the issuer that its handshake has shown",
        arguments: ["-tls1_2", "-tls1_3"])
    func issuerRevoked(version: String) async throws {
        let bench = try await TLSBench()
        let between = try bench.authority.subordinate("between")
        let client = try SessionClient(bench, between.issue(), version: version)
        let first = try await client.begin()
        #expect(first.contains(Self.id), "\(first)")
        let whole = try #require(bench.lastPeer)
        let second = try await client.resume()
        #expect(second.contains("Reused") && second.contains(Self.id), "\(second)")
        let resumed = try #require(bench.lastPeer)
        #expect(resumed == whole)
        try bench.replaceList(TestList(serials: [between.certificate.serialNumber]).signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        #expect(bench.certificates.fault(of: resumed) == .issuerRevoked)
        let third = try await client.resume()
        #expect(!third.contains("Reused") && !third.contains(Self.id), "\(third)")
        try await bench.close()
    }

    @Test(
        "BI-45, BI-48: a session is not resumed once its certificate is over, also where none is required",
        arguments: ["-tls1_2", "-tls1_3"])
    func ended(version: String) async throws {
        let bench = try await TLSBench(clients: .optional)
        let client = try SessionClient(bench, bench.authority.issue { $0.until = 6 }, version: version)
        let first = try await client.begin()
        #expect(first.contains(Self.id), "\(first)")
        var resumed = try await client.resume()
        #expect(resumed.contains("Reused") && resumed.contains(Self.id), "\(resumed)")
        while resumed.contains(Self.id) { resumed = try await client.resume() }
        #expect(resumed.contains("refused: the certificate of this peer has expired"), "\(resumed)")
        try await bench.close()
    }

    @Test("A session that cannot be resumed any more gives all tickets new keys, so the same client gets in anew")
    func healed() async throws {
        let bench = try await TLSBench(interval: .milliseconds(1))
        let between = try bench.authority.subordinate("between", until: 6)
        let client = try SessionClient(bench, between.issue(), version: "-tls1_3")
        #expect(try await client.begin().contains(Self.id))
        var resumed = try await client.resume()
        while resumed.contains(Self.id) { resumed = try await client.resume() }
        // It has another certificate by now, and the old session all the same.
        let renewed = try SessionClient(bench, bench.authority.issue(), version: "-tls1_3")
        resumed = try await renewed.resume()
        while !resumed.contains(Self.id) { resumed = try await renewed.resume() }
        #expect(!resumed.contains("Reused"))
        try await bench.close()
    }

    @Test("RFC 8446 §2.3: no early data is taken")
    func earlyData() async throws {
        let bench = try await TLSBench(clients: .off)
        let path = bench.folder.path
        let ended = try await Subprocess.run([
            "/bin/sh", "-c",
            """
            cd \(path); echo hello > early
            echo hello | timeout 30 openssl s_client -tls1_3 -ign_eof -connect 127.0.0.1:\(bench.port) -sess_out s 2>&1
            echo hello | timeout 30 openssl s_client -tls1_3 -ign_eof -connect 127.0.0.1:\(bench.port) -sess_in s \
              -early_data early 2>&1
            """,
        ])
        #expect(ended.output.contains("Reused"), "\(ended.output)")
        #expect(!ended.output.contains("Early data was accepted"), "\(ended.output)")
        try await bench.close()
    }
}
