/// Brings a database's schema up to date.
///
/// Two versions of the program run side by side during a rollout. So a database says two things: which version its
/// schema has, and the oldest version a program may know and still work with it (`SQLMigration.oldestProgram`). A
/// program leaves a newer schema alone when it is made for it, and refuses it otherwise.
struct SQLMigrator {
    let migrations: [SQLMigration]
    /// How long to wait while another program migrates the same database.
    var patience: Duration = .seconds(300)

    var newest: Int { self.migrations.map(\.version).max() ?? 0 }

    /// Applies what is missing, in one transaction where the database keeps schema changes in one (SQLite). MySQL
    /// commits each: there one program migrates, the others wait for its lock, and one that died half way left steps
    /// that are found done.
    ///
    /// - Returns: the versions before and after.
    /// - Throws: `newerSchema`, with nothing changed, when the database is made for newer programs only; `locked` when
    ///   another program migrates for too long.
    @discardableResult
    func run(on connection: any SQLConnection) throws(SQLError) -> (from: Int, to: Int) {
        // Where nothing is to be done nobody has to wait.
        if let version = try self.version(on: connection), version >= self.newest {
            try self.checkMayRun(version, on: connection)
            return (version, version)
        }
        switch connection.dialect {
        case .sqlite:
            return try self.inTransaction(connection) { () throws(SQLError) in try self.migrate(connection) }
        case .mysql:
            return try self.holdingLock(connection) { () throws(SQLError) in try self.migrate(connection) }
        }
    }

    /// Looks without changing anything.
    ///
    /// - Throws: `schemaMissing` when something is to be migrated, and `newerSchema`.
    func check(_ connection: any SQLConnection) throws(SQLError) {
        let version = try self.version(on: connection) ?? 0
        guard version >= self.newest else {
            throw SQLError(
                .schemaMissing, "its schema has version \(version), and this program needs \(self.newest)")
        }
        try self.checkMayRun(version, on: connection)
    }

    /// The schema's version; nil when there is none.
    private func version(on connection: any SQLConnection) throws(SQLError) -> Int? {
        do throws(SQLError) {
            guard var row = try connection.query(Statements.Schema.version, []).first else { return nil }
            return try row.number()
        } catch {
            // SQLite has no number of its own for a table that is missing.
            guard error.kind == .schemaMissing || error.message.contains("no such table") else { throw error }
            return nil
        }
    }

    private func checkMayRun(_ version: Int, on connection: any SQLConnection) throws(SQLError) {
        guard version > self.newest else { return }
        // Says nothing about another version than the one it was written for.
        var rows: [SQLRow] = []
        do throws(SQLError) {
            rows = try connection.query(Statements.Schema.oldestProgram, [SQLValue(version)])
        } catch {
            guard error.kind == .schemaMissing || error.message.contains("no such table") else { throw error }
        }
        let oldest = rows.isEmpty ? version : try rows[0].number()
        guard self.newest >= oldest else {
            throw SQLError(
                .newerSchema,
                "its schema has version \(version) and needs a program that knows \(oldest), and this program knows "
                    + "only up to \(self.newest)")
        }
    }

    private func inTransaction<R>(
        _ connection: any SQLConnection, _ body: () throws(SQLError) -> R
    ) throws(SQLError) -> R {
        try connection.begin(.write)
        do throws(SQLError) {
            let result = try body()
            try connection.commit()
            return result
        } catch {
            connection.rollback()
            throw error
        }
    }

    private func holdingLock<R>(
        _ connection: any SQLConnection, _ body: () throws(SQLError) -> R
    ) throws(SQLError) -> R {
        let seconds = Int(self.patience.components.seconds)
        var rows = try connection.query(Statements.Schema.lock, [SQLValue(seconds)])
        guard !rows.isEmpty, try rows[0].optionalInteger() == 1 else {
            throw SQLError(
                .locked, "another program has been changing the schema for \(seconds) s (GET_LOCK of coap-gateway)")
        }
        // The lock goes with the connection if this fails.
        defer { _ = try? connection.query(Statements.Schema.unlock, []) }
        return try body()
    }

    private func migrate(_ connection: any SQLConnection) throws(SQLError) -> (from: Int, to: Int) {
        let dialect = connection.dialect
        for table in [
            "CREATE TABLE IF NOT EXISTS schema_version (version {integer} NOT NULL) {table}",
            """
            CREATE TABLE IF NOT EXISTS schema_compatibility (
                version {integer} NOT NULL PRIMARY KEY, oldest_program {integer} NOT NULL
            ) {table}
            """,
        ] {
            try connection.run(dialect.schema(table))
        }
        var rows = try connection.query(Statements.Schema.version, [])
        if rows.isEmpty {
            try connection.run("INSERT INTO schema_version (version) VALUES (0)")
        }
        let current = rows.isEmpty ? 0 : try rows[0].number()
        try self.checkMayRun(current, on: connection)
        for migration in self.migrations where migration.version > current {
            for statement in migration.statements {
                try self.apply(dialect.schema(statement), on: connection)
            }
            try self.note(migration, on: connection)
        }
        return (current, max(current, self.newest))
    }

    private func apply(_ statement: String, on connection: any SQLConnection) throws(SQLError) {
        do throws(SQLError) {
            try connection.run(statement)
        } catch {
            // MySQL commits every step: a program that died half way has left those before done. SQLite takes all back.
            guard connection.dialect == .mysql, error.kind == .exists || error.kind == .duplicate else { throw error }
        }
    }

    private func note(_ migration: SQLMigration, on connection: any SQLConnection) throws(SQLError) {
        let values = [SQLValue(migration.version), SQLValue(migration.oldestProgram)]
        do throws(SQLError) {
            try connection.execute(Statements.Schema.insertOldestProgram, values)
        } catch {
            guard error.kind == .duplicate else { throw error }
        }
        try connection.execute(Statements.Schema.setVersion, [SQLValue(migration.version)])
    }
}
