import FoundationEssentials
import Logging
import NIOCore
import NIOSSL
import SwiftASN1
import Synchronization
import Testing
import X509

@testable import Certificates

@Suite("Revoked certificates", .timeLimit(.minutes(3)))
struct RevocationTests {
    private static let id = "08e7e385-15be-41f3-a373-7d370f8c8c93"

    @Test("BI-46: what was revoked before the handshake is refused, DER or PEM, version 1 or 2", arguments: [1, nil])
    func before(version: Int?) async throws {
        let authority = try TestAuthority("authority")
        let (bad, good) = (try authority.issue(), try authority.issue())
        var list = TestList(serials: [bad.chain[0].serialNumber])
        list.version = version
        let bench = try await TLSBench(revoked: list, authority: authority)
        #expect(try await bench.greeting(bad.client()) == nil)
        #expect(bench.log.lines.contains { $0.text.contains("it is revoked") })
        #expect(try await bench.greeting(good.client()) == Self.id)
        list.serials.append(good.chain[0].serialNumber)
        try bench.replaceList(TestList.pem(list.signed(by: authority)))
        bench.certificates.reloadIfChanged()
        #expect(try await bench.greeting(good.client()) == nil)
        #expect(try await bench.greeting(authority.issue().client()) == Self.id)
        try await bench.close()
    }

    @Test("BI-46: a revocation while the client is connected is told to whoever ends connections")
    func during() async throws {
        let bench = try await TLSBench()
        let identity = try bench.authority.issue()
        let (client, other) = (try await bench.connect(identity.client()), try bench.authority.issue())
        #expect(try await client.greeting.get() == Self.id)
        let peer = PeerCertificate(identity.chain[0], issuedBy: [])
        let counted = Counted()
        bench.certificates.whenTrustIsTaken { counted.increment() }
        #expect(bench.certificates.fault(of: peer) == nil)
        // The same list again, and one with another's.
        try bench.replaceList(TestList().signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        #expect(counted.value == 0)
        try bench.replaceList(TestList(serials: [identity.chain[0].serialNumber]).signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        #expect(counted.value == 1)
        #expect(bench.certificates.fault(of: peer) == .revoked)
        #expect(bench.certificates.fault(of: PeerCertificate(other.chain[0], issuedBy: [])) == nil)
        // Fewer than before: nobody is to be ended.
        try bench.replaceList(TestList().signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        #expect(counted.value == 1)
        #expect(bench.certificates.fault(of: peer) == nil)
        try await client.channel.close()
        try await bench.close()
    }

    @Test("BI-46: a changed list is noticed without a new connection")
    func noticed() async throws {
        let bench = try await TLSBench(interval: .milliseconds(20))
        let identity = try bench.authority.issue()
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        bench.certificates.whenTrustIsTaken { continuation.yield() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await bench.certificates.run() }
            try bench.replaceList(TestList(serials: [identity.chain[0].serialNumber]).signed(by: bench.authority))
            for await _ in stream { break }
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(bench.certificates.fault(of: PeerCertificate(identity.chain[0], issuedBy: [])) == .revoked)
        try await bench.close()
    }

    @Test("BI-46: a list that is empty, cut short, no list or not signed by an authority of ours leaves the old one")
    func unusable() async throws {
        let bench = try await TLSBench()
        let identity = try bench.authority.issue()
        let peer = PeerCertificate(identity.chain[0], issuedBy: [])
        let whole = try TestList(serials: [identity.chain[0].serialNumber]).signed(by: bench.authority)
        try bench.replaceList(whole)
        bench.certificates.reloadIfChanged()
        #expect(bench.certificates.fault(of: peer) == .revoked)
        let stranger = try TestAuthority("stranger")
        let forger = try TestAuthority("authority")
        var critical = TestList()
        critical.criticalExtension = [2, 5, 29, 27]
        var partial = TestList()
        partial.criticalExtension = [2, 5, 29, 28]
        var indirect = TestList(serials: [.init(bytes: [1])])
        indirect.entryExtension = [2, 5, 29, 29]
        var version = TestList()
        version.version = 2
        var weak = TestList()
        weak.algorithm = [1, 2, 840, 10045, 4, 1]
        var tampered = try TestList(serials: [.init(bytes: [1])]).signed(by: bench.authority)
        tampered[tampered.count / 4] ^= 1
        let pem = TestList.pem(whole)
        let files: [(String, [UInt8], String)] = [
            ("empty", [], "it is empty"), ("cut", Array(whole.dropLast(5)), "no list"),
            ("cut PEM", Array(pem.dropLast(40)), "not whole"), ("one more, cut", pem + pem.dropLast(40), "not whole"),
            ("HTML", Array("<html>".utf8), "no whole list"),
            ("blank", [10], "no whole list"), ("sequence", [0x30, 0], "no list"),
            ("certificate", Array(try bench.authority.certificate.serializeAsPEM().pemString.utf8), "no whole list"),
            ("stranger", try TestList().signed(by: stranger), "none of our authorities"),
            ("forger", try TestList().signed(by: forger), "signature"),
            ("delta", try critical.signed(by: bench.authority), "2.5.29.27"),
            ("partial", try partial.signed(by: bench.authority), "2.5.29.28"),
            ("indirect", try indirect.signed(by: bench.authority), "2.5.29.29"),
            ("version", try version.signed(by: bench.authority), "version"),
            ("SHA-1", try weak.signed(by: bench.authority), "do not accept"), ("tampered", tampered, ""),
            ("after", whole + [0], ""),
        ]
        for (what, bytes, reason) in files {
            let before = bench.log.warnings("crl.pem")
            try bench.replaceList(bytes)
            bench.certificates.reloadIfChanged()
            bench.certificates.reloadIfChanged()
            #expect(bench.certificates.fault(of: peer) == .revoked, "\(what)")
            #expect(bench.log.warnings("crl.pem") == before + 1, "\(what)")
            let last = bench.log.lines.last { $0.level == .warning }?.text ?? ""
            #expect(last.contains(reason), "\(what): \(last)")
            #expect(try await bench.greeting(identity.client()) == nil, "\(what)")
        }
        try FileManager.default.removeItem(atPath: "\(bench.folder.path)/crl.pem")
        bench.certificates.reloadIfChanged()
        #expect(bench.certificates.fault(of: peer) == .revoked)
        // Whole again.
        try bench.replaceList(TestList().signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        #expect(try await bench.greeting(identity.client()) == Self.id)
        try await bench.close()
    }

    @Test("BI-46: every list cut short or with a byte changed is refused or read, and never crashes")
    func hostile() throws {
        let authority = try TestAuthority("authority")
        let whole = try TestList(serials: [.init(bytes: [1, 2, 3])]).signed(by: authority)
        let id = CertificateID(issuer: .init(authority.name), serial: [1, 2, 3])
        #expect(try RevocationList(whole, authorities: [authority.certificate]).revoked == [id])
        for count in whole.indices {
            #expect(throws: (any Error).self) {
                try RevocationList(Array(whole.prefix(count)), authorities: [authority.certificate])
            }
            for mask: UInt8 in [0x01, 0x80, 0xFF] {
                var changed = whole
                changed[count] ^= mask
                #expect(throws: (any Error).self, "\(count) \(mask)") {
                    try RevocationList(changed, authorities: [authority.certificate])
                }
            }
        }
    }

    @Test("BI-46: a stale list holds, and is warned of once a day")
    func stale() async throws {
        let authority = try TestAuthority("authority")
        let identity = try authority.issue()
        let list = TestList(serials: [identity.chain[0].serialNumber], nextUpdate: -30)
        let bench = try await TLSBench(revoked: list, authority: authority)
        #expect(bench.log.warnings("stale") == 1)
        bench.certificates.reloadIfChanged()
        #expect(bench.log.warnings("stale") <= 2)
        let now = AuthorityFolder.clock()
        for hour in 24..<48 { bench.certificates.speakOfExpiry(now: (now / 86_400) * 86_400 + Int64(hour) * 3600) }
        #expect((2...3).contains(bench.log.warnings("stale")))
        #expect(try await bench.greeting(identity.client()) == nil)
        #expect(try await bench.greeting(authority.issue().client()) == Self.id)
        try await bench.close()
    }

    @Test("RFC 5280 §6.3.3: an authority whose key is not for lists signs none")
    func keyUsage() throws {
        let authority = try TestAuthority("authority", keyUsage: KeyUsage(keyCertSign: true))
        let list = try TestList().signed(by: authority)
        let error = #expect(throws: RevocationList.Unusable.self) {
            try RevocationList(list, authorities: [authority.certificate])
        }
        #expect(error?.reason.contains("may not sign") == true)
    }

    @Test("A list of 50000 entries is read and searched; one of more than the bound is refused")
    func large() throws {
        let authority = try TestAuthority("authority")
        let serials = (1...50_000).map { Certificate.SerialNumber($0) }
        let list = try RevocationList(
            try TestList(serials: serials).signed(by: authority), authorities: [authority.certificate])
        #expect(list.revoked.count == 50_000)
        let issuer = CertificateID.Issuer(authority.name)
        #expect(list.revoked.contains(CertificateID(issuer: issuer, serial: [0xC3, 0x50])))
        #expect(!list.revoked.contains(CertificateID(issuer: issuer, serial: [0xC3, 0x51])))
        #expect(list.revoked.contains(CertificateID(issuer: issuer, serial: [0, 0, 1])))
        let another = CertificateID.Issuer(try TestAuthority("another").name)
        #expect(!list.revoked.contains(CertificateID(issuer: another, serial: [1])))
    }

    @Test("BI-46: a revoked issuer is told to whoever ends connections, and ends those of all that it has issued")
    func issuerRevoked() async throws {
        let bench = try await TLSBench()
        let between = try bench.authority.subordinate("between")
        let (below, beside) = (try between.issue(), try bench.authority.issue())
        #expect(try await bench.greeting(below.client()) == Self.id)
        let peer = try #require(bench.lastPeer)
        #expect(try await bench.greeting(beside.client()) == Self.id)
        let other = try #require(bench.lastPeer)
        #expect(peer.chain.count == 2)
        #expect(other.chain.count == 1)
        let counted = Counted()
        bench.certificates.whenTrustIsTaken { counted.increment() }
        #expect(bench.certificates.fault(of: peer) == nil)
        try bench.replaceList(TestList(serials: [between.certificate.serialNumber]).signed(by: bench.authority))
        bench.certificates.reloadIfChanged()
        #expect(counted.value == 1)
        #expect(bench.certificates.fault(of: peer) == .issuerRevoked)
        #expect(bench.certificates.fault(of: other) == nil)
        #expect(try await bench.greeting(below.client()) == nil)
        #expect(try await bench.greeting(beside.client()) == Self.id)
        try await bench.close()
    }

    @Test(
        "An authority that is taken from the pool ends connections of its own; one that is added or renewed ends none")
    func authorityGone() async throws {
        let leaving = try TestAuthority("leaving")
        let bench = try await TLSBench(also: [leaving])
        #expect(try await bench.greeting(leaving.issue().client()) == Self.id)
        let peer = try #require(bench.lastPeer)
        #expect(try await bench.greeting(bench.authority.issue().client()) == Self.id)
        let staying = try #require(bench.lastPeer)
        let counted = Counted()
        bench.certificates.whenTrustIsTaken { counted.increment() }
        try bench.replaceAuthorities([bench.authority, leaving.renewed(), TestAuthority("new")])
        bench.certificates.reloadIfChanged()
        #expect(counted.value == 0)
        #expect(bench.certificates.fault(of: peer) == nil)
        try bench.replaceAuthorities([bench.authority])
        bench.certificates.reloadIfChanged()
        #expect(counted.value == 1)
        #expect(bench.certificates.fault(of: peer) == .authorityGone)
        #expect(bench.certificates.fault(of: staying) == nil)
        try await bench.close()
    }

    @Test("A chain ends with the first of its certificates")
    func firstEnd() async throws {
        let bench = try await TLSBench()
        let short = try bench.authority.subordinate("short", until: 1800)
        let latest = AuthorityFolder.clock() + 1801
        #expect(try await bench.greeting(short.issue().client()) == Self.id)
        let peer = try #require(bench.lastPeer)
        #expect(peer.notAfter <= latest)
        #expect(bench.certificates.fault(of: peer, now: peer.notAfter) == nil)
        #expect(bench.certificates.fault(of: peer, now: peer.notAfter + 1) == .ended)
        try await bench.close()
    }
}

/// How often something was called.
final class Counted: Sendable {
    private let count = Mutex(0)

    var value: Int { self.count.withLock { $0 } }

    func increment() { self.count.withLock { $0 += 1 } }
}
