import Cloud
import Logging
import Synchronization
import TestSupport
import Testing

@testable import RegistryReach

@Suite("Reading the change log of a registry in this process", .timeLimit(.minutes(1)))
struct ChangeReaderTests {
    /// Runs `body` while a reader follows, from when it has begun.
    private func following(
        _ body: @Sendable (GatedStore, InProcessNudge, IdentityCache) async throws -> Void
    ) async throws {
        let store = GatedStore()
        let nudge = InProcessNudge()
        let cache = IdentityCache(outageLimit: nil)
        let reader = ChangeReader(
            ChangeLog(store: store), nudge: nudge, cache: cache,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await reader.run() }
            try await eventually("the cache in use") { cache.isAdmitting }
            try await body(store, nudge, cache)
            group.cancelAll()
        }
    }

    @Test("From a commit on nothing is answered until its change is read: then all but whom it names")
    func commit() async throws {
        let gone = try Known.token("gone").hash
        let stays = try Known.token("stays").hash
        try await self.following { store, nudge, cache in
            cache.keep(Known.recognition(sequence: 0), for: gone, asked: .now)
            cache.keep(
                Known.recognition(sequence: 0, family: FamilyID(stored: "f-2")), for: stays, asked: .now)

            store.close()
            try await store.write { transaction throws(CloudError) in
                _ = try transaction.record(.family, subject: Known.family.text, at: Known.time)
            }
            #expect(cache.find(stays) != nil)
            nudge.nudge(.changes)
            #expect(cache.find(gone) == nil)
            #expect(cache.find(stays) == nil)
            // What was read before the commit is no reason to go on.
            cache.heard(registryTime: Known.time)
            #expect(cache.find(stays) == nil)

            store.open()
            try await eventually("the cache in use") { cache.isAdmitting }
            #expect(cache.find(gone) == nil)
            #expect(cache.find(stays) != nil)
        }
    }

    @Test("What was read before a commit says nothing about it: the log is read once more")
    func duringTheRead() async throws {
        try await self.following { store, nudge, cache in
            store.close()
            nudge.nudge(.changes)
            await store.someoneWaits()
            nudge.nudge(.changes)
            store.open()
            try await eventually("the cache in use") { cache.isAdmitting }
            // At the start, and after each.
            #expect(store.reads == 3)
        }
    }

    @Test("A log that cannot be read is read again")
    func failure() async throws {
        try await self.following { store, nudge, cache in
            store.failNext()
            nudge.nudge(.changes)
            try await eventually("the cache in use") { cache.isAdmitting }
            #expect(store.reads == 3)
        }
    }

    @Test("Without a limit for outages entries are used however long ago the log was read")
    func noOutage() throws {
        let clock = TestClock()
        let cache = IdentityCache(outageLimit: nil, clock: clock.read)
        cache.begin(at: 10)
        cache.heard(registryTime: Known.time)
        clock.advance(.seconds(86_400))
        let hash = try Known.token().hash
        cache.keep(Known.recognition(), for: hash, asked: clock.read())
        #expect(cache.find(hash) != nil)
    }
}

/// A store in memory whose readers can be held.
private final class GatedStore: CloudStore {
    private struct State {
        var isOpen = true
        var reads = 0
        var failing = 0
        var held: [CheckedContinuation<Void, Never>] = []
        var watchers: [CheckedContinuation<Void, Never>] = []
    }

    private let store = InMemoryCloudStore()
    private let state = Mutex(State())

    /// How many were begun.
    var reads: Int { self.state.withLock { $0.reads } }

    func close() { self.state.withLock { $0.isOpen = false } }

    func failNext() { self.state.withLock { $0.failing += 1 } }

    func open() {
        let held = self.state.withLock { state in
            defer { state.held = [] }
            state.isOpen = true
            return state.held
        }
        for reader in held { reader.resume() }
    }

    /// Returns once a reader is held.
    func someoneWaits() async {
        await withCheckedContinuation { continuation in
            let isHeld = self.state.withLock { state in
                if state.held.isEmpty { state.watchers.append(continuation) }
                return !state.held.isEmpty
            }
            if isHeld { continuation.resume() }
        }
    }

    func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        await withCheckedContinuation { continuation in
            let (isOpen, watchers) = self.state.withLock { state in
                state.reads += 1
                if !state.isOpen { state.held.append(continuation) }
                let watchers = state.isOpen ? [] : state.watchers
                if !state.isOpen { state.watchers = [] }
                return (state.isOpen, watchers)
            }
            for watcher in watchers { watcher.resume() }
            if isOpen { continuation.resume() }
        }
        let fails = self.state.withLock { state in
            guard state.failing > 0 else { return false }
            state.failing -= 1
            return true
        }
        if fails { throw CloudError(.unavailable, "the disk is on fire") }
        return try await self.store.read(body)
    }

    func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.store.write(body)
    }
}
