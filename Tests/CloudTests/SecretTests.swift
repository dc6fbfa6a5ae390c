import Synchronization
import Testing

@testable import Cloud

@Suite("Secrets")
struct SecretTests {
    /// Gives the arrays it was built with, then zeros.
    private final class ScriptedRandom: RandomSource {
        private let answers: Mutex<[[UInt8]]>

        init(_ answers: [[UInt8]]) {
            self.answers = Mutex(answers)
        }

        func bytes(_ count: Int) -> [UInt8] {
            self.answers.withLock { $0.isEmpty ? [UInt8](repeating: 0, count: count) : $0.removeFirst() }
        }
    }

    @Test("RFC 4648 §5: a token is 44 characters of base64url over 32 bytes")
    func form() {
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")
        for _ in 0..<500 {
            let text = Secret(random: SystemRandomSource()).reveal()
            #expect(text.count == 44)
            #expect(text.allSatisfy { allowed.contains($0) })
            #expect(!text.hasPrefix("-"))
        }
    }

    @Test("RFC 4648 §10: base64url of the vectors")
    func vectors() {
        let vectors = ["": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "foobar": "Zm9vYmFy"]
        for (plain, encoded) in vectors {
            #expect(base64URL(Array(plain.utf8)) == encoded)
        }
        #expect(base64URL([0xFB, 0xEF, 0xFF]) == "--__")
    }

    @Test("A token that would begin with '-' is drawn again")
    func neverAFlag() {
        let dash = [0xF8] + [UInt8](repeating: 1, count: 31)
        let good = [UInt8](repeating: 7, count: 32)
        #expect(Secret(random: ScriptedRandom([dash, dash, good])).reveal() == base64URL(good))
    }

    @Test("A peer's secret has 1 to 512 bytes, whatever they are")
    func bounds() {
        #expect(Secret("") == nil)
        #expect(Secret("x")?.reveal() == "x")
        #expect(Secret(String(repeating: "x", count: 512)) != nil)
        #expect(Secret(String(repeating: "x", count: 513)) == nil)
        #expect(Secret(String(repeating: "é", count: 257)) == nil)
        #expect(Secret("'; --\u{0}\r\n") != nil)
    }

    @Test("BI-82: whatever prints a secret prints a short hash of it")
    func unprintable() throws {
        let secret = try #require(Secret("hunter2-hunter2"))
        let short = "secret:" + secret.hash.short
        #expect(secret.description == short)
        #expect(secret.debugDescription == short)
        #expect("\(secret)" == short)
        #expect(String(reflecting: secret) == short)
        var dumped = ""
        dump(secret, to: &dumped)
        let uid = try UserID("u")
        let credentials = Credentials(accessToken: secret, refreshToken: secret, expiresIn: 1, uid: uid)
        dump(credentials, to: &dumped)
        dumped += "\(credentials) \(String(reflecting: credentials)) \(Optional(secret) as Any)"
        #expect(!dumped.contains("hunter2"))
        #expect(dumped.contains(short))
    }

    @Test("FIPS 180-4: the hash is SHA-256 of the text")
    func hash() throws {
        let hash = try #require(Secret("abc")).hash
        #expect(
            hash.bytes.hexadecimal == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(hash.short == "ba7816bf")
        #expect(SecretHash(bytes: hash.bytes) == hash)
        #expect(SecretHash(bytes: Array(hash.bytes.dropLast())) == nil)
        var other = hash.bytes
        other[31] ^= 1
        #expect(SecretHash(bytes: other) != hash)
        #expect(Secret("abc") == Secret("abc"))
        #expect(Secret("abc") != Secret("abd"))
    }
}
