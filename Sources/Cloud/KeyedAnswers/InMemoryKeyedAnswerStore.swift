import Synchronization

/// The answers of one process.
package final class InMemoryKeyedAnswerStore: KeyedAnswerStore {
    /// Of all owners together.
    package static let maximumBytes = 64 * 1024 * 1024

    private enum Standing {
        case running(until: Timestamp)
        case answered(KeyedAnswer)
        case unknown
    }

    private struct Entry {
        let uid: UserID
        let content: SecretHash
        let begun: Timestamp
        var standing: Standing
        var bytes = KeyedAnswerLimits.overheadBytes
    }

    private struct State {
        var entries: [SecretHash: Entry] = [:]
        /// The oldest first; some may be gone.
        var order: [(name: SecretHash, begun: Timestamp)] = []
        var bytes = 0
        var bytesOfOwner: [UserID: Int] = [:]

        mutating func add(_ bytes: Int, of uid: UserID) {
            self.bytes += bytes
            let sum = (self.bytesOfOwner[uid] ?? 0) + bytes
            self.bytesOfOwner[uid] = sum > 0 ? sum : nil
        }

        mutating func remove(_ name: SecretHash) {
            guard let entry = self.entries.removeValue(forKey: name) else { return }
            self.add(-entry.bytes, of: entry.uid)
        }

        mutating func forget(before oldest: Timestamp) {
            let over = self.order.prefix { $0.begun <= oldest }
            for (name, begun) in over where self.entries[name]?.begun == begun { self.remove(name) }
            self.order.removeFirst(over.count)
        }
    }

    private let clock: any WallClock
    private let state = Mutex(State())

    package init(clock: any WallClock = SystemWallClock()) {
        self.clock = clock
    }

    package func begin(_ request: KeyedRequest, limit: Duration) async throws(RouteStoreUnavailable) -> KeyedStanding {
        let now = self.clock.now()
        return self.state.withLock { state in
            state.forget(before: now - KeyedAnswerLimits.lifetime)
            guard let entry = state.entries[request.name] else {
                let bytes = KeyedAnswerLimits.overheadBytes
                guard state.bytes + bytes <= Self.maximumBytes,
                    (state.bytesOfOwner[request.uid] ?? 0) + bytes <= KeyedAnswerLimits.ownerBytes
                else { return .tooMany }
                state.entries[request.name] = Entry(
                    uid: request.uid, content: request.content, begun: now, standing: .running(until: now + limit))
                state.order.append((request.name, now))
                state.add(bytes, of: request.uid)
                return .first
            }
            guard entry.content == request.content else { return .different }
            switch entry.standing {
            case .answered(let answer): return .answered(answer)
            case .running(let until) where now < until: return .running
            case .running, .unknown: return .unknown
            }
        }
    }

    package func end(_ request: KeyedRequest, _ end: KeyedEnd) async {
        self.state.withLock { state in
            guard var entry = state.entries[request.name], entry.content == request.content else { return }
            switch end {
            case .undelivered:
                return state.remove(request.name)
            case .answered(let answer) where answer.bytes <= KeyedAnswerLimits.answerBytes:
                entry.standing = .answered(answer)
                entry.bytes += answer.bytes
                state.add(answer.bytes, of: entry.uid)
            case .answered, .unknown:
                entry.standing = .unknown
            }
            state.entries[request.name] = entry
        }
    }
}

extension KeyedAnswer {
    /// What it takes to keep it, about.
    package var bytes: Int {
        self.fields.reduce(self.body.count) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }
}
