import Cloud
import Testing

@testable import RegistryReach

@Suite("The cache of identities: what it may keep, and for how long")
struct IdentityCacheTests {
    private let clock = TestClock()

    private func keep(_ known: Recognition, in cache: IdentityCache) throws -> SecretHash {
        let hash = try Known.token().hash
        cache.keep(known, for: hash, asked: self.clock.read())
        return hash
    }

    @Test("An entry lives for 60 s, or as long as the token does, by the monotonic clock; its rest is counted down")
    func lifetime() throws {
        let cache = IdentityCache.following(self.clock)
        let long = try self.keep(Known.recognition(), in: cache)
        self.clock.advance(.seconds(59))
        #expect(cache.find(long)?.remaining == .seconds(5941))
        self.clock.advance(.seconds(1))
        #expect(cache.find(long) == nil)
        let short = try self.keep(Known.recognition(remaining: .seconds(3)), in: cache)
        self.clock.advance(.milliseconds(2999))
        #expect(cache.find(short)?.remaining == .milliseconds(1))
        self.clock.advance(.milliseconds(1))
        #expect(cache.find(short) == nil)
        let permanent = try self.keep(Known.recognition(remaining: nil), in: cache)
        #expect(cache.find(permanent)?.remaining == nil)
        #expect(cache.find(permanent) != nil)
    }

    @Test("A later change of the user, device, client, mediator or family ends the entry; an earlier one does not")
    func revocation() throws {
        for (kind, change, ends) in [
            (Principal.Kind.device, Known.change(11, .user, "alice"), true),
            (.device, Known.change(11, .device, "lamp"), true), (.client, Known.change(11, .client, "lamp"), true),
            (.device, Known.change(11, .family, "f-1"), true), (.mediator, Known.change(11, .mediator, "alice"), true),
            (.mediator, Known.change(11, .user, "alice"), true), (.user, Known.change(11, .mediator, "alice"), false),
            (.device, Known.change(11, .mediator, "alice"), false), (.device, Known.change(11, .user, "bob"), false),
            (.device, Known.change(11, .family, "f-2"), false), (.user, Known.change(11, .device, "lamp"), false),
        ] {
            let cache = IdentityCache.following(self.clock)
            let hash = try self.keep(Known.recognition(kind: kind), in: cache)
            cache.apply(change)
            #expect((cache.find(hash) == nil) == ends, "\(kind) \(change)")
            // Read after the change: the same subject with a new right.
            cache.keep(Known.recognition(sequence: 11, kind: kind), for: hash, asked: self.clock.read())
            #expect(cache.find(hash) != nil)
        }
    }

    @Test("Once a later token of a family was used, the one before it is the registry's to judge")
    func laterToken() throws {
        let cache = IdentityCache.following(self.clock)
        let old = try Known.token("the-token-that-was-used-before-it").hash
        let new = try Known.token("the-token-that-was-used-behind-it").hash
        let known = Known.recognition()
        let other = try self.keep(Known.recognition(kind: .user), in: cache)
        cache.keep(known, for: old, asked: self.clock.read())
        #expect(cache.adopt(known.cached, for: old) != nil)
        cache.keep(known, for: new, asked: self.clock.read())
        #expect(cache.find(old) == nil)
        // As another program still keeps it for all.
        #expect(cache.adopt(known.cached, for: old) == nil)
        #expect(cache.find(new) != nil)
        #expect(cache.find(other) != nil)
        #expect(cache.count == 2)
    }

    @Test("A change between the registry's read and the insertion keeps the entry out")
    func race() throws {
        let cache = IdentityCache.following(self.clock)
        cache.apply(Known.change(11, .family, "f-1"))
        let hash = try self.keep(Known.recognition(sequence: 10), in: cache)
        #expect(cache.find(hash) == nil)
        #expect(!cache.stands(Known.recognition(sequence: 10)))
        #expect(cache.stands(Known.recognition(sequence: 11)))
    }

    @Test("After a store was restored, what others kept under its sequences of before is not taken over")
    func restored() throws {
        let cache = IdentityCache.following(self.clock)
        let hash = try Known.token().hash
        cache.begin(at: 4, reusedUpTo: 20)
        cache.apply(Known.change(5, .family, "f-1"))
        #expect(cache.adopt(Known.recognition(sequence: 20).cached, for: hash) == nil)
        // The registry itself is asked, and kept.
        cache.keep(Known.recognition(sequence: 5), for: hash, asked: self.clock.read())
        #expect(cache.find(hash) != nil)
        #expect(cache.adopt(Known.recognition(sequence: 21).cached, for: hash) != nil)
    }

    @Test("What was read before the oldest change that is remembered is refused: a change may name it")
    func floor() throws {
        let cache = IdentityCache.following(self.clock, rememberedChanges: 3)
        let hash = try self.keep(Known.recognition(sequence: 10), in: cache)
        for sequence in 11...13 { cache.apply(Known.change(Int64(sequence), .user, "other-\(sequence)")) }
        #expect(cache.find(hash) != nil)
        cache.apply(Known.change(14, .user, "other-14"))
        #expect(cache.find(hash) == nil)
        #expect(IdentityCache.following(self.clock, from: 11).adopt(Known.recognition().cached, for: hash) == nil)
    }

    @Test("Nobody is admitted before the changes are followed, nor 10 min after the last word of a registry")
    func outage() throws {
        let fresh = IdentityCache(clock: self.clock.read)
        let hash = try self.keep(Known.recognition(remaining: nil), in: fresh)
        #expect(fresh.find(hash) == nil)
        #expect(fresh.adopt(Known.recognition(remaining: nil).cached, for: hash) == nil)

        let cache = IdentityCache.following(self.clock)
        self.clock.advance(.seconds(599))
        #expect(cache.adopt(Known.recognition().cached, for: hash)?.remaining == .seconds(5401))
        self.clock.advance(.seconds(1))
        #expect(cache.find(hash) == nil)
        #expect(!cache.isAdmitting)
        cache.heard(registryTime: Known.time + .seconds(600))
        #expect(cache.find(hash) != nil)
    }

    @Test("The rest of a shared entry is counted by the registry's clock, not by this machine's")
    func sharedRest() throws {
        let cache = IdentityCache.following(self.clock)
        let hash = try Known.token().hash
        self.clock.advance(.seconds(10))
        #expect(cache.adopt(Known.recognition(remaining: .seconds(40)).cached, for: hash)?.remaining == .seconds(30))
        #expect(cache.adopt(Known.recognition(remaining: .seconds(10)).cached, for: hash) == nil)
    }

    @Test("A gap drops everything, and the entry used longest ago gives way")
    func bounds() throws {
        let cache = IdentityCache.following(self.clock, capacity: 2)
        let hashes = try ["1", "2", "3"].map { try Known.token($0).hash }
        func keep(_ number: Int) {
            let known = Known.recognition(family: FamilyID(stored: "f-\(number)"))
            cache.keep(known, for: hashes[number], asked: self.clock.read())
        }
        keep(0)
        keep(1)
        #expect(cache.find(hashes[0]) != nil)
        keep(2)
        #expect(hashes.map { cache.find($0) != nil } == [true, false, true])
        #expect(cache.count == 2)
        cache.begin(at: 10)
        #expect(cache.count == 0)
    }
}
