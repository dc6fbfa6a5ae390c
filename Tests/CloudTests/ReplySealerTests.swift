import Testing

@testable import Cloud

@Suite("Sealed replies")
struct ReplySealerTests {
    private let family = FamilyID(stored: "0123456789abcdef0123456789abcdef")

    private func key(_ character: Character) throws -> Secret {
        try #require(Secret(String(repeating: character, count: 32)))
    }

    private func pair() throws -> ReplySealer.Pair {
        ReplySealer.Pair(
            accessToken: Secret(random: SystemRandomSource()),
            refreshToken: Secret(random: SystemRandomSource()),
            accessExpiresAt: Timestamp(milliseconds: 1_700_000_000_123),
        )
    }

    @Test("What was sealed opens again, also without an expiry, and shows nothing of the tokens")
    func roundTrip() throws {
        let sealer = try ReplySealer(keys: [self.key("a")])
        var pair = try self.pair()
        let sealed = try sealer.seal(pair, family: self.family, generation: 3)
        #expect(sealer.open(sealed, family: self.family, generation: 3) == pair)
        #expect(!String(decoding: sealed, as: UTF8.self).contains(pair.accessToken.reveal()))
        #expect(try sealer.seal(pair, family: self.family, generation: 3) != sealed)
        pair.accessExpiresAt = nil
        let permanent = try sealer.seal(pair, family: self.family, generation: 3)
        #expect(sealer.open(permanent, family: self.family, generation: 3) == pair)
    }

    @Test("A reply opens only for its own family and generation, and only whole")
    func bound() throws {
        let sealer = try ReplySealer(keys: [self.key("a")])
        let sealed = try sealer.seal(self.pair(), family: self.family, generation: 3)
        #expect(sealer.open(sealed, family: self.family, generation: 4) == nil)
        #expect(sealer.open(sealed, family: FamilyID(stored: "other"), generation: 3) == nil)
        for index in sealed.indices {
            var broken = sealed
            broken[index] ^= 1
            #expect(sealer.open(broken, family: self.family, generation: 3) == nil)
        }
        for count in 0..<sealed.count {
            #expect(sealer.open(Array(sealed.prefix(count)), family: self.family, generation: 3) == nil)
        }
    }

    @Test("Rotation: the first key seals, both open, a dropped one does not")
    func rotation() throws {
        let old = try ReplySealer(keys: [self.key("a")])
        let rotating = try ReplySealer(keys: [self.key("b"), self.key("a")])
        let new = try ReplySealer(keys: [self.key("b")])
        let pair = try self.pair()
        let before = try old.seal(pair, family: self.family, generation: 1)
        #expect(rotating.open(before, family: self.family, generation: 1) == pair)
        #expect(new.open(before, family: self.family, generation: 1) == nil)
        let after = try rotating.seal(pair, family: self.family, generation: 1)
        #expect(new.open(after, family: self.family, generation: 1) == pair)
    }

    @Test("No key, three keys and a short key are refused by name")
    func badKeys() throws {
        let good = try self.key("a")
        let short = try #require(Secret(String(repeating: "a", count: 31)))
        for keys in [[], [good, good, good], [short], [good, short]] {
            let error = #expect(throws: CloudError.self) { try ReplySealer(keys: keys) }
            #expect(error?.field == "TOKEN_SEAL_KEY")
        }
    }
}
