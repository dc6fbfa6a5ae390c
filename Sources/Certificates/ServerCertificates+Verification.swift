import Logging
import Metrics
package import NIOSSL
import SwiftASN1
import X509

extension ServerCertificates {
    /// The peer's certificate once the handshake is over; nil if it has shown none. Where certificates are required
    /// nil means a session resumed after its certificate had ended: it is to be closed.
    package func peerCertificate(of handler: NIOSSLServerHandler) -> PeerCertificate? {
        guard self.clients != .off else { return nil }
        // A resumed session shows nothing again. Its certificate was checked when it began, under the same authorities
        // and lists: changes of these make sessions end.
        guard let leaf = handler.peerValidatedCertificateChain?.first ?? handler.peerCertificate,
            let bytes = try? leaf.toDERBytes(), let certificate = try? Certificate(derEncoded: bytes)
        else { return nil }
        let peer = PeerCertificate(certificate)
        guard peer.notAfter >= AuthorityFolder.clock(), !self.isRevoked(peer) else { return nil }
        return peer
    }

    /// Whether a list that we read has it.
    package func isRevoked(_ peer: PeerCertificate) -> Bool {
        guard !self.revocations.isEmpty, let node = try? DER.parse(peer.issuer),
            let issuer = try? DistinguishedName(derEncoded: node)
        else { return false }
        return self.isRevoked(issuer: issuer, serial: peer.serialNumber[...])
    }

    func isRevoked(issuer: DistinguishedName, serial: ArraySlice<UInt8>) -> Bool {
        self.revocations.contains { _, lists in
            lists.value.contains { $0.issuer == issuer && $0.revokes(serial) }
        }
    }

    /// Takes the place of all checks that BoringSSL has for chains: those refuse what is only an OCF identity.
    func verify(
        _ shown: [NIOSSLCertificate], _ authorities: TrustedAuthorities
    ) async -> NIOSSLVerificationResultWithMetadata {
        guard let chain = self.read(shown) else { return .failed }
        let policy = ClientCertificatePolicy { self.isRevoked(issuer: $0, serial: $1) }
        var verifier = Verifier(rootCertificates: authorities.store) {
            RFC5280Policy()
            policy
        }
        let result = await verifier.validate(leaf: chain[0], intermediates: CertificateStore(chain.dropFirst()))
        switch result {
        case .validCertificate:
            // The first is all that anyone asks for; of the others some may have had no part in it.
            return .certificateVerified(VerificationMetadata(ValidatedCertificateChain([shown[0]])))
        case .couldNotValidate(let failures):
            let reasons = failures.map { "\($0.policyFailureReason)" }
            self.refuse(reasons.first ?? "none of our authorities is behind it")
            return .failed
        }
    }

    private func read(_ shown: [NIOSSLCertificate]) -> [Certificate]? {
        guard (1...ClientCertificatePolicy.depthLimit).contains(shown.count) else {
            self.refuse("it came with \(shown.count) certificates")
            return nil
        }
        var size = 0
        var chain: [Certificate] = []
        for certificate in shown {
            guard let bytes = try? certificate.toDERBytes(), let read = try? Certificate(derEncoded: bytes) else {
                self.refuse("it cannot be read")
                return nil
            }
            size += bytes.count
            guard size <= ClientCertificatePolicy.sizeLimit else {
                self.refuse("its chain is larger than \(ClientCertificatePolicy.sizeLimit) bytes")
                return nil
            }
            chain.append(read)
        }
        return chain
    }

    /// What a peer does wrong is no warning of ours.
    private func refuse(_ reason: String) {
        self.refused.increment()
        self.logger.debug("a client's certificate is refused", metadata: ["reason": "\(reason)"])
    }
}
