import Cloud
import CoAP
import Logging
import OCF
import Registry
import ServiceShell
import Synchronization
import TestSupport
import Testing

@testable import RegistryReach

@Suite("The whole way from a pod to the registry", .timeLimit(.minutes(1)))
struct WholeWayTests {
    @Test("A family revoked at the registry is out of the cache at once; no line of any log holds a token")
    func revocation() async throws {
        let sink = MemorySink()
        var logger = Logger(label: "test") { LineLogHandler(label: $0, level: .trace, format: .text, sink: sink) }
        logger.logLevel = .trace
        let store = InMemoryCloudStore()
        let key = try #require(Secret("0123456789abcdef0123456789abcdef"))
        let identity = Identity(store: store, sealer: try ReplySealer(keys: [key]))
        let shared = SharedCache()
        let registry = RegistryResponder(
            identity: identity, directory: Directory(store: store), tokenCache: shared,
            accessLog: AccessLog(mode: .all, logger: logger), logger: logger)
        let cache = IdentityCache()
        let caching = CachingRegistry(registry, cache: cache, tokenCache: shared)
        let told = Inbox<Change>()
        let follower = ChangeFollower(
            registry, caller: "coap-interface", cache: cache, logger: logger, changed: told.take)

        let client = RegistryClient(caching)
        let call = RegistryClient.Call(requestID: "r-1", deadline: .seconds(20))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await registry.run() }
            group.addTask { await caching.run() }
            group.addTask { await follower.run() }
            try await eventually("the follower begun") { follower.isCurrent }
            let user = try await client.registerUser(Known.uid, authProvider: "p", call: call)
            let mediator = try await client.provisionMediator(uid: Known.uid, userToken: user, call: call)
            let code = try await client.provisionCode(
                kind: .device, di: Known.di, mediatorToken: mediator, call: call)
            let tokens = try await client.signUp(di: Known.di, code: code, call: call)
            #expect(cache.count == 0)
            #expect(await shared.find(tokens.accessToken.hash) == nil)

            #expect(await caching.respond(to: Known.signIn(tokens.accessToken)).code == .changed)
            #expect(cache.count == 1)
            #expect(await shared.find(tokens.accessToken.hash)?.principal.di == Known.di)
            #expect(try await client.principal(for: tokens.accessToken, call: call)?.kind == .device)

            // Not through the memory: as another program would.
            _ = try await RegistryClient(registry).deleteDevice(Known.di, of: Known.uid, call: call)
            #expect(await told.next(1).map(\.named) == [.device(Known.di)])
            // The shared cache still has it; nobody goes by it.
            #expect(await caching.respond(to: Known.signIn(tokens.accessToken)).code == .unauthorized)
            #expect(try await client.principal(for: tokens.accessToken, call: call) == nil)

            #expect(!sink.lines.isEmpty)
            for secret in [user, mediator, code, tokens.accessToken, tokens.refreshToken] {
                #expect(!sink.lines.contains { $0.contains(secret.reveal()) })
            }
            group.cancelAll()
            try await group.waitForAll()
        }
    }
}
