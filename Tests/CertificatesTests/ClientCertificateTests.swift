import Certificates
import FoundationEssentials
import Logging
import NIOCore
import NIOSSL
import SwiftASN1
import TestServers
import Testing
import X509

@Suite("Certificates of clients", .timeLimit(.minutes(3)))
struct ClientCertificateTests {
    private static let id = "08e7e385-15be-41f3-a373-7d370f8c8c93"

    private static func with(
        _ bench: TLSBench, _ body: (TLSBench) async throws -> Void
    ) async throws {
        try await body(bench)
        try await bench.close()
    }

    private static var nobody: TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        return configuration
    }

    @Test("A good certificate is let in over both versions, also with the OCF use alone or with that of clients")
    func good() async throws {
        try await Self.with(try await TLSBench()) { (bench: TLSBench) async throws in
            for usages: [ExtendedKeyUsage.Usage] in [
                [.serverAuth, .clientAuth, TestAuthority.Wish.identity], [TestAuthority.Wish.identity], [.clientAuth],
            ] {
                var client = try bench.authority.issue { $0.usages = usages }.client()
                #expect(try await bench.greeting(client) == Self.id)
                client.maximumTLSVersion = .tlsv12
                #expect(try await bench.greeting(client) == Self.id)
            }
            let below = try bench.authority.subordinate("one").subordinate("two")
            #expect(try await bench.greeting(below.issue().client()) == Self.id)
        }
    }

    @Test("Off takes no certificate, optional takes it or leaves it, required takes nothing else")
    func verification() async throws {
        let stranger = try TestAuthority("stranger")
        try await Self.with(try await TLSBench(clients: .off)) { (bench: TLSBench) async throws in
            #expect(try await bench.greeting(Self.nobody) == "-")
            #expect(try await bench.greeting(stranger.issue().client()) == "-")
        }
        try await Self.with(try await TLSBench(clients: .optional)) { (bench: TLSBench) async throws in
            #expect(try await bench.greeting(Self.nobody) == "-")
            #expect(try await bench.greeting(bench.authority.issue().client()) == Self.id)
            #expect(try await bench.greeting(stranger.issue().client()) == nil)
        }
        try await Self.with(try await TLSBench(clients: .required)) { (bench: TLSBench) async throws in
            #expect(try await bench.greeting(Self.nobody) == nil)
            #expect(try await bench.greeting(bench.authority.issue().client()) == Self.id)
        }
    }

    @Test("BI-45: what has expired, is not yet good, is for another use or by another authority is refused")
    func bad() async throws {
        try await Self.with(try await TLSBench()) { (bench: TLSBench) async throws in
            let wishes: [(String, (inout TestAuthority.Wish) -> Void)] = [
                ("expired", { $0.until = -60 }), ("not yet", { $0.from = 1800 }),
                ("server only", { $0.usages = [.serverAuth] }), ("code", { $0.usages = [.codeSigning] }),
                ("any", { $0.usages = [.any] }), ("no use", { $0.usages = nil }),
                ("authority", { $0.isAuthority = true }),
            ]
            for (what, wish) in wishes {
                #expect(try await bench.greeting(bench.authority.issue(wish).client()) == nil, "\(what)")
            }
            // Another authority of the same name.
            #expect(try await bench.greeting(TestAuthority("authority").issue().client()) == nil)
            // A client's certificate that signs another.
            let leaf = try bench.authority.issue()
            let key = leaf.key
            var forged = try bench.authority.issue()
            forged.chain =
                [
                    try Certificate(
                        version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: forged.key.publicKey,
                        notValidBefore: Date(timeIntervalSinceNow: -60), notValidAfter: Date(timeIntervalSinceNow: 60),
                        issuer: leaf.chain[0].subject, subject: leaf.chain[0].subject,
                        signatureAlgorithm: .ecdsaWithSHA256,
                        extensions: try Certificate.Extensions { try ExtendedKeyUsage([.clientAuth]) },
                        issuerPrivateKey: key)
                ] + leaf.chain
            #expect(try await bench.greeting(forged.client()) == nil)
            #expect(bench.log.lines.contains { $0.level == .debug && $0.text.contains("neither an OCF identity") })
            // None of that has hurt those that are good.
            #expect(try await bench.greeting(leaf.client()) == Self.id)
        }
    }

    @Test("BI-45: a chain of 8 certificates and one of 100 KB are refused")
    func large() async throws {
        try await Self.with(try await TLSBench()) { (bench: TLSBench) async throws in
            var below = bench.authority
            for index in 0..<7 { below = try below.subordinate("level \(index)") }
            #expect(try await bench.greeting(below.issue().client()) == nil)
            #expect(bench.log.lines.contains { $0.text.contains("it came with 8 certificates") })
            #expect(try await bench.greeting(bench.authority.issue { $0.padding = 20_000 }.client()) == nil)
            #expect(bench.log.lines.contains { $0.text.contains("larger than 16384 bytes") })
            #expect(try await bench.greeting(bench.authority.issue { $0.padding = 100_000 }.client()) == nil)
            #expect(try await bench.greeting(bench.authority.issue { $0.padding = 8000 }.client()) == Self.id)
        }
    }

    @Test("BI-45: SHA-1 and an RSA key of 1024 bits are refused, one of 2048 bits is not")
    func weak() async throws {
        try await Self.with(try await TLSBench()) { (bench: TLSBench) async throws in
            let path = bench.folder.path
            try Data(bench.authority.key.serializeAsPEM().pemString.utf8)
                .write(to: URL(fileURLWithPath: "\(path)/ca.key"))
            try "extendedKeyUsage=clientAuth\n".write(toFile: "\(path)/ext", atomically: true, encoding: .utf8)
            for (bits, hash, isGood) in [(2048, "sha256", true), (2048, "sha1", false), (1024, "sha256", false)] {
                let made = try await Subprocess.run([
                    "/bin/sh", "-ec",
                    """
                    openssl req -newkey rsa:\(bits) -nodes -keyout \(path)/c.key -subj /CN=uuid:\(Self.id) \
                      -out \(path)/c.csr
                    openssl x509 -req -in \(path)/c.csr -CA \(path)/ca.pem -CAkey \(path)/ca.key -CAcreateserial \
                      -days 1 -\(hash) -extfile \(path)/ext -out \(path)/c.pem
                    """,
                ])
                try #require(made.status == 0, "\(made.errors)")
                var client = Self.nobody
                client.certificateChain = try NIOSSLCertificate.fromPEMFile("\(path)/c.pem").map { .certificate($0) }
                client.privateKey = .privateKey(try NIOSSLPrivateKey(file: "\(path)/c.key", format: .pem))
                #expect(try await bench.greeting(client) == (isGood ? Self.id : nil), "\(bits) \(hash)")
            }
            #expect(bench.log.lines.count { $0.text.contains("certificate is refused") } == 2)
        }
    }

    @Test("BI-49: a common name that is not exactly a UUID gives no id, whatever is in it")
    func commonNames() async throws {
        try await Self.with(try await TLSBench()) { (bench: TLSBench) async throws in
            let names: [String?] = [
                "uuid:#", "uuid:+", "uuid:\(Self.id)/x", "uuid:\(Self.id)\r\nX: y", "uuid:\(Self.id)\0", "\0", "😀",
                "uuid:08e7e385-15be-41f3-a373-7d370f8c8c9😀", "uuid:", "", "UUID:\(Self.id)", " uuid:\(Self.id)",
                "uuid:08e7e38515be41f3a3737d370f8c8c93", "uuid:08e7e385-15be-41f3-a373-7d370f8c8c9g",
                "uuid:08e7e385-15be-41f3-a373-7d370f8c8c9e\u{301}", nil,
            ]
            for name in names {
                let greeting = try await bench.greeting(bench.authority.issue { $0.commonName = name }.client())
                #expect(greeting == "-", "\(name?.debugDescription ?? "none")")
            }
            let upper = try bench.authority.issue { $0.commonName = "uuid:\(Self.id.uppercased())" }
            #expect(try await bench.greeting(upper.client()) == Self.id)
        }
    }

    @Test("BI-49: two common names, and one that is no text, give no id")
    func oddNames() async throws {
        try await Self.with(try await TLSBench()) { (bench: TLSBench) async throws in
            let twice = try DistinguishedName {
                CommonName("uuid:\(Self.id)")
                CommonName("uuid:18e7e385-15be-41f3-a373-7d370f8c8c93")
            }
            let bytes = DistinguishedName([
                RelativeDistinguishedName(
                    .init(
                        type: .RDNAttributeType.commonName,
                        value: try ASN1Any(erasing: ASN1OctetString(contentBytes: [0xFF, 0, 10]))))
            ])
            for subject in [twice, bytes] {
                var identity = try bench.authority.issue()
                identity.chain[0] = try bench.authority.certificate(
                    .init(), subject: subject, key: identity.key.publicKey)
                #expect(try await bench.greeting(identity.client()) == "-")
            }
        }
    }

    @Test("C-90: TLS 1.2 with only ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 and no ALPN is accepted")
    func device() async throws {
        try await Self.with(try await TLSBench(clients: .off, protocols: ["coap"])) { (bench: TLSBench) async throws in
            func shake(_ arguments: String...) async throws -> Subprocess.Ended {
                try await Subprocess.run(
                    [
                        "/usr/bin/openssl", "s_client", "-connect", "127.0.0.1:\(bench.port)", "-CAfile",
                        bench.files.authorities[0], "-verify_return_error",
                    ] + arguments)
            }
            let device = try await shake(
                "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-groups", "P-256:P-384")
            #expect(device.output.contains("TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"), "\(device.errors)")
            #expect(device.output.contains("No ALPN negotiated"))
            #expect(device.output.contains("Verify return code: 0 (ok)"))
            #expect(try await shake("-alpn", "h2,coap").output.contains("ALPN protocol: coap"))
            #expect(try await shake("-tls1_3", "-groups", "P-384").output.contains("TLSv1.3, Cipher is TLS_"))
            #expect(try await shake("-tls1_3", "-groups", "X25519").output.contains("TLSv1.3, Cipher is TLS_"))
            for refused in [
                ["-tls1_1"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
                ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
            ] {
                let ended = try await Subprocess.run(
                    ["/usr/bin/openssl", "s_client", "-connect", "127.0.0.1:\(bench.port)"] + refused)
                #expect(ended.output.contains("Cipher is (NONE)"), "\(refused)")
            }
        }
    }
}
