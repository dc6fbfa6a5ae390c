import Glibc
import SwiftASN1
import X509

/// Whom our own authority gives a certificate.
package enum CertificateSubject: Hashable, Sendable {
    /// An OCF device, by its device id, which is a UUID.
    case device(String)
    /// A cloud, by its `sid`, under these host names and addresses.
    case cloud(String, hosts: [String])
    /// A program among others that know it by this name.
    case service(String, hosts: [String])

    /// OCF Security §9.4: what an identity certificate may be used for.
    static let identityUsage = ExtendedKeyUsage.Usage(oid: [1, 3, 6, 1, 4, 1, 44924, 1, 6])

    /// The word in the index and in names of files.
    var kind: String {
        switch self {
        case .device: "device"
        case .cloud: "cloud"
        case .service: "service"
        }
    }

    var name: String {
        switch self {
        case .device(let name), .cloud(let name, _), .service(let name, _): name
        }
    }

    /// RFC 5280 appendix A.1 bounds it at 64 characters; the prefix takes five.
    var commonName: String {
        switch self {
        case .device(let di): "uuid:\(di.lowercased())"
        case .cloud(let sid, _): "uuid:\(sid)"
        case .service(let name, _): name.count <= 64 ? name : String(name.prefix(64))
        }
    }

    var hosts: [String] {
        switch self {
        case .device: []
        case .cloud(_, let hosts): hosts
        case .service(let name, let hosts): [name] + hosts.filter { $0 != name }
        }
    }

    /// Under what name its files are kept.
    package var fileName: String { "\(self.kind)-\(self.name.lowercased())" }

    /// What is wrong with it, for people; nil if nothing is.
    var problem: String? {
        switch self {
        case .device(let di):
            guard PeerCertificate.isUUID(di) else {
                return "a device id in a certificate is a UUID such as 08e7e385-15be-41f3-a373-7d370f8c8c93"
            }
        case .cloud(let sid, _):
            let isPlain = sid.utf8.allSatisfy { Self.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
            guard isPlain, (1...59).contains(sid.count) else {
                return "the id of a cloud has 1 to 59 letters, digits, dots and dashes"
            }
        case .service(let name, _):
            guard Self.isHostName(name) else { return "the name of a service is a host name such as registry" }
        }
        guard self.hosts.count <= 100 else { return "a certificate has at most 100 hosts" }
        let bad = self.hosts.first { Self.address($0) == nil && !Self.isHostName($0) }
        return bad.map { "\"\(String($0.prefix(80)).debugDescription)\" is neither a host name nor an address" }
    }

    /// The alternative names: an address as an address, everything else as a name (RFC 5280 §4.2.1.6).
    static func generalName(_ host: String) -> GeneralName {
        guard let address = Self.address(host) else { return .dnsName(host.lowercased()) }
        return .ipAddress(.init(contentBytes: address[...]))
    }

    /// The 4 or 16 bytes of an address; nil if it is none.
    private static func address(_ host: String) -> [UInt8]? {
        for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: count)
            if inet_pton(family, host, &bytes) == 1 { return bytes }
        }
        return nil
    }

    /// Letters, digits and dashes (RFC 5280 §4.2.1.6), with a leading `*` as the whole first label.
    private static func isHostName(_ host: String) -> Bool {
        let labels = host.utf8.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard host.utf8.count <= 253, host != "*" else { return false }
        return labels.enumerated().allSatisfy { index, label in
            if index == 0, label.elementsEqual([0x2A]) { return labels.count > 2 }
            return (1...63).contains(label.count) && label.first != 0x2D && label.last != 0x2D
                && label.allSatisfy { Self.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F }
        }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
