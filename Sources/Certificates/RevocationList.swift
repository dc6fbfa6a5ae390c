import Glibc
import SwiftASN1
import X509

/// A list of revoked certificates that was read and whose signature was checked (RFC 5280 §5).
struct RevocationList: Sendable {
    static let numberExtension: ASN1ObjectIdentifier = [2, 5, 29, 20]
    static let ecdsaWithSHA256: ASN1ObjectIdentifier = [1, 2, 840, 10045, 4, 3, 2]

    /// The most that is read of a file, in bytes.
    static let sizeLimit = 8 << 20
    /// The most entries of a list. A table of them takes some 10 MB.
    static let entryLimit = 100_000

    /// Why a list is not believed.
    struct Unusable: Error, Hashable {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }

    let issuer: DistinguishedName
    let revoked: Set<CertificateID>
    /// Seconds since 1970.
    let thisUpdate: Int64
    /// When the next list is due, at the latest; nil: it does not say.
    let nextUpdate: Int64?

    /// - Throws: `Unusable`, or the parser's own words.
    init(_ bytes: [UInt8], authorities: [Certificate]) throws {
        let unsigned = try SignedList(bytes)
        let body = try ListBody(unsigned.body, algorithm: unsigned.algorithm)
        try unsigned.check(issuer: body.issuer, authorities)
        self.issuer = body.issuer
        self.revoked = body.revoked
        self.thisUpdate = body.thisUpdate
        self.nextUpdate = body.nextUpdate
    }

    /// All lists of a file, PEM or DER. A body that is no list is an error: it must never pass for an empty list.
    static func read(_ path: String, authorities: [Certificate]) throws(CertificateError) -> [RevocationList] {
        let file = try CertificateFiles.read(path, limit: Self.sizeLimit)
        var bodies = [file]
        // DER begins with the tag of a sequence.
        if file.first != 0x30 {
            bodies = try PEMBlock.all(in: file, of: path, label: "X509 CRL").map(\.bytes)
            guard !bodies.isEmpty else {
                throw CertificateError(path: path, reason: "there is no whole list of revoked certificates in it")
            }
        }
        do {
            return try bodies.map { try RevocationList($0, authorities: authorities) }
        } catch let error as Unusable {
            throw CertificateError(path: path, reason: error.reason)
        } catch {
            throw CertificateError(path: path, reason: "it is no list of revoked certificates: \(error)")
        }
    }
}

/// RFC 5280 §5.1.1: CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm, signatureValue }
private struct SignedList {
    let body: ASN1Node
    let algorithm: ASN1Node
    let signature: [UInt8]

    init(_ bytes: [UInt8]) throws {
        let parts = try DER.parse(bytes).parts()
        guard parts.count == 3 else { throw RevocationList.Unusable("it is no list of revoked certificates") }
        self.body = parts[0]
        self.algorithm = parts[1]
        let signature = try ASN1BitString(derEncoded: parts[2])
        guard signature.paddingBits == 0 else { throw RevocationList.Unusable("its signature is malformed") }
        self.signature = Array(signature.bytes)
    }

    /// RFC 5280 §6.3.3 (f), (g).
    func check(issuer: DistinguishedName, _ authorities: [Certificate]) throws {
        let named = authorities.filter { $0.subject == issuer }
        guard !named.isEmpty else {
            throw RevocationList.Unusable("none of our authorities is its issuer \(issuer)")
        }
        let signing = named.filter { authority in
            guard let usage = try? authority.extensions.keyUsage else {
                // None at all: every use. One that cannot be read: none.
                return authority.extensions[oid: .X509ExtensionID.keyUsage] == nil
            }
            return usage.cRLSign
        }
        guard !signing.isEmpty else {
            throw RevocationList.Unusable("its issuer \(issuer) may not sign lists of revoked certificates")
        }
        let algorithm = try Self.algorithm(try self.algorithm.firstIdentifier())
        let isSigned = signing.contains {
            $0.publicKey.isValidSignature(self.signature, for: self.body.encodedBytes, signatureAlgorithm: algorithm)
        }
        guard isSigned else { throw RevocationList.Unusable("its signature is not that of \(issuer)") }
    }

    private static func algorithm(_ oid: ASN1ObjectIdentifier) throws -> Certificate.SignatureAlgorithm {
        switch oid {
        case RevocationList.ecdsaWithSHA256: .ecdsaWithSHA256
        case [1, 2, 840, 10045, 4, 3, 3]: .ecdsaWithSHA384
        case [1, 2, 840, 10045, 4, 3, 4]: .ecdsaWithSHA512
        case [1, 2, 840, 113549, 1, 1, 11]: .sha256WithRSAEncryption
        case [1, 2, 840, 113549, 1, 1, 12]: .sha384WithRSAEncryption
        case [1, 2, 840, 113549, 1, 1, 13]: .sha512WithRSAEncryption
        case [1, 3, 101, 112]: .ed25519
        default: throw RevocationList.Unusable("it is signed with \(oid), which we do not accept")
        }
    }
}

/// RFC 5280 §5.1.2: TBSCertList
private struct ListBody {
    let issuer: DistinguishedName
    let thisUpdate: Int64
    let nextUpdate: Int64?
    let revoked: Set<CertificateID>

    init(_ node: ASN1Node, algorithm: ASN1Node) throws {
        var parts = try node.parts()[...]
        var isSecondVersion = false
        if parts.first?.identifier == .integer, let version = parts.popFirst() {
            guard try Int(derEncoded: version) == 1 else { throw RevocationList.Unusable("its version is unknown") }
            isSecondVersion = true
        }
        guard let inner = parts.popFirst(), let issuer = parts.popFirst(), let thisUpdate = parts.popFirst() else {
            throw RevocationList.Unusable("it is no list of revoked certificates")
        }
        guard inner.encodedBytes == algorithm.encodedBytes else {
            throw RevocationList.Unusable("it names two algorithms for its signature")
        }
        self.issuer = try DistinguishedName(derEncoded: issuer)
        self.thisUpdate = try thisUpdate.seconds()
        if let next = parts.first, next.identifier == .utcTime || next.identifier == .generalizedTime {
            self.nextUpdate = try next.seconds()
            parts.removeFirst()
        } else {
            self.nextUpdate = nil
        }
        if let entries = parts.first, entries.identifier == .sequence {
            self.revoked = try Self.revoked(entries, by: self.issuer, mayHaveExtensions: isSecondVersion)
            parts.removeFirst()
        } else {
            self.revoked = []
        }
        if let tagged = parts.popFirst() {
            let tag = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)
            let tags = try tagged.parts(of: tag)
            guard isSecondVersion, tags.count == 1, let extensions = tags.first else {
                throw RevocationList.Unusable("it is no list of revoked certificates")
            }
            // Indirect lists, lists of changes and lists of only some certificates all say so by a critical extension
            // (RFC 5280 §5.2.4, §5.2.5): taken for whole ones they would let the others through.
            try Self.refuseCritical(extensions, known: [RevocationList.numberExtension])
        }
        guard parts.isEmpty else { throw RevocationList.Unusable("there is more in it than a list has") }
    }

    private static func revoked(
        _ entries: ASN1Node, by issuer: DistinguishedName, mayHaveExtensions: Bool
    ) throws -> Set<CertificateID> {
        guard case .constructed(let nodes) = entries.content else {
            throw RevocationList.Unusable("it is no list of revoked certificates")
        }
        let issuer = CertificateID.Issuer(issuer)
        var revoked: Set<CertificateID> = []
        var count = 0
        for entry in nodes {
            count += 1
            guard count <= RevocationList.entryLimit else {
                throw RevocationList.Unusable("it has more than \(RevocationList.entryLimit) entries")
            }
            let parts = try entry.parts()
            guard (2...3).contains(parts.count) else { throw RevocationList.Unusable("an entry of it is malformed") }
            let serial = try ArraySlice<UInt8>(derEncoded: parts[0])
            guard serial.count <= 64 else { throw RevocationList.Unusable("a serial number of it is too long") }
            revoked.insert(CertificateID(issuer: issuer, serial: serial))
            _ = try parts[1].seconds()
            if parts.count == 3 {
                guard mayHaveExtensions else { throw RevocationList.Unusable("an entry of it is malformed") }
                // The reason, which makes no difference (RFC 5280 §5.3.1).
                try Self.refuseCritical(parts[2], known: [[2, 5, 29, 21]])
            }
        }
        return revoked
    }

    private static func refuseCritical(_ extensions: ASN1Node, known: [ASN1ObjectIdentifier]) throws {
        for node in try extensions.parts() {
            let parts = try node.parts()
            guard (2...3).contains(parts.count) else { throw RevocationList.Unusable("an extension is malformed") }
            let oid = try ASN1ObjectIdentifier(derEncoded: parts[0])
            guard parts.count == 3, try Bool(derEncoded: parts[1]), !known.contains(oid) else { continue }
            throw RevocationList.Unusable("it has the critical extension \(oid), which we do not know")
        }
    }
}

extension RevocationList {
    /// A serial number without leading zeros.
    static func plain(_ serial: some Collection<UInt8>) -> [UInt8] {
        let rest = Array(serial.drop { $0 == 0 })
        return rest.isEmpty ? [0] : rest
    }
}

extension ASN1Node {
    /// What is in a sequence or behind an explicit tag; at most 64, the entries of a list aside.
    fileprivate func parts(of identifier: ASN1Identifier = .sequence) throws -> [ASN1Node] {
        guard self.identifier == identifier, case .constructed(let nodes) = self.content else {
            throw RevocationList.Unusable("it is no list of revoked certificates")
        }
        var parts: [ASN1Node] = []
        for node in nodes {
            guard parts.count < 64 else { throw RevocationList.Unusable("there is more in it than a list has") }
            parts.append(node)
        }
        return parts
    }

    fileprivate func firstIdentifier() throws -> ASN1ObjectIdentifier {
        guard let first = try self.parts().first else { throw RevocationList.Unusable("it names no algorithm") }
        return try ASN1ObjectIdentifier(derEncoded: first)
    }

    /// RFC 5280 §5.1.2.4: seconds since 1970.
    fileprivate func seconds() throws -> Int64 {
        var parts = tm()
        if self.identifier == .utcTime {
            let time = try UTCTime(derEncoded: self)
            parts.set(time.year, time.month, time.day, time.hours, time.minutes, time.seconds)
        } else {
            let time = try GeneralizedTime(derEncoded: self)
            parts.set(time.year, time.month, time.day, time.hours, time.minutes, time.seconds)
        }
        return Int64(timegm(&parts))
    }
}

extension tm {
    /// The parsers let nothing through that is outside a calendar.
    fileprivate mutating func set(_ year: Int, _ month: Int, _ day: Int, _ hours: Int, _ minutes: Int, _ seconds: Int) {
        self.tm_year = Int32(clamping: year - 1900)
        self.tm_mon = Int32(clamping: month - 1)
        self.tm_mday = Int32(clamping: day)
        self.tm_hour = Int32(clamping: hours)
        self.tm_min = Int32(clamping: minutes)
        self.tm_sec = Int32(clamping: seconds)
    }
}
