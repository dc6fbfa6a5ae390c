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

    /// Opens the database.
    ///
    /// - Parameter migrate: brings its schema up to date; otherwise it must be.
    /// - Throws: `unavailable` naming the file or server and what is wrong with it.
    package static func open(
        _ driver: any SQLDriver, timeout: Duration = .seconds(5), queueLimit: Int = 1024, migrate: Bool = true
    ) async throws(CloudError) -> SQLCloudStore {
        let store = SQLCloudStore(driver: driver, timeout: timeout, queueLimit: queueLimit)
        do throws(CloudError) {
            if migrate {
                _ = try await store.migrate()
            } else {
                try await store.writing.run(deadline: .now + timeout) { connection throws(CloudError) in
                    do throws(SQLError) {
                        try SQLMigrator(migrations: SQLMigration.all).check(connection)
                    } catch {
                        throw error.cloudError(store: driver.name)
                    }
                }
            }
        } catch {
            await store.close()
            throw error
        }
        return store
    }

    /// Brings a database's schema up to date and does nothing else.
    ///
    /// - Returns: the versions before and after.
    /// - Throws: `unavailable` naming the file or server and what is wrong with it.
    package static func migrate(_ driver: any SQLDriver) async throws(CloudError) -> (from: Int, to: Int) {
        let store = SQLCloudStore(driver: driver, timeout: .seconds(5), queueLimit: 1)
        do throws(CloudError) {
            let versions = try await store.migrate()
            await store.close()
            return versions
        } catch {
            await store.close()
            throw error
        }
    }

    private func migrate() async throws(CloudError) -> (from: Int, to: Int) {
        // A schema may take longer to change than a call may take.
        let deadline = ContinuousClock.now + max(self.timeout, .seconds(600))
        return try await self.writing.run(deadline: deadline) { connection throws(CloudError) in
            do throws(SQLError) {
                return try SQLMigrator(migrations: SQLMigration.all).run(on: connection)
            } catch {
                throw error.cloudError(store: self.driver.name)
            }
        }
    }

    /// What time the database says it is, and when it was asked.
    package func databaseMoment() async throws(CloudError) -> DatabaseMoment {
        try await self.reading.run(deadline: ContinuousClock.now + self.timeout) { connection throws(CloudError) in
            do throws(SQLError) {
                let asked = ContinuousClock.now
                var rows = try connection.query(connection.dialect.now, [])
                guard !rows.isEmpty else { throw SQLError(.damaged, "it does not say what time it is") }
                return DatabaseMoment(time: try rows[0].moment(), asked: asked, answered: .now)
            } catch {
                throw error.cloudError(store: self.driver.name)
            }
        }
    }

    /// What time the database says it is.
    package func databaseTime() async throws(CloudError) -> Timestamp {
        let moment = try await self.databaseMoment()
        // It was read half way between.
        return moment.time + (moment.answered - moment.asked) / 2 + (.now - moment.answered)
    }

    package func close() async {
        await self.writing.close()
        if self.reading !== self.writing { await self.reading.close() }
    }

    package func read<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.reading.run(deadline: ContinuousClock.now + self.timeout) { connection throws(CloudError) in
            try self.transact(on: connection, .read, body)
        }
    }

    package func ask<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.reading.run(deadline: ContinuousClock.now + self.timeout) { connection throws(CloudError) in
            // One statement sees one state by itself.
            try body(SQLTransaction(connection, store: self.driver.name, statements: 1))
        }
    }

    package func write<R: Sendable>(
        _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
    ) async throws(CloudError) -> R {
        try await self.writing.run(deadline: ContinuousClock.now + self.timeout) { connection throws(CloudError) in
            try self.transact(on: connection, .write, body)
        }
    }

    private func transact<R: Sendable>(
        on connection: any SQLConnection,
        _ access: SQLAccess,
        _ body: @Sendable (any CloudTransaction) throws(CloudError) -> R,
    ) throws(CloudError) -> R {
        var attempt = 1
        while true {
            let transaction = SQLTransaction(connection, store: self.driver.name)
            do throws(CloudError) {
                try transaction.begin(access)
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
