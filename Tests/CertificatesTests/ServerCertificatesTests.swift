import FoundationEssentials
import Logging
import NIOCore
import NIOSSL
import SwiftASN1
import Testing
import X509

@testable import Certificates

@Suite("Certificates of a listener", .timeLimit(.minutes(3)))
struct ServerCertificatesTests {
    private static let id = "08e7e385-15be-41f3-a373-7d370f8c8c93"

    @Test("A file that is not there, is empty or does not fit is named at the start")
    func missing() async throws {
        let bench = try await TLSBench()
        let path = bench.folder.path
        try "".write(toFile: "\(path)/empty", atomically: true, encoding: .utf8)
        try FileManager.default.createDirectory(atPath: "\(path)/folder", withIntermediateDirectories: true)
        try bench.authority.issue().write(to: "\(path)/other.pem", key: "\(path)/other.key")
        let good = bench.files
        var cases: [(ServerCertificates.Files, String)] = []
        for bad in ["/nowhere", "\(path)/empty", "\(path)/folder", good.key] {
            cases.append((.init(certificate: bad, key: good.key), bad))
        }
        for bad in ["/nowhere", "\(path)/empty", "\(path)/folder", "\(path)/other.key", good.certificate] {
            cases.append((.init(certificate: good.certificate, key: bad), bad))
        }
        for bad in ["/nowhere", "\(path)/empty", "\(path)/folder", good.key] {
            cases.append((.init(certificate: good.certificate, key: good.key, authorities: [bad]), bad))
        }
        cases.append((.init(certificate: good.certificate, key: good.key), ""))
        for bad in ["/nowhere", "\(path)/empty", good.certificate] {
            var files = good
            files.revocations = [bad]
            cases.append((files, bad))
        }
        for (files, bad) in cases {
            let error = #expect(throws: Certificates.CertificateError.self) {
                try ServerCertificates(files: files, clients: .required, logger: bench.log.logger)
            }
            #expect(error?.path.contains(bad) == true, "\(bad) \(error?.description ?? "")")
        }
        try await bench.close()
    }

    @Test("The common name and the end of our certificate can be read, and change with it")
    func readable() async throws {
        let bench = try await TLSBench()
        #expect(bench.certificates.commonName == TLSBench.ownName)
        #expect(abs(bench.certificates.notAfter - AuthorityFolder.clock() - 3600) < 600)
        try bench.authority.issue {
            $0.commonName = "cloud"
            $0.until = 100_000
        }.write(to: bench.files.certificate, key: bench.files.key)
        bench.certificates.reloadIfChanged()
        #expect(bench.certificates.commonName == "cloud")
        #expect(abs(bench.certificates.notAfter - AuthorityFolder.clock() - 100_000) < 600)
        try await bench.close()
    }

    @Test("A certificate that ends within 30 days is warned of once a day, with the days that are left")
    func expiry() async throws {
        let bench = try await TLSBench()
        let end = bench.certificates.notAfter
        #expect(bench.log.warnings("ends soon") == 1)
        #expect(bench.log.warnings("days=0") == 1)
        #expect(bench.log.warnings("server.pem") == 1)
        var notice = ExpiryNotice(daysAhead: 30)
        #expect(notice.daysLeft(end: end, now: end - 30 * 86_400) == nil)
        #expect(notice.daysLeft(end: end, now: end - 30 * 86_400 + 1) == 29)
        #expect(notice.daysLeft(end: end, now: end - 30 * 86_400 + 2) == nil)
        #expect(notice.daysLeft(end: end, now: end - 28 * 86_400) == 28)
        // Another certificate, which is no better, is another matter.
        #expect(notice.daysLeft(end: end + 1, now: end - 28 * 86_400) == 28)
        #expect(notice.daysLeft(end: end, now: end + 1) == -1)
        bench.certificates.speakOfExpiry(now: end + 200_000)
        #expect(bench.log.warnings("has ended") == 1)
        try await bench.close()
    }

    @Test("BI-47: files half-written, that do not fit each other, or gone leave the old ones, with one warning")
    func unusable() async throws {
        let bench = try await TLSBench()
        let client = try bench.authority.issue().client()
        let (certificate, key) = (bench.files.certificate, bench.files.key)
        let whole = try CertificateFiles.read(certificate)
        let wholeKey = try CertificateFiles.read(key)
        let other = try bench.authority.issue()
        func write(_ bytes: some Sequence<UInt8>, _ path: String) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }
        let authorities = bench.files.authorities[0]
        let cases: [(String, () throws -> Void, String)] = [
            ("half", { try write(whole.prefix(whole.count / 2), certificate) }, "server.pem"),
            ("empty", { try write([], certificate) }, "server.pem"),
            (
                "half a key",
                {
                    try write(whole, certificate); try write(wholeKey.prefix(60), key)
                }, "server.key"
            ),
            ("other key", { try write(other.key.serializeAsPEM().pemString.utf8, key) }, "does not belong"),
            ("no key", { try FileManager.default.removeItem(atPath: key) }, "server.key"),
            (
                "half an authority",
                {
                    try write(wholeKey, key); try write(whole.prefix(30), authorities)
                }, "ca.pem"
            ),
            ("no authority", { try FileManager.default.removeItem(atPath: authorities) }, "ca.pem"),
        ]
        for (what, change, word) in cases {
            let before = bench.log.warnings(word)
            try change()
            bench.certificates.reloadIfChanged()
            bench.certificates.reloadIfChanged()
            #expect(bench.log.warnings(word) > before, "\(what)")
            #expect(bench.log.warnings(word) <= before + 2, "\(what)")
            #expect(try await bench.greeting(client) == Self.id, "\(what)")
            for line in bench.log.lines { #expect(!line.text.contains("PRIVATE KEY")) }
        }
        try bench.authority.write(to: authorities)
        bench.certificates.reloadIfChanged()
        #expect(try await bench.greeting(client) == Self.id)
        try await bench.close()
    }

    @Test("An authority is taken up from a folder and put down again; an empty folder leaves the old ones")
    func folder() async throws {
        let bench = try await TLSBench()
        let folder = "\(bench.folder.path)/authorities"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let (one, two) = (try TestAuthority("one"), try TestAuthority("two"))
        try one.write(to: "\(folder)/one.pem")
        try "no certificate".write(toFile: "\(folder)/README", atomically: true, encoding: .utf8)
        let trusted = try TrustedAuthorities.load([folder])
        #expect(trusted.certificates == [one.certificate])
        let certificates = try ServerCertificates(
            files: .init(certificate: bench.files.certificate, key: bench.files.key, authorities: [folder]),
            clients: .required, logger: bench.log.logger)
        try two.write(to: "\(folder)/two.crt")
        certificates.reloadIfChanged()
        #expect(certificates.authorities?.value.certificates == [one.certificate, two.certificate])
        try FileManager.default.removeItem(atPath: "\(folder)/one.pem")
        certificates.reloadIfChanged()
        #expect(certificates.authorities?.value.certificates == [two.certificate])
        try FileManager.default.removeItem(atPath: "\(folder)/two.crt")
        certificates.reloadIfChanged()
        #expect(certificates.authorities?.value.certificates == [two.certificate])
        #expect(bench.log.warnings("there is no authority") == 1)
        try await bench.close()
    }

    @Test("BI-47: certificate, key and authority change under load and no handshake fails")
    func rotated() async throws {
        let bench = try await TLSBench()
        let files = bench.files
        // One root's certificate follows the other's; both are trusted for the time between.
        let roots = [bench.authority, try TestAuthority("next")]
        try roots.map { try $0.certificate.serializeAsPEM().pemString }.joined(separator: "\n")
            .write(toFile: files.authorities[0], atomically: true, encoding: .utf8)
        bench.certificates.reloadIfChanged()
        let done = Counted()
        let seen = Counted()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<4 {
                let client = try roots[index % 2].issue().client()
                group.addTask { () async throws in
                    while done.value == 0 {
                        #expect(try await bench.greeting(client) == Self.id)
                        seen.increment()
                    }
                }
            }
            var round = 0
            while round < 60 || seen.value < 100 {
                // Not as a whole: first the one, then the other, and in between the half of it.
                let next = try roots[round % 2].issue()
                let text = try next.chain[0].serializeAsPEM().pemString
                try text.prefix(text.count / 2).description.write(
                    toFile: files.certificate, atomically: false, encoding: .utf8)
                bench.certificates.reloadIfChanged()
                try next.write(to: files.certificate, key: files.key)
                bench.certificates.reloadIfChanged()
                try roots.reversed().map { try $0.certificate.serializeAsPEM().pemString }.joined(separator: "\n")
                    .write(toFile: files.authorities[0], atomically: round % 3 == 0, encoding: .utf8)
                bench.certificates.reloadIfChanged()
                round += 1
                await Task.yield()
            }
            done.increment()
            try await group.waitForAll()
        }
        #expect(seen.value >= 100)
        #expect(bench.log.lines.contains { $0.text.contains("the certificate read anew") })
        #expect(bench.log.warnings("the certificate cannot be used as changed") > 0)
        try await bench.close()
    }

    @Test("BI-48: a handshake that a client never goes on with holds up no other")
    func stalled() async throws {
        let bench = try await TLSBench(clients: .off)
        var client = TLSConfiguration.makeClientConfiguration()
        client.certificateVerification = .none
        let idle = try await withThrowingTaskGroup(of: (any Channel).self) { group in
            for _ in 0..<50 { group.addTask { try await TLSBench.plain(port: bench.port, saying: [22, 3, 1]) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(try await bench.greeting(client) == "-")
        for channel in idle { try? await channel.close() }
        try await bench.close()
    }
}
