import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// A certificate authority with its files in a directory of its own.
final class TestAuthority {
    let directory: String
    private let key = P256.Signing.PrivateKey()
    private let name: DistinguishedName
    let authorityFile: String

    init(_ name: String) throws {
        self.directory =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("hop-tls-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        self.name = try DistinguishedName { CommonName(name) }
        self.authorityFile = "\(self.directory)/ca.pem"
        let extensions = try Certificate.Extensions {
            Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
            KeyUsage(keyCertSign: true)
        }
        let own = try self.certificate(for: self.key, subject: self.name, extensions)
        try own.serializeAsPEM().pemString.write(toFile: self.authorityFile, atomically: true, encoding: .utf8)
    }

    deinit {
        // What is left behind is in the directory for temporary files.
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    /// Writes a certificate for `dnsName` with its key, and returns both paths.
    func issue(_ dnsName: String, to file: String = "leaf") throws -> (certificate: String, key: String) {
        let key = P256.Signing.PrivateKey()
        let extensions = try Certificate.Extensions {
            SubjectAlternativeNames([.dnsName(dnsName)])
            try ExtendedKeyUsage([.serverAuth, .clientAuth])
        }
        let leaf = try self.certificate(
            for: key, subject: try DistinguishedName { CommonName(dnsName) }, extensions)
        let paths = (certificate: "\(self.directory)/\(file).pem", key: "\(self.directory)/\(file).key")
        try leaf.serializeAsPEM().pemString.write(toFile: paths.certificate, atomically: true, encoding: .utf8)
        try key.pemRepresentation.write(toFile: paths.key, atomically: true, encoding: .utf8)
        return paths
    }

    private func certificate(
        for key: P256.Signing.PrivateKey, subject: DistinguishedName, _ extensions: Certificate.Extensions
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
            notValidBefore: Date(timeIntervalSinceNow: -3600), notValidAfter: Date(timeIntervalSinceNow: 3600),
            issuer: self.name, subject: subject, signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions,
            issuerPrivateKey: .init(self.key))
    }
}
