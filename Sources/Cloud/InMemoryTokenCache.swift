import Synchronization

/// Principals by the hash of their token, within one process. Of too many, who was asked for longest ago goes first.
package final class InMemoryTokenCache: TokenCache {
    private struct Kept {
        let entry: CachedPrincipal
        let until: ContinuousClock.Instant
        var used: UInt64
    }

    private struct State {
        var entries: [SecretHash: Kept] = [:]
        var uses: UInt64 = 0
    }

    private let capacity: Int
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state = Mutex(State())

    package init(
        capacity: Int = 10_000, now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        self.capacity = max(1, capacity)
        self.now = now
    }

    package func find(_ hash: SecretHash) async -> CachedPrincipal? {
        let now = self.now()
        return self.state.withLock { state in
            guard let kept = state.entries[hash] else { return nil }
            guard now < kept.until else {
                state.entries[hash] = nil
                return nil
            }
            state.uses += 1
            state.entries[hash]?.used = state.uses
            return kept.entry
        }
    }

    package func keep(_ entry: CachedPrincipal, for hash: SecretHash, lifetime: Duration) {
        guard lifetime > .zero else { return }
        let until = self.now() + lifetime
        self.state.withLock { state in
            state.uses += 1
            state.entries[hash] = Kept(entry: entry, until: until, used: state.uses)
            guard state.entries.count > self.capacity else { return }
            // A tenth at once, so that looking through all of them is rare.
            let oldest = state.entries.sorted { $0.value.used < $1.value.used }.prefix(max(1, self.capacity / 10))
            for (hash, _) in oldest { state.entries[hash] = nil }
        }
    }
}
