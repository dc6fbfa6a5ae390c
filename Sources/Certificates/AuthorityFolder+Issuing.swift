import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// Where a certificate that was issued is.
package struct IssuedFiles: Hashable, Sendable {
    package let serial: String
    /// PEM.
    package let certificate: String
    /// PEM, readable by its owner only.
    package let key: String
    /// Seconds since 1970.
    package let notAfter: Int64
}

extension AuthorityFolder {
    /// Where certificates go unless told otherwise.
    package var issuedFolder: String { "\(self.path)/issued" }

    /// Makes a key and a certificate for it, which is good for `days` or until the authority's own ends.
    /// - Parameters:
    ///   - folder: where both files go; nil: `issuedFolder`.
    ///   - replacing: whether files of that name may be replaced.
    /// - Throws: if the subject is not possible, files are there already, or nothing can be written.
    package func issue(
        _ subject: CertificateSubject, days: Int, to folder: String? = nil, replacing: Bool = false,
        now: Int64 = Self.clock()
    ) throws(CertificateError) -> IssuedFiles {
        let folder = folder ?? self.issuedFolder
        let files = (
            certificate: "\(folder)/\(subject.fileName).pem", key: "\(folder)/\(subject.fileName)-key.pem"
        )
        return try self.issue(subject, days: days, in: folder, as: files, replacing: replacing, now: now)
    }

    func issue(
        _ subject: CertificateSubject, days: Int, in folder: String, as files: (certificate: String, key: String),
        replacing: Bool, now: Int64
    ) throws(CertificateError) -> IssuedFiles {
        if let problem = subject.problem { throw CertificateError(path: self.path, reason: problem) }
        try Self.check(days: days, path: self.path)
        try CertificateFiles.createFolder(folder)
        for file in [files.certificate, files.key] where !replacing && CertificateFiles.exists(file) {
            throw CertificateError(path: file, reason: "it is there already; move it away, or choose another folder")
        }
        let lock = try FolderLock(self.path)
        defer { lock.release() }
        let authorityEnd = Int64(self.certificate.notValidAfter.timeIntervalSince1970)
        guard authorityEnd > now else {
            throw CertificateError(path: self.certificateFile, reason: "the authority has expired; make another")
        }
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let notAfter = min(now + Int64(days) * 86_400, authorityEnd)
        let made: (certificate: Certificate, text: String, keyText: String)
        do {
            let certificate = try self.certificate(for: subject, key: key.publicKey, now: now, notAfter: notAfter)
            made = (certificate, try certificate.serializeAsPEM().pemString, try key.serializeAsPEM().pemString)
        } catch {
            throw CertificateError(path: self.path, reason: "the certificate cannot be made: \(error)")
        }
        // The index first: nothing is ever out that could not be revoked.
        let serial = IssuedCertificate.serial(made.certificate.serialNumber.bytes)
        let entry = IssuedCertificate(serial: serial, kind: subject.kind, name: subject.name, notAfter: notAfter)
        try self.writeIndex(try self.issued() + [entry])
        try CertificateFiles.write("\(made.keyText)\n".utf8, to: files.key, mode: 0o600)
        try CertificateFiles.write("\(made.text)\n".utf8, to: files.certificate, mode: 0o644)
        return IssuedFiles(serial: serial, certificate: files.certificate, key: files.key, notAfter: notAfter)
    }

    private func certificate(
        for subject: CertificateSubject, key: Certificate.PublicKey, now: Int64, notAfter: Int64
    ) throws -> Certificate {
        let usages: [ExtendedKeyUsage.Usage] =
            switch subject {
            case .device, .cloud: [.serverAuth, .clientAuth, CertificateSubject.identityUsage]
            case .service: [.serverAuth, .clientAuth]
            }
        let names = subject.hosts.map(CertificateSubject.generalName)
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key,
            notValidBefore: Self.date(now - Self.backdating), notValidAfter: Self.date(notAfter),
            issuer: self.certificate.subject, subject: try DistinguishedName { CommonName(subject.commonName) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true, keyAgreement: true))
                try ExtendedKeyUsage(usages)
                if !names.isEmpty { SubjectAlternativeNames(names) }
                SubjectKeyIdentifier(hash: key)
                AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: self.key.publicKey).keyIdentifier)
            },
            issuerPrivateKey: self.key)
    }
}
