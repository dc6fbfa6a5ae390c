/// What is kept of a certificate that a peer has shown and that was checked.
package struct PeerCertificate: Hashable, Sendable {
    /// The UUID in the subject's common name `uuid:…`, in lower case; nil if there is none.
    package let uuid: String?
    /// The issuer's name, DER. With the serial number it names the certificate (RFC 5280 §4.1.2.2).
    package let issuer: [UInt8]
    package let serialNumber: [UInt8]
    /// Seconds since 1970.
    package let notAfter: Int64

    package init(uuid: String?, issuer: [UInt8], serialNumber: [UInt8], notAfter: Int64) {
        self.uuid = uuid
        self.issuer = issuer
        self.serialNumber = serialNumber
        self.notAfter = notAfter
    }
}
