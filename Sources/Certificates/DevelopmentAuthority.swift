import FoundationEssentials
import X509

/// An authority that a server makes for itself, so that TLS works before anybody has set anything up.
package enum DevelopmentAuthority {
    /// Files to serve with, each PEM.
    package struct Prepared: Hashable, Sendable {
        /// What clients are told to trust.
        package let authority: String
        package let certificate: String
        package let key: String
        package let revocations: String
        /// Whether the authority was made just now: whoever trusted another one has to be told.
        package let madeAuthority: Bool
        /// Whether the certificate was made just now.
        package let madeCertificate: Bool
    }

    private static let days = 365
    /// A certificate that ends sooner than this is made anew, in seconds.
    private static let renewal: Int64 = 30 * 86_400

    /// Makes what is missing in `folder`, and makes the certificate anew if it soon expires or if the cloud's id or
    /// hosts have changed. It reads and writes files on the calling thread.
    /// - Parameters:
    ///   - hostNames: names and addresses besides `localhost`, `127.0.0.1` and `::1`; what is neither is left out.
    /// - Throws: if the folder cannot be used; an authority that cannot be read is never replaced.
    package static func prepare(
        in folder: String, sid: String, hostNames: [String], now: Int64 = AuthorityFolder.clock()
    ) throws(CertificateError) -> Prepared {
        let isThere =
            (CertificateFiles.exists(AuthorityFolder.certificateFile(in: folder))
                || CertificateFiles.exists(AuthorityFolder.keyFile(in: folder)))
            && !AuthorityFolder.isHalfMade(folder)
        let authority =
            isThere
            ? try AuthorityFolder(opening: folder)
            : try AuthorityFolder(creating: folder, name: "coap-gateway development authority", now: now)
        let files = (certificate: "\(folder)/server.pem", key: "\(folder)/server-key.pem")
        let given = hostNames.filter { CertificateSubject.cloud("x", hosts: [$0]).problem == nil }
        var hosts: [String] = []
        for host in ["localhost", "127.0.0.1", "::1"] + given where !hosts.contains(host) { hosts.append(host) }
        let subject = CertificateSubject.cloud(sid, hosts: Array(hosts.prefix(100)))
        let isGood = Self.isGood(files, for: subject, of: authority, now: now)
        if !isGood {
            _ = try authority.issue(subject, days: Self.days, in: folder, as: files, replacing: true, now: now)
        }
        try authority.renewRevocations(days: Self.days, now: now)
        return Prepared(
            authority: authority.certificateFile, certificate: files.certificate, key: files.key,
            revocations: authority.revocationsFile, madeAuthority: !isThere, madeCertificate: !isGood)
    }

    private static func isGood(
        _ files: (certificate: String, key: String), for subject: CertificateSubject, of authority: AuthorityFolder,
        now: Int64
    ) -> Bool {
        guard let certificate = (try? CertificateFiles.certificates(files.certificate))?.first,
            let text = try? CertificateFiles.read(files.key),
            let key = try? Certificate.PrivateKey(pemEncoded: String(decoding: text, as: UTF8.self)),
            let names = try? certificate.extensions.subjectAlternativeNames
        else { return false }
        return key.publicKey == certificate.publicKey
            && authority.certificate.publicKey.isValidSignature(certificate.signature, for: certificate)
            && certificate.subject.onlyCommonName == subject.commonName
            && Set(names) == Set(subject.hosts.map(CertificateSubject.generalName))
            && Int64(certificate.notValidAfter.timeIntervalSince1970) > now + Self.renewal
    }
}
