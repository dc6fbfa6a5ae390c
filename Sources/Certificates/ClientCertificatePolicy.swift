import SwiftASN1
import X509

/// What a chain of a client must be besides RFC 5280 §6.1: made for OCF or for clients, short, of strong
/// hashes, and not revoked. Keys are strong if they can be read: the library reads no RSA key below 2048 bits.
struct ClientCertificatePolicy: VerifierPolicy {
    /// From the client's own certificate to the authority's.
    static let depthLimit = 4
    /// All certificates together, in bytes. An OCF device sends some 500 for each.
    static let sizeLimit = 16_384

    let isRevoked: @Sendable (CertificateID) -> Bool

    let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [.X509ExtensionID.extendedKeyUsage]

    func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) async -> PolicyEvaluationResult {
        if let problem = self.problem(chain) { return .failsToMeetPolicy(reason: problem) }
        return .meetsPolicy
    }

    private func problem(_ chain: UnverifiedCertificateChain) -> String? {
        guard chain.count <= Self.depthLimit else { return "the chain has \(chain.count) certificates" }
        guard let leaf = chain.first else { return "there is no certificate" }
        if let problem = Self.leafProblem(leaf) { return problem }
        for (index, certificate) in chain.enumerated() {
            // The anchor is trusted for what it is, not for what it says of itself.
            if index == chain.count - 1, chain.count > 1 { break }
            guard Self.strongAlgorithms.contains(certificate.signatureAlgorithm) else {
                return "it is signed with \(certificate.signatureAlgorithm)"
            }
            if self.isRevoked(CertificateID(certificate)) { return "it is revoked" }
        }
        for issuer in chain.dropFirst() {
            // RFC 5280 §4.2.1.3: which RFC5280Policy leaves out.
            if let usage = try? issuer.extensions.keyUsage, !usage.keyCertSign {
                return "its issuer may not sign certificates"
            }
        }
        return nil
    }

    private static func leafProblem(_ leaf: Certificate) -> String? {
        guard let usage = try? leaf.extensions.extendedKeyUsage else { return "it has no extended key usage" }
        guard usage.contains(CertificateSubject.identityUsage) || usage.contains(.clientAuth) else {
            return "it is neither an OCF identity nor for clients"
        }
        if case .isCertificateAuthority? = try? leaf.extensions.basicConstraints { return "it is an authority's" }
        if let usage = try? leaf.extensions.keyUsage, !usage.digitalSignature { return "it may not sign" }
        return nil
    }

    private static let strongAlgorithms: Set<Certificate.SignatureAlgorithm> = [
        .ecdsaWithSHA256, .ecdsaWithSHA384, .ecdsaWithSHA512, .sha256WithRSAEncryption, .sha384WithRSAEncryption,
        .sha512WithRSAEncryption, .ed25519,
    ]
}
