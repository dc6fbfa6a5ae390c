import Foundation
import TestServers
import TestSupport

/// An authority, the cloud's certificate and devices' certificates, made by openssl in a directory of their own.
struct PeerCertificates {
    let directory: String

    static func with<R: Sendable>(
        devices: [String], _ body: @Sendable (PeerCertificates) async throws -> R
    ) async throws -> R {
        let directory = "\(NSTemporaryDirectory())peers-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let own = PeerCertificates(directory: directory)
        try await own.run([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=Authority for tests", "-keyout", own.file("ca.key"), "-out", own.authority,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        ])
        try Data(
            """
            basicConstraints=critical,CA:FALSE
            keyUsage=critical,digitalSignature
            extendedKeyUsage=serverAuth,clientAuth,1.3.6.1.4.1.44924.1.6
            subjectAltName=DNS:localhost,IP:127.0.0.1

            """.utf8
        ).write(to: URL(fileURLWithPath: own.file("extensions")))
        try await own.issue("00000000-0000-4000-8000-000000000001", to: "cloud")
        for device in devices { try await own.issue(device, to: device) }
        return try await body(own)
    }

    func file(_ name: String) -> String { "\(self.directory)/\(name)" }
    var authority: String { self.file("ca.pem") }
    func certificate(_ name: String) -> String { self.file("\(name).pem") }
    func key(_ name: String) -> String { self.file("\(name).key") }

    /// What a gateway is told to serve with them.
    func settings(_ clients: String) -> [String: String] {
        [
            "TLS_CERTIFICATE": self.certificate("cloud"), "TLS_CERTIFICATE_KEY": self.key("cloud"),
            "TLS_CA_POOL": self.authority, "TLS_CLIENT_CERTIFICATES": clients,
            "COAPS_PORT": "0", "COAP_WS_PORT": "0", "COAPS_WS_PORT": "0",
        ]
    }

    private func issue(_ uuid: String, to name: String) async throws {
        try await self.run([
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=uuid:\(uuid)", "-keyout", self.key(name), "-out", self.file("\(name).csr"),
        ])
        try await self.run([
            "x509", "-req", "-in", self.file("\(name).csr"), "-CA", self.authority, "-CAkey", self.file("ca.key"),
            "-CAcreateserial", "-days", "1", "-extfile", self.file("extensions"), "-out", self.certificate(name),
        ])
    }

    private func run(_ arguments: [String]) async throws {
        let ended = try await Subprocess.run(["/usr/bin/openssl"] + arguments)
        guard ended.status == 0 else { throw PeerError("openssl: \(ended.errors)") }
    }
}
