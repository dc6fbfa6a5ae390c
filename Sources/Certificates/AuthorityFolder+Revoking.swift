import Glibc
import SwiftASN1
import X509

/// Which certificates are to be revoked.
package enum RevocationTarget: Hashable, Sendable {
    /// Hexadecimal digits.
    case serial(String)
    /// All of a device.
    case device(String)
    /// The first one in a PEM file.
    case certificate(String)
}

extension AuthorityFolder {
    /// Revokes, and writes the list anew.
    /// - Returns: what was revoked by this; empty: all of it was revoked before.
    /// - Throws: if nothing issued here is meant.
    package func revoke(
        _ target: RevocationTarget, now: Int64 = Self.clock()
    ) throws(CertificateError) -> [IssuedCertificate] {
        let isMeant = try self.matcher(target)
        let lock = try FolderLock(self.path)
        defer { lock.release() }
        var issued = try self.issued()
        let meant = issued.indices.filter { isMeant(issued[$0]) }
        guard !meant.isEmpty else {
            throw CertificateError(
                path: self.indexFile, reason: "no such certificate was issued here; see: registry ca list")
        }
        var revoked: [IssuedCertificate] = []
        for index in meant where issued[index].revokedAt == nil {
            issued[index].revokedAt = now
            revoked.append(issued[index])
        }
        if !revoked.isEmpty { try self.writeIndex(issued) }
        try self.writeRevocations(issued, days: Self.revocationDays, now: now)
        return revoked
    }

    /// Writes the list of revoked certificates anew, before those who read it call it stale.
    package func renewRevocations(
        days: Int = Self.revocationDays, now: Int64 = Self.clock()
    ) throws(CertificateError) {
        try Self.check(days: days, path: self.path)
        let lock = try FolderLock(self.path)
        defer { lock.release() }
        try self.writeRevocations(try self.issued(), days: days, now: now)
    }

    private func matcher(
        _ target: RevocationTarget
    ) throws(CertificateError) -> @Sendable (IssuedCertificate) -> Bool {
        switch target {
        case .serial(let text):
            guard let bytes = IssuedCertificate.bytes(ofSerial: text) else {
                throw CertificateError(path: self.path, reason: "a serial number has 1 to 40 hexadecimal digits")
            }
            return { IssuedCertificate.bytes(ofSerial: $0.serial) == bytes }
        case .device(let di):
            return { $0.kind == "device" && $0.name.lowercased() == di.lowercased() }
        case .certificate(let file):
            let found = try CertificateFiles.certificates(file)
            guard let certificate = found.first, certificate.issuer == self.certificate.subject,
                self.certificate.publicKey.isValidSignature(certificate.signature, for: certificate)
            else {
                throw CertificateError(path: file, reason: "it was not issued by \(self.certificateFile)")
            }
            let serial = IssuedCertificate.serial(certificate.serialNumber.bytes)
            let bytes = IssuedCertificate.bytes(ofSerial: serial)
            return { IssuedCertificate.bytes(ofSerial: $0.serial) == bytes }
        }
    }

    /// RFC 5280 §5.1, version 2. What has expired by itself is left out.
    func writeRevocations(_ issued: [IssuedCertificate], days: Int, now: Int64) throws(CertificateError) {
        let revoked = issued.filter { $0.revokedAt != nil && $0.notAfter >= now }
        let bytes: [UInt8]
        do {
            let list = try self.revocationList(revoked, days: days, now: now)
            let signature = try self.key.sign(bytes: list, signatureAlgorithm: .ecdsaWithSHA256)
            var serializer = DER.Serializer()
            try serializer.appendConstructedNode(identifier: .sequence) { coder in
                coder.serializeRawBytes(list)
                try Self.writeAlgorithm(into: &coder)
                try coder.serialize(ASN1BitString(bytes: signature.rawRepresentation[...]))
            }
            bytes = serializer.serializedBytes
        } catch {
            throw CertificateError(path: self.revocationsFile, reason: "the list cannot be made: \(error)")
        }
        let text = PEMBlock.text(bytes, label: "X509 CRL")
        try CertificateFiles.write(text.utf8, to: self.revocationsFile, mode: 0o644)
    }

    private func revocationList(_ revoked: [IssuedCertificate], days: Int, now: Int64) throws -> [UInt8] {
        var serializer = DER.Serializer()
        try serializer.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(1)
            try Self.writeAlgorithm(into: &coder)
            try coder.serialize(self.certificate.subject)
            try Self.writeTime(now, into: &coder)
            try Self.writeTime(now + Int64(days) * 86_400, into: &coder)
            if !revoked.isEmpty {
                try coder.appendConstructedNode(identifier: .sequence) { coder in
                    for entry in revoked {
                        guard let serial = IssuedCertificate.bytes(ofSerial: entry.serial) else { continue }
                        try coder.appendConstructedNode(identifier: .sequence) { coder in
                            coder.appendPrimitiveNode(identifier: .integer) { bytes in
                                // A serial number is positive: a first bit that is set needs a zero before it.
                                if serial[0] >= 0x80 { bytes.append(0) }
                                bytes += serial
                            }
                            try Self.writeTime(entry.revokedAt ?? now, into: &coder)
                        }
                    }
                }
            }
            try coder.serialize(explicitlyTaggedWithTagNumber: 0, tagClass: .contextSpecific) { coder in
                try coder.appendConstructedNode(identifier: .sequence) { coder in
                    try self.writeExtensions(into: &coder)
                }
            }
        }
        return serializer.serializedBytes
    }

    /// RFC 5280 §5.2: both are asked for. The number is the time in microseconds, which only grows.
    private func writeExtensions(into coder: inout DER.Serializer) throws {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let number = Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
        let keyIdentifier = SubjectKeyIdentifier(hash: self.key.publicKey).keyIdentifier
        let authority = try Certificate.Extension(
            AuthorityKeyIdentifier(keyIdentifier: keyIdentifier), critical: false)
        var numberBytes = DER.Serializer()
        try numberBytes.serialize(number)
        for (oid, value) in [
            (authority.oid, authority.value), (RevocationList.numberExtension, numberBytes.serializedBytes[...]),
        ] {
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                try coder.serialize(oid)
                try coder.serialize(ASN1OctetString(contentBytes: value))
            }
        }
    }

    private static func writeAlgorithm(into coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(RevocationList.ecdsaWithSHA256)
        }
    }

    /// RFC 5280 §5.1.2.4: UTCTime until 2049, GeneralizedTime from then on.
    private static func writeTime(_ seconds: Int64, into coder: inout DER.Serializer) throws {
        var moment = time_t(seconds)
        var parts = tm()
        gmtime_r(&moment, &parts)
        let (year, month, day) = (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday))
        let (hours, minutes, seconds) = (Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec))
        if year < 2050 {
            try coder.serialize(
                UTCTime(year: year, month: month, day: day, hours: hours, minutes: minutes, seconds: seconds))
        } else {
            try coder.serialize(
                GeneralizedTime(
                    year: year, month: month, day: day, hours: hours, minutes: minutes, seconds: seconds,
                    fractionalSeconds: 0))
        }
    }
}
