import FoundationEssentials
import NIOSSL
import SwiftASN1
import X509

/// Our own certificate with its key, ready to be shown.
struct ServerIdentity: Sendable {
    let context: NIOSSLContext
    /// Of the subject; nil if there is none, or more than one.
    let commonName: String?
    /// When the first of the chain ends: seconds since 1970.
    let notAfter: Int64
    private let configuration: TLSConfiguration

    static func load(
        _ files: ServerCertificates.Files, clients: ServerCertificates.ClientVerification, protocols: [String]
    ) throws(CertificateError) -> ServerIdentity {
        let chain = try CertificateFiles.certificates(files.certificate)
        let keyBytes = try CertificateFiles.read(files.key)
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(bytes: keyBytes, format: .pem)
        } catch {
            throw CertificateError(path: files.key, reason: "it is no private key in PEM")
        }
        // A key of a kind that only the other library reads is left to that one's own comparison.
        if let read = try? Certificate.PrivateKey(pemEncoded: String(decoding: keyBytes, as: UTF8.self)),
            read.publicKey != chain[0].publicKey
        {
            throw CertificateError(path: files.key, reason: "it does not belong to \(files.certificate)")
        }
        do {
            let shown = try chain.map {
                var serializer = DER.Serializer()
                try serializer.serialize($0)
                return NIOSSLCertificateSource.certificate(
                    try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der))
            }
            let configuration = Self.configuration(shown, key, clients: clients, protocols: protocols)
            return ServerIdentity(
                context: try NIOSSLContext(configuration: configuration),
                commonName: chain[0].subject.onlyCommonName,
                notAfter: Int64(chain.map(\.notValidAfter).min()?.timeIntervalSince1970 ?? 0),
                configuration: configuration)
        } catch {
            throw CertificateError(path: "\(files.certificate) with \(files.key)", reason: "\(error)")
        }
    }

    private static func configuration(
        _ chain: [NIOSSLCertificateSource], _ key: NIOSSLPrivateKey, clients: ServerCertificates.ClientVerification,
        protocols: [String]
    ) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        // What OCF devices offer, without CBC (OCF Security §11.3); those of TLS 1.3 are always there.
        configuration.cipherSuiteValues = [
            .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ]
        configuration.curves = [.x25519, .secp256r1, .secp384r1]
        configuration.applicationProtocols = protocols
        configuration.renegotiationSupport = .none
        // Authorities are ours to check; without this the system's would be read, and trusted.
        configuration.trustRoots = .certificates([])
        switch clients {
        case .off: configuration.certificateVerification = .none
        case .optional: configuration.certificateVerification = .optionalVerification
        case .required: configuration.certificateVerification = .noHostnameVerification
        }
        return configuration
    }

    /// The same with new keys for session tickets: sessions begun under the old ones are not resumed.
    func forgettingSessions() throws -> ServerIdentity {
        ServerIdentity(
            context: try NIOSSLContext(configuration: self.configuration), commonName: self.commonName,
            notAfter: self.notAfter, configuration: self.configuration)
    }
}
