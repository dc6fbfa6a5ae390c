import Crypto
import FoundationEssentials
import Glibc
import SwiftASN1
import X509

/// A small certificate authority in a folder, for those who have no other: its certificate, its key, what it has
/// issued and the list of what it has revoked. P-256 with SHA-256 throughout.
///
/// It is used by one at a time: every change is made under a lock, and every file is replaced as a whole.
package struct AuthorityFolder: Sendable {
    package let path: String
    let certificate: Certificate
    let key: Certificate.PrivateKey

    /// The authority's own certificate, PEM.
    package var certificateFile: String { Self.certificateFile(in: self.path) }
    /// The list of revoked certificates, PEM.
    package var revocationsFile: String { "\(self.path)/crl.pem" }
    var indexFile: String { "\(self.path)/issued.txt" }

    static func certificateFile(in path: String) -> String { "\(path)/ca.pem" }
    static func keyFile(in path: String) -> String { "\(path)/ca-key.pem" }

    /// How long a list of revoked certificates says that it is good for, in days.
    package static let revocationDays = 90

    /// Opens what is there.
    /// - Throws: if the folder is none of an authority, or its files cannot be used.
    package init(opening path: String) throws(CertificateError) {
        let certificateFile = Self.certificateFile(in: path)
        let keyFile = Self.keyFile(in: path)
        guard CertificateFiles.exists(certificateFile) || CertificateFiles.exists(keyFile) else {
            throw CertificateError(
                path: path,
                reason: "it is not the folder of an authority; make one with: registry ca init --dir \(path)")
        }
        guard let certificate = try CertificateFiles.certificates(certificateFile).first else {
            throw CertificateError(path: certificateFile, reason: "there is no certificate in it")
        }
        let key = try Self.key(in: path)
        guard key.publicKey == certificate.publicKey else {
            throw CertificateError(path: keyFile, reason: "it does not belong to \(certificateFile)")
        }
        self.path = path
        self.certificate = certificate
        self.key = key
    }

    /// Whether somebody began to make an authority and was stopped after the key, which has signed nothing yet.
    static func isHalfMade(_ path: String) -> Bool {
        CertificateFiles.exists(Self.keyFile(in: path)) && !CertificateFiles.exists(Self.certificateFile(in: path))
            && !CertificateFiles.exists("\(path)/issued.txt")
    }

    private static func key(in path: String) throws(CertificateError) -> Certificate.PrivateKey {
        let file = Self.keyFile(in: path)
        let text = String(decoding: try CertificateFiles.read(file), as: UTF8.self)
        do {
            return try Certificate.PrivateKey(pemEncoded: text)
        } catch {
            // The parser's own words may quote the file.
            throw CertificateError(path: file, reason: "it is no private key in PEM")
        }
    }

    /// Makes an authority, or goes on where the making of one was stopped.
    /// - Parameters:
    ///   - name: its common name.
    ///   - days: how long its certificate is good.
    ///   - now: seconds since 1970.
    /// - Throws: if there is one already, or the folder cannot be written.
    package init(
        creating path: String, name: String, days: Int = 3650, now: Int64 = Self.clock()
    ) throws(CertificateError) {
        guard (1...64).contains(name.count), !name.unicodeScalars.contains(where: { $0.value < 32 }) else {
            throw CertificateError(path: path, reason: "the authority's name has 1 to 64 characters")
        }
        try Self.check(days: days, path: path)
        try CertificateFiles.createFolder(path)
        let lock = try FolderLock(path)
        defer { lock.release() }
        let resumes = Self.isHalfMade(path)
        for file in [Self.certificateFile(in: path), Self.keyFile(in: path)]
        where !resumes && CertificateFiles.exists(file) {
            throw CertificateError(
                path: file, reason: "there is an authority already; choose another folder, or move this one away")
        }
        let key = resumes ? try Self.key(in: path) : Certificate.PrivateKey(P256.Signing.PrivateKey())
        let made: (certificate: Certificate, text: String, keyText: String)
        do {
            let subject = try DistinguishedName { CommonName(name) }
            let certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key.publicKey,
                notValidBefore: Self.date(now - Self.backdating), notValidAfter: Self.date(now + Int64(days) * 86_400),
                issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: key.publicKey)
                },
                issuerPrivateKey: key)
            made = (certificate, try certificate.serializeAsPEM().pemString, try key.serializeAsPEM().pemString)
        } catch {
            throw CertificateError(path: path, reason: "the authority cannot be made: \(error)")
        }
        self.path = path
        self.certificate = made.certificate
        self.key = key
        // The key first: an authority without its key would be in the way for ever.
        try CertificateFiles.write("\(made.keyText)\n".utf8, to: Self.keyFile(in: path), mode: 0o600)
        try CertificateFiles.write("\(made.text)\n".utf8, to: Self.certificateFile(in: path), mode: 0o644)
        try self.writeIndex([])
        try self.writeRevocations([], days: Self.revocationDays, now: now)
    }

    /// Everything issued, oldest first.
    package func issued() throws(CertificateError) -> [IssuedCertificate] {
        guard CertificateFiles.exists(self.indexFile) else { return [] }
        let text = String(decoding: try CertificateFiles.read(self.indexFile, limit: Self.indexLimit), as: UTF8.self)
        var issued: [IssuedCertificate] = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let entry = IssuedCertificate(line: line) else {
                let shown = String(line.prefix(80)).debugDescription
                throw CertificateError(path: self.indexFile, reason: "this line was not written by us: \(shown)")
            }
            issued.append(entry)
        }
        return issued
    }

    func writeIndex(_ issued: [IssuedCertificate]) throws(CertificateError) {
        let lines = ["# serial, kind, name, not after, revoked at"] + issued.map(\.line)
        let text = lines.joined(separator: "\n") + "\n"
        guard text.utf8.count <= Self.indexLimit else {
            throw CertificateError(path: self.indexFile, reason: "there is no room for more; begin another authority")
        }
        try CertificateFiles.write(text.utf8, to: self.indexFile, mode: 0o600)
    }

    /// Some 180,000 certificates.
    private static let indexLimit = 16 << 20

    /// Clocks of devices that are a little behind shall not refuse what is new, in seconds.
    static let backdating: Int64 = 3600

    package static func clock() -> Int64 { Int64(time(nil)) }

    static func date(_ seconds: Int64) -> Date { Date(timeIntervalSince1970: Double(seconds)) }

    static func check(days: Int, path: String) throws(CertificateError) {
        guard (1...36_500).contains(days) else {
            throw CertificateError(path: path, reason: "\(days) days are not possible; give 1 to 36500")
        }
    }
}
