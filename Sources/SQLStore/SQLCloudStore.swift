package import Cloud

/// The domain's store in a SQL database.
///
/// Must be closed: its threads live until then.
package final class SQLCloudStore: CloudStore {
    private let driver: any SQLDriver
    private let writing: SQLLane
    private let reading: SQLLane
    private let timeout: Duration

    /// - Parameters:
    ///   - timeout: for each call, waiting included.
    ///   - queueLimit: calls that may wait or run per kind of connection; more are refused as `unavailable` at once.
    private init(driver: any SQLDriver, timeout: Duration, queueLimit: Int) {
        self.driver = driver
        self.timeout = timeout
        self.writing = SQLLane(
            driver: driver, access: .write, connections: max(1, driver.writers), queueLimit: queueLimit)
        self.reading =
            driver.readers > 0
            ? SQLLane(driver: driver, access: .read, connections: driver.readers, queueLimit: queueLimit)
            : self.writing
    }

    /// Opens the database and brings its schema up to date.
    ///
    /// - Throws: `unavailable` naming the file or server and what is wrong with it.
    package static func open(
        _ driver: any SQLDriver, timeout: Duration = .seconds(5), queueLimit: Int = 1024
    ) async throws(CloudError) -> SQLCloudStore {
        let store = SQLCloudStore(driver: driver, timeout: timeout, queueLimit: queueLimit)
        do throws(CloudError) {
            // A schema may take longer to change than a call may take.
            let deadline = ContinuousClock.now + max(timeout, .seconds(600))
            try await store.writing.run(deadline: deadline) { connection throws(CloudError) in
                do throws(SQLError) {
                    try SQLMigrator(migrations: SQLMigration.all).run(on: connection)
                } catch {
                    throw error.cloudError(store: driver.name)
                }
            }
        } catch {
            await store.close()
            throw error
        }
        return store
    }

    package func close() async {
        await self.writing.close()
        if self.reading !== self.writing { await self.reading.close() }
    }

    package func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.reading.run(deadline: ContinuousClock.now + self.timeout) { connection throws(CloudError) in
            try self.transact(on: connection, begin: connection.dialect.beginRead, body)
        }
    }

    package func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.writing.run(deadline: ContinuousClock.now + self.timeout) { connection throws(CloudError) in
            try self.transact(on: connection, begin: connection.dialect.beginWrite, body)
        }
    }

    private func transact<R: Sendable>(
        on connection: any SQLConnection,
        begin: String,
        _ body: @Sendable (any CloudTransaction) throws(CloudError) -> R,
    ) throws(CloudError) -> R {
        var attempt = 1
        while true {
            let transaction = SQLTransaction(connection, store: self.driver.name)
            do throws(CloudError) {
                try transaction.begin(begin)
                let result = try body(transaction)
                try transaction.commit()
                return result
            } catch {
                connection.rollback()
                guard transaction.mayRunAgain, attempt < connection.dialect.attempts else { throw error }
                attempt += 1
            }
        }
    }
}
