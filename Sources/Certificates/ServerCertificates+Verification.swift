import Logging
import Metrics
import NIOSSL
import SwiftASN1
import Synchronization
import X509

extension ServerCertificates {
    /// Why a certificate that was checked before does not hold any more; nil: it does.
    package func fault(of peer: PeerCertificate, now: Int64 = AuthorityFolder.clock()) -> PeerCertificateFault? {
        if peer.notAfter < now { return .ended }
        if let own = peer.chain.first, self.isRevoked(own) { return .revoked }
        if peer.chain.dropFirst().contains(where: self.isRevoked) { return .issuerRevoked }
        guard let trusted = self.authorities?.value.ids else { return nil }
        return peer.authorities.allSatisfy(trusted.contains) ? nil : .authorityGone
    }

    private func isRevoked(_ id: CertificateID) -> Bool {
        self.revocations.contains { _, lists in lists.value.contains { $0.revoked.contains(id) } }
    }

    /// Takes the place of all checks that BoringSSL has for chains: those refuse what is only an OCF identity.
    /// - Returns: nil if it is refused.
    func verify(_ shown: [NIOSSLCertificate], _ authorities: TrustedAuthorities) async -> PeerCertificate? {
        guard let chain = self.read(shown) else { return nil }
        let policy = ClientCertificatePolicy { self.isRevoked($0) }
        var verifier = Verifier(rootCertificates: authorities.store) {
            RFC5280Policy()
            policy
        }
        let result = await verifier.validate(leaf: chain[0], intermediates: CertificateStore(chain.dropFirst()))
        switch result {
        case .validCertificate(let verified):
            // What was shown beside these had no part in it.
            guard let path = IssuerPath(verified: Array(verified)) else { return nil }
            self.remember(path, of: chain[0].issuer)
            return PeerCertificate(chain[0], issuedBy: [path])
        case .couldNotValidate(let failures):
            let reasons = failures.map { "\($0.policyFailureReason)" }
            self.refuse(reasons.first ?? "none of our authorities is behind it")
            return nil
        }
    }

    // MARK: Resumed sessions

    /// Who has resumed a session, by the certificate that was checked when it began. Whatever takes trust away gives
    /// tickets new keys; time is the exception, and a handshake that was under way meanwhile.
    func resumed(_ shown: NIOSSLCertificate) -> ServerHandshake.Peer {
        guard let bytes = try? shown.toDERBytes(), let own = try? Certificate(derEncoded: bytes) else {
            return .refused(reason: "its certificate cannot be read")
        }
        let paths = self.paths.withLock { $0.all(of: own.issuer) }
        let peer = PeerCertificate(own, issuedBy: paths)
        let fault = self.fault(of: peer)
        guard paths.isEmpty || fault != nil else { return .known(peer) }
        let reason = fault?.rawValue ?? "its session is older than the keys of our tickets"
        self.refuse(reason)
        // It would come with the same ticket again, also when it has another certificate by then.
        self.forgetting.lookIfDue { self.forgetSessions() }
        return .refused(reason: reason)
    }

    private func remember(_ path: IssuerPath, of issuer: DistinguishedName) {
        guard !self.paths.withLock({ $0.insert(path, of: issuer) }) else { return }
        // No session may be resumed of which this is not known: all of them begin anew.
        self.paths.withLock { $0 = IssuerPaths() }
        self.forgetting.lookIfDue { self.forgetSessions() }
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
