import Crypto
import SwiftASN1
import X509

/// Names a certificate in 16 bytes: the beginning of a SHA-256 over what names it. A table of these is small, and
/// looking one up takes no parsing.
package struct CertificateID: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// By issuer and serial number, which together are one certificate's only (RFC 5280 §4.1.2.2): as lists of revoked
    /// certificates name it.
    init(_ certificate: Certificate) {
        self.init(issuer: Issuer(certificate.issuer), serial: certificate.serialNumber.bytes)
    }

    init(issuer: Issuer, serial: some Collection<UInt8>) {
        var hash = issuer.hash
        hash.update(data: RevocationList.plain(serial))
        self.init(hash.finalize())
    }

    /// By name and key, as an authority: one that was renewed is still the same.
    init(authority certificate: Certificate) {
        var hash = Issuer(certificate.subject).hash
        hash.update(data: Array(certificate.publicKey.subjectPublicKeyInfoBytes))
        self.init(hash.finalize())
    }

    private init(_ digest: SHA256.Digest) {
        var words: (UInt64, UInt64) = (0, 0)
        for (index, byte) in digest.prefix(16).enumerated() {
            if index < 8 { words.0 = words.0 << 8 | UInt64(byte) } else { words.1 = words.1 << 8 | UInt64(byte) }
        }
        (self.high, self.low) = words
    }

    /// An issuer's name, hashed once for all that it has issued.
    struct Issuer: Sendable {
        fileprivate let hash: SHA256

        init(_ name: DistinguishedName) {
            var hash = SHA256()
            hash.update(data: name.encoded)
            self.hash = hash
        }
    }
}
