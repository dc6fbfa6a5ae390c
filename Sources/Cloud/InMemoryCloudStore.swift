import Synchronization

/// A store that forgets: for tests, and for trying out. One lock, transactions one after the other; a write costs a
/// copy of what it touches, so that throwing takes everything back.
package final class InMemoryCloudStore: CloudStore {
    private let state = Mutex(State())

    package init() {}

    package func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        let snapshot = self.state.withLock { $0 }
        return try body(InMemoryTransaction(snapshot))
    }

    package func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try self.state.withLock { state throws(CloudError) in
            let transaction = InMemoryTransaction(state)
            let result = try body(transaction)
            state = transaction.state
            return result
        }
    }

    struct State: Sendable {
        var users: [UserID: User] = [:]
        var devices: [DeviceID: Device] = [:]
        var credentials: [SecretHash: Credential] = [:]
        var families: [FamilyID: TokenFamily] = [:]
        var links: [DeviceID: [Int: Link]] = [:]
        var changes: [Change] = []
        var sequence: Int64 = 0
    }
}
