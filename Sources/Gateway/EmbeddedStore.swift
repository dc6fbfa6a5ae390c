import Cloud
import Cluster
import SQLStore
import ServiceLifecycle
import ServiceShell

/// The data directory, taken: the database, and what was made once and is kept.
struct EmbeddedStore: Service {
    let store: SQLCloudStore
    let sealer: ReplySealer
    /// The cloud's own UUID.
    let sid: String
    private let lock: DirectoryLock

    static func open(_ configuration: GatewayConfiguration, undo: inout StartUndo) async throws -> EmbeddedStore {
        let lock = try DirectoryLock(configuration.dataDirectory)
        undo.add { lock.release() }
        let sealer = try SealKeys.sealer(configuration.sealKey(), previous: configuration.tokenSealKeyPrevious)
        let sid = try configuration.identity()
        let store = try await SQLCloudStore.open(SQLiteDriver(path: configuration.databasePath))
        undo.add { await store.close() }
        return EmbeddedStore(store: store, sealer: sealer, sid: sid, lock: lock)
    }

    /// Closes the store behind everybody who uses it, and leaves the data directory.
    func run() async throws {
        try? await gracefulShutdown()
        await self.store.close()
        self.lock.release()
    }
}
