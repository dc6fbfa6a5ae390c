import Certificates
import Crypto
import FoundationEssentials
import NIOSSL
import SwiftASN1
import X509

@testable import CoAPTransport

/// An authority with a server's certificate for localhost, in a directory of its own.
final class TestCertificates {
    let directory: String
    let authorityFile: String
    let files: ServerCertificates.Files
    private let key = P256.Signing.PrivateKey()
    private let name: DistinguishedName

    init() throws {
        self.directory =
            FileManager.default.temporaryDirectory.appendingPathComponent("coap-tls-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        self.name = try DistinguishedName { CommonName("Authority for tests") }
        self.authorityFile = "\(self.directory)/ca.pem"
        self.files = ServerCertificates.Files(
            certificate: "\(self.directory)/server.pem", key: "\(self.directory)/server.key",
            authorities: [self.authorityFile])
        let own = try self.certificate(
            for: self.key.publicKey, subject: self.name,
            Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                KeyUsage(keyCertSign: true)
            })
        try own.serializeAsPEM().pemString.write(toFile: self.authorityFile, atomically: true, encoding: .utf8)
        _ = try self.issue("uuid:00000000-0000-4000-8000-000000000001", to: "server")
    }

    deinit {
        // What is left behind is in the directory for temporary files.
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    /// Writes a certificate with its key, and returns both paths.
    /// - Parameter lasting: in seconds from now.
    func issue(
        _ commonName: String, to file: String, lasting: Double = 3600
    ) throws -> (certificate: String, key: String) {
        let key = P256.Signing.PrivateKey()
        let leaf = try self.certificate(
            for: key.publicKey, subject: DistinguishedName { CommonName(commonName) }, lasting: lasting,
            Certificate.Extensions {
                SubjectAlternativeNames([
                    .dnsName("localhost"), .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                ])
                try ExtendedKeyUsage([.serverAuth, .clientAuth, .init(oid: [1, 3, 6, 1, 4, 1, 44924, 1, 6])])
            })
        let paths = (certificate: "\(self.directory)/\(file).pem", key: "\(self.directory)/\(file).key")
        try leaf.serializeAsPEM().pemString.write(toFile: paths.certificate, atomically: true, encoding: .utf8)
        try key.pemRepresentation.write(toFile: paths.key, atomically: true, encoding: .utf8)
        return paths
    }

    private func certificate(
        for key: P256.Signing.PublicKey, subject: DistinguishedName, lasting: Double = 3600,
        _ extensions: Certificate.Extensions
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key),
            notValidBefore: Date(timeIntervalSinceNow: -3600), notValidAfter: Date(timeIntervalSinceNow: lasting),
            issuer: self.name, subject: subject, signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions,
            issuerPrivateKey: .init(self.key))
    }

    func server(_ clients: ServerCertificates.ClientVerification = .off) throws -> ServerCertificates {
        try ServerCertificates(
            files: self.files, clients: clients, protocols: ["coap"], logger: ListenerBench.logger)
    }

    /// For a client that trusts our authority, with a certificate of its own if wanted.
    func client(
        showing own: (certificate: String, key: String)? = nil, _ change: (inout TLSConfiguration) -> Void = { _ in }
    ) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(self.authorityFile)
        if let own {
            configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(own.certificate).map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: own.key, format: .pem))
        }
        change(&configuration)
        return try NIOSSLContext(configuration: configuration)
    }
}
