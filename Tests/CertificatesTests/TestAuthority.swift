import Certificates
import Crypto
import FoundationEssentials
import NIOSSL
import SwiftASN1
import X509

/// What a peer shows.
struct TestIdentity: Sendable {
    /// The peer's own first.
    var chain: [Certificate]
    var key: Certificate.PrivateKey

    func write(to path: String, key keyPath: String) throws {
        try self.chain.map { try $0.serializeAsPEM().pemString }.joined(separator: "\n").write(
            toFile: path, atomically: true, encoding: .utf8)
        try self.key.serializeAsPEM().pemString.write(toFile: keyPath, atomically: true, encoding: .utf8)
    }

    /// A client that shows this and trusts everybody.
    func client() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.certificateChain = try self.chain.map {
            .certificate(try NIOSSLCertificate(bytes: Array($0.serializeAsPEM().pemString.utf8), format: .pem))
        }
        configuration.privateKey = .privateKey(
            try NIOSSLPrivateKey(bytes: Array(self.key.serializeAsPEM().pemString.utf8), format: .pem))
        return configuration
    }
}

/// An authority that issues whatever it is asked for.
struct TestAuthority: Sendable {
    /// What is unusual about a certificate.
    struct Wish: Sendable {
        var commonName: String? = "uuid:08e7e385-15be-41f3-a373-7d370f8c8c93"
        /// Seconds from now.
        var from: Double = -3600
        var until: Double = 3600
        var usages: [ExtendedKeyUsage.Usage]? = [.serverAuth, .clientAuth, Self.identity]
        var keyUsage = KeyUsage(digitalSignature: true, keyAgreement: true)
        var isAuthority = false
        var padding = 0
        var host = "localhost"

        static let identity = ExtendedKeyUsage.Usage(oid: [1, 3, 6, 1, 4, 1, 44924, 1, 6])
    }

    let name: DistinguishedName
    let key: Certificate.PrivateKey
    let certificate: Certificate
    /// Those between it and its root, itself first; empty: it is a root.
    let between: [Certificate]

    init(_ name: String, keyUsage: KeyUsage = KeyUsage(keyCertSign: true, cRLSign: true)) throws {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try DistinguishedName { CommonName(name) }
        self.init(
            name: name, key: key,
            certificate: try Self.authority(name, key: key.publicKey, keyUsage, issuer: name, issuerKey: key),
            between: [])
    }

    private init(name: DistinguishedName, key: Certificate.PrivateKey, certificate: Certificate, between: [Certificate])
    {
        self.name = name
        self.key = key
        self.certificate = certificate
        self.between = between
    }

    /// - Parameter until: in seconds from now.
    func subordinate(_ name: String, until: Double = 360_000) throws -> TestAuthority {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try DistinguishedName { CommonName(name) }
        let certificate = try Self.authority(
            name, key: key.publicKey, KeyUsage(keyCertSign: true, cRLSign: true), issuer: self.name,
            issuerKey: self.key, until: until)
        return TestAuthority(name: name, key: key, certificate: certificate, between: [certificate] + self.between)
    }

    /// Another certificate of the same authority, a root.
    func renewed() throws -> TestAuthority {
        TestAuthority(
            name: self.name, key: self.key,
            certificate: try Self.authority(
                self.name, key: self.key.publicKey, KeyUsage(keyCertSign: true, cRLSign: true), issuer: self.name,
                issuerKey: self.key),
            between: [])
    }

    private static func authority(
        _ name: DistinguishedName, key: Certificate.PublicKey, _ usage: KeyUsage, issuer: DistinguishedName,
        issuerKey: Certificate.PrivateKey, until: Double = 360_000
    ) throws -> Certificate {
        try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key,
            notValidBefore: Date(timeIntervalSinceNow: -7200), notValidAfter: Date(timeIntervalSinceNow: until),
            issuer: issuer, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                Critical(usage)
            },
            issuerPrivateKey: issuerKey)
    }

    func issue(_ change: (inout Wish) -> Void = { _ in }) throws -> TestIdentity {
        var wish = Wish()
        change(&wish)
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try wish.commonName.map { name in try DistinguishedName { CommonName(name) } } ?? DistinguishedName()
        return TestIdentity(
            chain: [try self.certificate(wish, subject: name, key: key.publicKey)] + self.between, key: key)
    }

    func certificate(_ wish: Wish, subject: DistinguishedName, key: Certificate.PublicKey) throws -> Certificate {
        var names = [GeneralName.dnsName(wish.host)]
        if wish.padding > 0 { names.append(.uniformResourceIdentifier(String(repeating: "x", count: wish.padding))) }
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key,
            notValidBefore: Date(timeIntervalSinceNow: wish.from),
            notValidAfter: Date(timeIntervalSinceNow: wish.until),
            issuer: self.name, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                if wish.isAuthority {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                } else {
                    Critical(BasicConstraints.notCertificateAuthority)
                }
                Critical(wish.keyUsage)
                if let usages = wish.usages { Critical(try ExtendedKeyUsage(usages)) }
                SubjectAlternativeNames(names)
            },
            issuerPrivateKey: self.key)
    }

    func write(to path: String) throws {
        try self.certificate.serializeAsPEM().pemString.write(toFile: path, atomically: true, encoding: .utf8)
    }
}

/// A list of revoked certificates with whatever is to be wrong with it.
struct TestList {
    var serials: [Certificate.SerialNumber] = []
    var version: Int? = 1
    /// Seconds from now.
    var nextUpdate: Double? = 3600
    var criticalExtension: ASN1ObjectIdentifier?
    var entryExtension: ASN1ObjectIdentifier?
    var algorithm: ASN1ObjectIdentifier = [1, 2, 840, 10045, 4, 3, 2]

    func signed(by authority: TestAuthority, key: Certificate.PrivateKey? = nil) throws -> [UInt8] {
        var body = DER.Serializer()
        try body.appendConstructedNode(identifier: .sequence) { coder in
            if let version = self.version { try coder.serialize(version) }
            try self.writeAlgorithm(&coder)
            try coder.serialize(authority.name)
            try coder.serialize(Self.time(-60))
            if let next = self.nextUpdate { try coder.serialize(Self.time(next)) }
            if !self.serials.isEmpty {
                try coder.appendConstructedNode(identifier: .sequence) { coder in
                    for serial in self.serials {
                        try coder.appendConstructedNode(identifier: .sequence) { coder in
                            try coder.serialize(serial.bytes)
                            try coder.serialize(Self.time(-60))
                            if let oid = self.entryExtension { try Self.writeExtension(oid, &coder) }
                        }
                    }
                }
            }
            if let oid = self.criticalExtension {
                try coder.serialize(explicitlyTaggedWithTagNumber: 0, tagClass: .contextSpecific) { coder in
                    try Self.writeExtension(oid, &coder)
                }
            }
        }
        let bytes = body.serializedBytes
        let signature = try (key ?? authority.key).sign(bytes: bytes, signatureAlgorithm: .ecdsaWithSHA256)
        var list = DER.Serializer()
        try list.appendConstructedNode(identifier: .sequence) { coder in
            coder.serializeRawBytes(bytes)
            try self.writeAlgorithm(&coder)
            try coder.serialize(ASN1BitString(bytes: signature.rawRepresentation[...]))
        }
        return list.serializedBytes
    }

    private func writeAlgorithm(_ coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in try coder.serialize(self.algorithm) }
    }

    private static func writeExtension(_ oid: ASN1ObjectIdentifier, _ coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                try coder.serialize(oid)
                try coder.serialize(true)
                try coder.serialize(ASN1OctetString(contentBytes: [2, 1, 1]))
            }
        }
    }

    private static func time(_ offset: Double) throws -> UTCTime {
        let date = Date(timeIntervalSinceNow: offset)
        let parts = Calendar(identifier: .gregorian).dateComponents(in: .gmt, from: date)
        return try UTCTime(
            year: parts.year ?? 0, month: parts.month ?? 0, day: parts.day ?? 0, hours: parts.hour ?? 0,
            minutes: parts.minute ?? 0, seconds: parts.second ?? 0)
    }

    static func pem(_ bytes: [UInt8]) -> [UInt8] {
        let text = Data(bytes).base64EncodedString(options: .lineLength64Characters)
        let lines = ["Certificate Revocation List:", "-----BEGIN X509 CRL-----", text, "-----END X509 CRL-----", ""]
        return Array(lines.joined(separator: "\r\n").utf8)
    }
}
