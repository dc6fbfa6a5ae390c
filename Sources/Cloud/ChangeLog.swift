/// Changes after a sequence, as one read finds them.
package struct ChangePage: Hashable, Sendable {
    /// The last sequence that was given out.
    package var last: Int64
    /// Rows after the sequence are gone, or it was never given out: the store is an older one than it was.
    package var gap: Bool
    /// Oldest first, without gaps. There may be more.
    package var changes: [Change]

    package init(last: Int64, gap: Bool, changes: [Change]) {
        self.last = last
        self.gap = gap
        self.changes = changes
    }
}

/// Reads what was taken away, in the order of commits.
package struct ChangeLog: Sendable {
    private let store: any CloudStore

    package init(store: any CloudStore) {
        self.store = store
    }

    /// - Parameter sequence: nil: only the last sequence is asked for.
    package func read(after sequence: Int64?, limit: Int) async throws(CloudError) -> ChangePage {
        try await self.store.read { transaction throws(CloudError) in
            let last = try transaction.lastSequence()
            guard let sequence else { return ChangePage(last: last, gap: false, changes: []) }
            guard sequence <= last else { return ChangePage(last: last, gap: true, changes: []) }
            let changes = try transaction.changes(after: sequence, limit: limit)
            var expected = sequence
            for change in changes {
                expected += 1
                guard change.sequence == expected else { return ChangePage(last: last, gap: true, changes: []) }
            }
            // Fewer rows than there were changes: the newest were swept.
            let isWhole = changes.count >= limit || expected >= last
            return ChangePage(last: max(last, expected), gap: !isWhole, changes: isWhole ? changes : [])
        }
    }
}

extension Identity {
    /// What the rules of identity have written into the change log.
    package var changeLog: ChangeLog { ChangeLog(store: self.store) }
}
