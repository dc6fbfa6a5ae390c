/// What is kept of a certificate that a peer has shown and that was checked. It is kept for as long as the connection,
/// so it is small: of the chain only what tells later whether it still holds.
package struct PeerCertificate: Hashable, Sendable {
    /// The UUID in the subject's common name `uuid:…`, in lower case; nil if there is none.
    package let uuid: String?
    /// When the first of the chain ends: seconds since 1970.
    package let notAfter: Int64
    /// Its own first, then those between it and the authority.
    package let chain: [CertificateID]
    /// The authority that was found behind it. More than one where a resumed session leaves open which: all of them
    /// have to be trusted then.
    package let authorities: [CertificateID]

    package init(uuid: String?, notAfter: Int64, chain: [CertificateID] = [], authorities: [CertificateID] = []) {
        self.uuid = uuid
        self.notAfter = notAfter
        self.chain = chain
        self.authorities = authorities
    }
}

/// Why a certificate that was good does not hold any more. The text is for the peer and for the log.
package enum PeerCertificateFault: String, Hashable, Sendable, CaseIterable {
    case ended = "the certificate of this peer has expired"
    case revoked = "the certificate of this peer was revoked"
    case issuerRevoked = "an issuer of this peer's certificate was revoked"
    case authorityGone = "the authority of this peer's certificate is not trusted any more"
}
