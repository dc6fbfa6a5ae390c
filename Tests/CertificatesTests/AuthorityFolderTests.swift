import FoundationEssentials
import Glibc
import TestServers
import Testing

@testable import Certificates

@Suite("Our own authority", .timeLimit(.minutes(2)))
struct AuthorityFolderTests {
    private static let di = "08e7e385-15be-41f3-a373-7d370f8c8c93"
    private static let sid = "1d1d1d1d-0000-4000-8000-000000000001"

    private static func openssl(_ arguments: String...) async throws -> Subprocess.Ended {
        try await Subprocess.run(["/usr/bin/openssl"] + arguments)
    }

    private static func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? Int)
    }

    @Test("A device's certificate has the subject, the uses and the chain that OpenSSL and OCF expect")
    func device() async throws {
        let folder = TestFolder()
        let authority = try AuthorityFolder(creating: folder.path, name: "Test authority")
        let files = try authority.issue(.device(Self.di.uppercased()), days: 30)
        let verified = try await Self.openssl(
            "verify", "-x509_strict", "-CAfile", authority.certificateFile, files.certificate)
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
        let text = try await Self.openssl("x509", "-in", files.certificate, "-noout", "-text").output
        #expect(text.contains("Subject: CN = uuid:\(Self.di)") || text.contains("Subject: CN=uuid:\(Self.di)"))
        #expect(text.contains("1.3.6.1.4.1.44924.1.6"))
        #expect(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"))
        #expect(text.contains("X509v3 Key Usage: critical\n                Digital Signature, Key Agreement"))
        #expect(text.contains("ecdsa-with-SHA256"))
        #expect(try Self.mode(files.key) == 0o600)
        #expect(try Self.mode("\(folder.path)/ca-key.pem") == 0o600)
        let key = try await Self.openssl("pkey", "-in", files.key, "-noout", "-check")
        #expect(key.status == 0, "\(key.errors)")
    }

    @Test("A cloud's certificate has its names and addresses, a service's has its name")
    func hosts() async throws {
        let folder = TestFolder()
        let authority = try AuthorityFolder(creating: folder.path, name: "Test authority")
        let cloud = try authority.issue(
            .cloud(Self.sid, hosts: ["cloud.example", "192.0.2.7", "2001:db8::7"]), days: 30)
        for arguments in [
            ["-verify_hostname", "cloud.example"], ["-verify_ip", "192.0.2.7"], ["-verify_ip", "2001:db8::7"],
        ] {
            let verified = try await Subprocess.run(
                ["/usr/bin/openssl", "verify", "-CAfile", authority.certificateFile] + arguments + [cloud.certificate])
            #expect(verified.status == 0, "\(arguments) \(verified.errors)")
        }
        let service = try authority.issue(.service("registry", hosts: ["registry.cloud.svc"]), days: 30)
        let verified = try await Self.openssl(
            "verify", "-CAfile", authority.certificateFile, "-verify_hostname", "registry", "-purpose", "sslserver",
            service.certificate)
        #expect(verified.status == 0, "\(verified.errors)")
        let text = try await Self.openssl("x509", "-in", service.certificate, "-noout", "-text").output
        #expect(!text.contains("44924"))
        #expect(text.contains("DNS:registry.cloud.svc"))
    }

    @Test("BI-46: what was revoked is in a list that OpenSSL takes, and nothing else is")
    func revoke() async throws {
        let folder = TestFolder()
        let authority = try AuthorityFolder(creating: folder.path, name: "Test authority")
        let bad = try authority.issue(.device(Self.di), days: 30)
        let good = try authority.issue(.cloud(Self.sid, hosts: []), days: 30)
        func check(_ file: String) async throws -> Int32 {
            try await Self.openssl(
                "verify", "-crl_check", "-CAfile", authority.certificateFile, "-CRLfile", authority.revocationsFile,
                file
            ).status
        }
        #expect(try await check(bad.certificate) == 0)
        let revoked = try authority.revoke(.certificate(bad.certificate))
        #expect(revoked.map(\.serial) == [bad.serial])
        #expect(try await check(bad.certificate) != 0)
        #expect(try await check(good.certificate) == 0)
        let list = try await Self.openssl(
            "crl", "-in", authority.revocationsFile, "-noout", "-text", "-CAfile", authority.certificateFile)
        #expect(list.errors.contains("verify OK"), "\(list.errors)")
        #expect(list.output.contains("Version 2"))
        #expect(list.output.contains("X509v3 CRL Number"))
        // Again: nothing new, and no error.
        #expect(try authority.revoke(.device(Self.di.uppercased())).isEmpty)
        #expect(try authority.revoke(.serial("0x\(good.serial.uppercased())")).map(\.serial) == [good.serial])
        #expect(try authority.issued().allSatisfy { $0.revokedAt != nil })
    }

    @Test("A list of what was revoked is dated by GeneralizedTime from 2050 on")
    func farFuture() async throws {
        let folder = TestFolder()
        // 2049-12-01.
        let now: Int64 = 2_521_929_600
        let authority = try AuthorityFolder(creating: folder.path, name: "Test authority", now: now)
        #expect(try CertificateFiles.read(authority.revocationsFile).count > 100)
        let list = try await Self.openssl(
            "crl", "-in", authority.revocationsFile, "-noout", "-lastupdate", "-nextupdate")
        #expect(list.output.contains("lastUpdate=Dec  1 00:00:00 2049 GMT"), "\(list.output)")
        #expect(list.output.contains("nextUpdate=Mar  1 00:00:00 2050 GMT"), "\(list.output)")
    }

    @Test("Every mistake is named and changes nothing")
    func mistakes() throws {
        let folder = TestFolder()
        func reason(_ body: () throws -> Void) -> String {
            let error = #expect(throws: CertificateError.self) { try body() }
            return error?.description ?? ""
        }
        #expect(reason { _ = try AuthorityFolder(opening: folder.path) }.contains("registry ca init"))
        let authority = try AuthorityFolder(creating: folder.path, name: "Test authority")
        let before = try CertificateFiles.read(authority.certificateFile)
        #expect(
            reason { _ = try AuthorityFolder(creating: folder.path, name: "Another") }.contains("an authority already"))
        #expect(try CertificateFiles.read(authority.certificateFile) == before)
        for di in [
            "", "light", "08e7e385-15be-41f3-a373-7d370f8c8c9", "../../x", "08e7e385/15be-41f3-a373-7d370f8c8c93",
        ] {
            #expect(reason { _ = try authority.issue(.device(di), days: 1) }.contains("UUID"))
        }
        for host in ["", "a b", "-a", "a..b", "a\tb", "*"] {
            #expect(reason { _ = try authority.issue(.cloud("sid", hosts: [host]), days: 1) }.contains("host"))
        }
        #expect(reason { _ = try authority.issue(.service("../x", hosts: []), days: 1) }.contains("host name"))
        #expect(reason { _ = try authority.issue(.cloud("a\tb", hosts: []), days: 1) }.contains("letters"))
        #expect(reason { _ = try authority.issue(.device(Self.di), days: 0) }.contains("days"))
        #expect(reason { _ = try authority.revoke(.serial("xyz")) }.contains("hexadecimal"))
        #expect(reason { _ = try authority.revoke(.serial("01")) }.contains("no such certificate"))
        #expect(try authority.issued().isEmpty)
        let files = try authority.issue(.device(Self.di), days: 1)
        #expect(reason { _ = try authority.issue(.device(Self.di), days: 1) }.contains("there already"))
        #expect(try authority.issue(.device(Self.di), days: 1, replacing: true).certificate == files.certificate)
        let other = TestFolder()
        let stranger = try AuthorityFolder(creating: other.path, name: "Test authority")
        #expect(reason { _ = try stranger.revoke(.certificate(files.certificate)) }.contains("not issued by"))
        // An authority with the key of another.
        try CertificateFiles.write(
            try CertificateFiles.read("\(other.path)/ca-key.pem"), to: "\(folder.path)/ca-key.pem", mode: 0o600)
        #expect(reason { _ = try AuthorityFolder(opening: folder.path) }.contains("does not belong"))
    }

    @Test("Many at a time lose nothing")
    func together() async throws {
        let folder = TestFolder()
        let authority = try AuthorityFolder(creating: folder.path, name: "Test authority")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<20 {
                group.addTask { _ = try authority.issue(.service("service-\(index)", hosts: []), days: 1) }
            }
            try await group.waitForAll()
        }
        #expect(Set(try authority.issued().map(\.name)).count == 20)
    }

    @Test("An authority that was stopped after its key is made with that key; one without its certificate is not")
    func halfMade() throws {
        let folder = TestFolder()
        let (path, other) = ("\(folder.path)/stopped", "\(folder.path)/lost")
        let whole = try AuthorityFolder(creating: other, name: "Test authority")
        try CertificateFiles.createFolder(path)
        let key = try CertificateFiles.read("\(other)/ca-key.pem")
        try CertificateFiles.write(key, to: "\(path)/ca-key.pem", mode: 0o600)
        #expect(try DevelopmentAuthority.prepare(in: path, sid: Self.sid, hostNames: []).madeAuthority)
        #expect(try CertificateFiles.read("\(path)/ca-key.pem") == key)
        #expect(try Self.mode("\(path)/ca-key.pem") == 0o600)
        #expect(try !DevelopmentAuthority.prepare(in: path, sid: Self.sid, hostNames: []).madeAuthority)
        // What has signed certificates is not begun anew.
        try FileManager.default.removeItem(atPath: whole.certificateFile)
        #expect(throws: CertificateError.self) {
            try DevelopmentAuthority.prepare(in: other, sid: Self.sid, hostNames: [])
        }
        #expect(!CertificateFiles.exists(whole.certificateFile))
    }

    @Test("A development authority is made once; its certificate is renewed when needed and only then")
    func development() async throws {
        let folder = TestFolder()
        let path = "\(folder.path)/new/tls"
        let first = try DevelopmentAuthority.prepare(in: path, sid: Self.sid, hostNames: ["box.example", "not a host"])
        #expect(first.madeAuthority && first.madeCertificate)
        for arguments in [
            ["-verify_hostname", "localhost"], ["-verify_hostname", "box.example"], ["-verify_ip", "::1"],
        ] {
            let verified = try await Subprocess.run(
                ["/usr/bin/openssl", "verify", "-CAfile", first.authority] + arguments + [first.certificate])
            #expect(verified.status == 0, "\(arguments) \(verified.errors)")
        }
        let authority = try CertificateFiles.read(first.authority)
        let second = try DevelopmentAuthority.prepare(in: path, sid: Self.sid, hostNames: ["box.example"])
        #expect(!second.madeAuthority && !second.madeCertificate)
        #expect(try DevelopmentAuthority.prepare(in: path, sid: Self.sid, hostNames: ["new.example"]).madeCertificate)
        let otherID = "2d1d1d1d-0000-4000-8000-000000000001"
        #expect(try DevelopmentAuthority.prepare(in: path, sid: otherID, hostNames: ["new.example"]).madeCertificate)
        let late = AuthorityFolder.clock() + 340 * 86_400
        #expect(
            try DevelopmentAuthority.prepare(in: path, sid: otherID, hostNames: ["new.example"], now: late)
                .madeCertificate)
        #expect(try CertificateFiles.read(first.authority) == authority)
        // One that cannot be read is left alone.
        try CertificateFiles.write("-----BEGIN".utf8, to: first.authority, mode: 0o644)
        #expect(throws: CertificateError.self) {
            try DevelopmentAuthority.prepare(in: path, sid: Self.sid, hostNames: [])
        }
        #expect(try CertificateFiles.read(first.authority) == Array("-----BEGIN".utf8))
    }
}
