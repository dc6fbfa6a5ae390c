import FoundationEssentials
import X509

/// The authorities that clients' certificates come from.
struct TrustedAuthorities: Sendable {
    /// Of all files together.
    static let limit = 1000

    let certificates: [Certificate]
    let store: CertificateStore
    let ids: Set<CertificateID>

    init(_ certificates: [Certificate]) {
        self.certificates = certificates
        self.store = CertificateStore(certificates)
        self.ids = Set(certificates.map(CertificateID.init(authority:)))
    }

    static func load(_ paths: [String]) throws(CertificateError) -> TrustedAuthorities {
        var certificates: [Certificate] = []
        for file in Self.files(paths) {
            certificates += try CertificateFiles.certificates(file)
            guard certificates.count <= Self.limit else {
                throw CertificateError(path: file, reason: "there are more than \(Self.limit) authorities")
            }
        }
        guard !certificates.isEmpty else {
            throw CertificateError(
                path: paths.joined(separator: ", "), reason: "there is no authority in it, so no client could get in")
        }
        return TrustedAuthorities(certificates)
    }

    /// The files themselves and, of folders, what has the name of a certificate.
    static func files(_ paths: [String]) -> [String] {
        paths.flatMap { path -> [String] in
            guard CertificateFiles.isFolder(path) else { return [path] }
            let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            return names.filter { name in
                !name.hasPrefix(".") && [".pem", ".crt", ".cer"].contains { name.hasSuffix($0) }
            }
            .sorted().prefix(Self.limit).map { "\(path)/\($0)" }
        }
    }
}
