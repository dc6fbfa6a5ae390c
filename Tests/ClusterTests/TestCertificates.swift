import Foundation
import TestServers
import TestSupport

/// An authority with its certificates in a folder of its own, made by openssl as an operator would.
final class TestCertificates: Sendable {
    private let folder: String
    private let openssl: String

    var authority: String { "\(self.folder)/ca.pem" }

    init() async throws {
        self.folder = try ServerProcess.temporaryFolder("certificates")
        self.openssl = try ServerProcess.program("openssl", package: "openssl")
        try await self.run(
            ["req", "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"]
                + Self.newKey)
    }

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    /// - Returns: the settings of a program with a new certificate for these names.
    func settings(_ names: String...) async throws -> [String: String] {
        let leaf = "leaf-\(UUID().uuidString.prefix(8))"
        let alternatives = names.map { "DNS:\($0)" }.joined(separator: ",")
        try "subjectAltName=\(alternatives)\nextendedKeyUsage=serverAuth,clientAuth\n"
            .write(toFile: "\(self.folder)/\(leaf).ext", atomically: true, encoding: .utf8)
        try await self.run(
            ["req", "-subj", "/CN=program", "-keyout", "\(leaf).key", "-out", "\(leaf).csr"] + Self.newKey)
        try await self.run([
            "x509", "-req", "-days", "2", "-in", "\(leaf).csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", "\(leaf).ext", "-out", "\(leaf).pem",
        ])
        return [
            "INTERNAL_TLS_CERTIFICATE": "\(self.folder)/\(leaf).pem", "INTERNAL_TLS_KEY": "\(self.folder)/\(leaf).key",
            "INTERNAL_TLS_CA": self.authority,
        ]
    }

    /// Connects with TLS, sends a line, and returns everything openssl said until the other end closed.
    ///
    /// - Parameter settings: whose certificate to show; none: without one.
    func call(port: Int, with settings: [String: String] = [:]) async throws -> String {
        var words = [self.openssl, "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", self.authority, "-ign_eof"]
        if let certificate = settings["INTERNAL_TLS_CERTIFICATE"], let key = settings["INTERNAL_TLS_KEY"] {
            words += ["-cert", certificate, "-key", key]
        }
        let process = try Subprocess(words)
        // A CSM without options.
        try? process.type("\u{0}\u{61}")
        let ended = await process.ended(patience: 20)
        return ended.output + ended.errors
    }

    private func run(_ words: [String]) async throws {
        let ended = try await Subprocess.run([self.openssl] + words, directory: self.folder)
        guard ended.status == 0 else { throw PeerError("openssl \(words[0]): \(ended.errors)") }
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: self.folder)
    }
}
