import Cloud
import CoAP
import Logging
import OCF
import ServiceShell
import Synchronization
import Testing

@testable import Registry

@Suite("Two lanes: lists do not delay sign-ins", .timeLimit(.minutes(1)))
struct LaneTests {
    /// A store whose reads wait until it is opened, from a moment on.
    private final class GatedStore: CloudStore {
        private let store = InMemoryCloudStore()
        private let state = Mutex<(isShut: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))
        private let arrivals = AsyncStream.makeStream(of: Void.self)

        func shut() { self.state.withLock { $0.isShut = true } }

        func open() {
            let waiting = self.state.withLock { state in
                defer { state = (false, []) }
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }

        func waitUntilHeld(_ count: Int) async {
            var held = 0
            for await _ in self.arrivals.stream {
                held += 1
                if held == count { return }
            }
        }

        func read<R: Sendable>(
            _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
        ) async throws(CloudError) -> R {
            await withCheckedContinuation { continuation in
                let isShut = self.state.withLock { state in
                    if state.isShut { state.waiting.append(continuation) }
                    return state.isShut
                }
                if isShut { self.arrivals.continuation.yield() } else { continuation.resume() }
            }
            return try await self.store.read(body)
        }

        func write<R: Sendable>(
            _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
        ) async throws(CloudError) -> R {
            try await self.store.write(body)
        }
    }

    @Test("Lists never hold every connection to the store", arguments: [(2, 1), (3, 2), (8, 6), (64, 16)])
    func connections(pool: Int, workers: Int) {
        #expect(RegistryConfiguration(storeConnections: pool).directory.workers == workers)
    }

    @Test("With every directory worker stuck and its queue full, a sign-in is answered; late lists are never looked at")
    func apart() async throws {
        let lists = GatedStore()
        let people = InMemoryCloudStore()
        let key = try #require(Secret("0123456789abcdef0123456789abcdef"))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let registry = RegistryResponder(
            identity: Identity(store: people, sealer: try ReplySealer(keys: [key])),
            directory: Directory(store: lists),
            configuration: RegistryConfiguration(
                identity: .init(queueCapacity: 2, workers: 1), directory: .init(queueCapacity: 3, workers: 2)),
            accessLog: AccessLog(mode: .off, logger: logger), logger: logger)
        let (answers, continuation) = AsyncStream.makeStream(of: Response.self)
        func list(_ deadline: UInt32) {
            var request = Request(ocf: .get, path: OCFPath.discovery)
            request.options.sessionUser = "alice"
            request.options.deadlineMilliseconds = deadline
            registry.respond(to: request) { continuation.yield($0) }
        }
        func take(_ count: Int) async -> [Response] {
            var all: [Response] = []
            for await answer in answers {
                all.append(answer)
                if all.count == count { break }
            }
            return all
        }
        lists.shut()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await registry.run() }
            for _ in 0..<2 { list(60_000) }
            await lists.waitUntilHeld(2)
            // Three wait, one of them until it is too late; the rest is refused at once.
            list(0)
            for _ in 0..<2 { list(60_000) }
            for _ in 0..<3 { list(60_000) }
            let refused = await take(3)
            #expect(refused.allSatisfy { $0.options.undelivered == .queueFull })

            let signIn = SessionRequest.signIn(
                uid: UserID(stored: "alice"), di: DeviceID(stored: "d"),
                accessToken: Secret(random: SystemRandomSource()))
            for _ in 0..<10 {
                let answer = await registry.respond(to: Request(ocf: .post, path: OCFPath.session, item: signIn.item))
                #expect(answer.code == .unauthorized)
            }
            lists.open()
            let rest = await take(5)
            #expect(rest.count { $0.options.undelivered == .late } == 1)
            #expect(rest.count { $0.code == .content } == 4)
            group.cancelAll()
        }
    }

    @Test("account, session, tokenrefresh and the token check go one way, everything else the other, changes neither")
    func lanes() throws {
        let key = try #require(Secret("0123456789abcdef0123456789abcdef"))
        let store = InMemoryCloudStore()
        let feed = ChangeFeed(log: ChangeLog(store: store), nudge: nil)
        let handlers = Handlers(
            identity: Identity(store: store, sealer: try ReplySealer(keys: [key])), directory: Directory(store: store),
            redirectURI: nil, endSessions: { _ in }, tokenCache: nil, feed: feed, clock: SystemWallClock())
        for resource in handlers.resources {
            let isIdentity =
                ["account", "session", "tokenrefresh"].contains { resource.pattern.hasSuffix($0) }
                || resource.pattern == "registry/tokens"
            let expected: Resource.Lane? =
                resource.pattern == "registry/changes" ? nil : isIdentity ? .identity : .directory
            #expect(resource.lane == expected, "\(resource.pattern)")
        }
    }
}
