import CBOR
import Cloud
import CoAP
import OCF
import Synchronization
import TestSupport
import Testing

@testable import RegistryReach

@Suite("The registry behind a memory", .timeLimit(.minutes(1)))
struct CachingRegistryTests {
    private let clock = TestClock()

    /// A registry that knows one token, and counts.
    private func bench(
        _ known: Recognition = Known.recognition(), tokenCache: (any TokenCache)? = nil
    ) -> (ScriptedRegistry, IdentityCache, CachingRegistry) {
        let registry = ScriptedRegistry { Known.answer(known, $0) }
        let cache = IdentityCache.following(self.clock)
        return (registry, cache, CachingRegistry(registry, cache: cache, tokenCache: tokenCache))
    }

    private static let dead: ScriptedRegistry.Rule = { _ in
        var response = Response(.badGateway, diagnostic: "nobody is there")
        response.options.undelivered = .unreachable
        return response
    }

    @Test("The answer from the cache is the registry's, in each form and on each path, with the rest counted down")
    func sameAnswer() async throws {
        let token = try Known.token()
        for path in [OCFPath.session, OCFPath.legacySession] {
            for format in [ContentFormat.ocfCBOR, .cbor, .json] {
                let (registry, _, caching) = self.bench()
                var request = Known.signIn(token, path: path)
                request.options.accept = format
                let first = await caching.respond(to: request)
                self.clock.advance(.seconds(7))
                let second = await caching.respond(to: request)
                #expect(registry.requests.count == 1)
                #expect(first == Known.answer(Known.recognition(), request))
                #expect(second == Known.answer(Known.recognition(remaining: .seconds(5993)), request))
                #expect(second.options.sessionFamily == "f-1")
                #expect(second.options.sessionExpiryMilliseconds == 5_993_000)
                #expect(try second.item()?["expiresin"] == 5993)
            }
        }
        let (registry, _, caching) = self.bench(Known.recognition(kind: .client))
        _ = await caching.respond(to: Known.check(token))
        self.clock.advance(.seconds(3))
        let answer = await caching.respond(to: Known.check(token))
        #expect(registry.requests.count == 1)
        #expect(try answer.item()?["remaining"] == 5_997_000)
        #expect(try answer.item()?["kind"] == "client")
    }

    @Test("Who stands behind a token is recalled once the registry has said it, and until it is taken back")
    func recall() async throws {
        let (registry, cache, caching) = self.bench()
        let token = try Known.token()
        #expect(caching.recall(token) == nil)
        _ = await caching.respond(to: Known.check(token))
        #expect(caching.recall(token) == Known.recognition().principal)
        #expect(caching.recall(try Known.token("another")) == nil)
        #expect(registry.requests.count == 1)
        cache.apply(Known.change(11, .user, "alice"))
        #expect(caching.recall(token) == nil)
    }

    @Test("What it remembers is what it answers without asking: the same sign-in again, until it is forgotten")
    func remembers() async throws {
        let (registry, _, caching) = self.bench()
        let token = try Known.token()
        let request = Known.signIn(token)
        #expect(!caching.remembers(request))
        _ = await caching.respond(to: request)
        #expect(caching.remembers(request))
        #expect(!caching.remembers(Known.signIn(token, di: try DeviceID("another"))))
        #expect(!caching.remembers(Request(.get, path: ["oic", "res"])))
        self.clock.advance(.seconds(61))
        #expect(!caching.remembers(request))
        #expect(registry.requests.count == 1)
    }

    @Test("A sign-in with another uid or di, and what the registry would refuse, goes to the registry")
    func otherClaim() async throws {
        let token = try Known.token()
        let (registry, _, caching) = self.bench()
        #expect(await caching.respond(to: Known.signIn(token)).code == .changed)
        #expect(await caching.respond(to: Known.signIn(token, uid: UserID(stored: "bob"))).code == .unauthorized)
        #expect(await caching.respond(to: Known.signIn(token, di: DeviceID(stored: "x"))).code == .unauthorized)
        #expect(registry.requests.count == 3)
        var check = Known.check(token)
        check.options.caller = nil
        _ = await caching.respond(to: check)
        #expect(registry.requests.count == 4)
    }

    @Test("Refusals are never kept; issuing never fills the cache")
    func noNegatives() async throws {
        let token = try Known.token()
        let registry = ScriptedRegistry { _ in Response(.unauthorized, diagnostic: "unknown") }
        let cache = IdentityCache.following(self.clock)
        let caching = CachingRegistry(registry, cache: cache)
        for _ in 0..<3 { #expect(await caching.respond(to: Known.check(token)).code == .unauthorized) }
        #expect(registry.requests.count == 3)
        registry.follow { _ in Response(.changed) }
        let refresh = RefreshRequest(uid: Known.uid, di: Known.di, refreshToken: token)
        #expect(
            await caching.respond(to: Request(ocf: .post, path: OCFPath.tokenRefresh, item: refresh.item)).code
                == .changed)
        #expect(cache.count == 0)
    }

    @Test("Equal questions at one time are one; each gets the answer in its own form")
    func singleFlight() async throws {
        let token = try Known.token()
        let (registry, _, caching) = self.bench()
        registry.follow { _ in nil }
        let answers = Inbox<Response>()
        for number in 0..<50 {
            var request = Known.signIn(token)
            if number.isMultiple(of: 2) { request.options.accept = .json }
            caching.respond(to: request, answer: answers.take)
        }
        #expect(registry.requests.count == 1)
        registry.release(Known.answer(Known.recognition(), Known.signIn(token)))
        let all = await answers.next(50)
        #expect(all.count == 50)
        #expect(all.allSatisfy { $0.code == .changed })
        #expect(Set(all.map(\.options.contentFormat)).count == 2)
    }

    @Test("Taken back while the answer was on its way: asked again, not admitted")
    func revokedMeanwhile() async throws {
        let token = try Known.token()
        let (registry, cache, caching) = self.bench()
        let read = Known.answer(Known.recognition(sequence: 10), Known.signIn(token))
        registry.follow { _ in nil }
        let answers = Inbox<Response>()
        caching.respond(to: Known.signIn(token), answer: answers.take)
        cache.apply(Known.change(11, .family, "f-1"))
        registry.follow { _ in Response(.unauthorized, diagnostic: "revoked") }
        registry.release(read)
        #expect(await answers.next(1).map(\.code) == [.unauthorized])
        #expect(registry.requests.count == 2)
        // A registry that has not seen it yet does not get it admitted either.
        registry.follow { _ in read }
        #expect(await caching.respond(to: Known.signIn(token)).code == .serviceUnavailable)
        #expect(cache.count == 0)
    }

    @Test("Registry gone: a sign-in works for 60 s from memory, and for 10 min through the shared cache")
    func registryGone() async throws {
        let token = try Known.token()
        let shared = SharedCache()
        let (registry, _, caching) = self.bench(tokenCache: shared)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await caching.run() }
            #expect(await caching.respond(to: Known.signIn(token)).code == .changed)
            registry.follow(Self.dead)
            self.clock.advance(.seconds(59))
            #expect(await caching.respond(to: Known.signIn(token)).code == .changed)
            self.clock.advance(.seconds(2))
            let refused = await caching.respond(to: Known.signIn(token))
            #expect(refused.code == .serviceUnavailable)
            #expect((refused.options.maxAge ?? 0) > 0)

            shared.keep(Known.recognition().cached, for: token.hash, lifetime: .seconds(600))
            // The service may not have begun to work yet: its first answer tells.
            try await eventually("an answer") { await caching.respond(to: Known.signIn(token)).code == .changed }
            self.clock.advance(.seconds(538))
            #expect(await caching.respond(to: Known.signIn(token)).code == .changed)
            self.clock.advance(.seconds(1))
            #expect(await caching.respond(to: Known.signIn(token)).code == .serviceUnavailable)
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test("Whatever becomes of a request, devices never get a 4.xx for it", arguments: [true, false])
    func neverFinal(_ isSignIn: Bool) async throws {
        let token = try Known.token()
        let refresh = RefreshRequest(uid: Known.uid, di: Known.di, refreshToken: token)
        let request =
            isSignIn
            ? Known.signIn(token) : Request(ocf: .post, path: OCFPath.tokenRefresh, item: refresh.item)
        let (registry, _, caching) = self.bench()
        for code in [Code.unauthorized, .badGateway, .gatewayTimeout, .serviceUnavailable] {
            registry.follow { _ in
                var response = Response(code, diagnostic: "the hop failed")
                response.options.undelivered = .unreachable
                return response
            }
            let answer = await caching.respond(to: request)
            #expect(answer.code == .serviceUnavailable)
            #expect(answer.options.maxAge == 5)
        }
        registry.follow { _ in Response(.serviceUnavailable, diagnostic: "the store is down", maxAge: 17) }
        #expect(await caching.respond(to: request).options.maxAge == 17)
        registry.follow { _ in Response(.unauthorized, diagnostic: "the registry's own word") }
        #expect(await caching.respond(to: request).code == .unauthorized)
    }
}
