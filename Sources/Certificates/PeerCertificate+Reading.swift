import FoundationEssentials
import SwiftASN1
import X509

extension PeerCertificate {
    /// - Parameter paths: what stood above it when it was checked, or all that may have.
    init(_ own: Certificate, issuedBy paths: [IssuerPath]) {
        self.init(
            uuid: Self.uuid(inCommonName: own.subject.onlyCommonName),
            notAfter: min(own.end, paths.map(\.notAfter).min() ?? .max),
            chain: [CertificateID(own)] + paths.flatMap(\.between), authorities: paths.map(\.authority))
    }

    /// The id behind `uuid:`, in lower case. Nothing else is let through: a name goes on into topics, headers and log
    /// lines of others.
    static func uuid(inCommonName name: String?) -> String? {
        guard let name, name.utf8.starts(with: "uuid:".utf8) else { return nil }
        let id = String(name.dropFirst(5))
        return Self.isUUID(id) ? id.lowercased() : nil
    }

    /// RFC 9562 §4: 8-4-4-4-12 hexadecimal digits.
    static func isUUID(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return false }
        return bytes.enumerated().allSatisfy { index, byte in
            if [8, 13, 18, 23].contains(index) { return byte == 0x2D }
            return (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
        }
    }
}

extension DistinguishedName {
    /// The common name; nil if there is none, or more than one to choose from, or one that is no text.
    var onlyCommonName: String? {
        let names = self.joined().filter { $0.type == .RDNAttributeType.commonName }
        guard names.count == 1 else { return nil }
        return String(names[0].value)
    }

    /// DER.
    var encoded: [UInt8] {
        var serializer = DER.Serializer()
        // Only fails for strings outside their type, and these come from certificates that were read.
        guard (try? serializer.serialize(self)) != nil else { return [] }
        return serializer.serializedBytes
    }
}

extension Certificate {
    /// Seconds since 1970.
    var end: Int64 { Int64(self.notValidAfter.timeIntervalSince1970) }
}
