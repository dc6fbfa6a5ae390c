import Cloud
import TestServers
import Testing

@testable import SQLStore

@Suite("Migrations on a server")
struct MySQLMigrationTests {
    private func version(_ connection: any SQLConnection) throws -> Int {
        var rows = try connection.query(Statements.Schema.version, [])
        return try rows[0].number()
    }

    @Test("Six programs that start at once: one migrates, the others wait, all of them work")
    func together() async throws {
        try await withFreshDatabase(of: try await MariaDBServer.shared) { configuration in
            let moved = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        let (from, to) = try await SQLCloudStore.migrate(MySQLDriver(configuration))
                        #expect(to == SQLMigration.all.count)
                        return from != to
                    }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(moved == 1)
            let again = try await SQLCloudStore.migrate(MySQLDriver(configuration))
            #expect(again == (SQLMigration.all.count, SQLMigration.all.count))
        }
    }

    @Test("BI-72: a migration that died after any of its steps is finished by the next program")
    func halfWay() async throws {
        try await withFreshDatabase(of: try await MariaDBServer.shared) { configuration in
            let connection = try MySQLDriver(configuration).connect(.write)
            defer { connection.close() }
            connection.setDeadline(.now + .seconds(120))
            let statements = SQLMigration.all[0].statements
            for count in [1, 3, 7, statements.count - 2, statements.count] {
                for statement in statements.prefix(count) {
                    do throws(SQLError) {
                        try connection.run(SQLDialect.mysql.schema(statement))
                    } catch {
                        #expect([.exists, .duplicate].contains(error.kind), "\(error)")
                    }
                }
            }
            #expect(try SQLMigrator(migrations: SQLMigration.all).run(on: connection) == (0, SQLMigration.all.count))
            var rows = try connection.query(SQLStatement("SELECT COUNT(*) FROM counters"), [])
            #expect(try rows[0].number() == 1)
            try await withMariaDB(configuration) { _ in }
        }
    }

    @Test("While another program migrates for too long the error says so, and nothing was changed")
    func waiting() async throws {
        try await withFreshDatabase(of: try await MariaDBServer.shared) { configuration in
            let driver = MySQLDriver(configuration)
            let (holder, waiter) = (try driver.connect(.write), try driver.connect(.write))
            defer { waiter.close() }
            for connection in [holder, waiter] { connection.setDeadline(.now + .seconds(120)) }
            _ = try holder.query(Statements.Schema.lock, [.integer(0)])
            let migrator = SQLMigrator(migrations: SQLMigration.all, patience: .seconds(1))
            let error = #expect(throws: SQLError.self) { try migrator.run(on: waiter) }
            #expect(error?.kind == .locked)
            #expect(error?.message.contains("changing the schema") == true)
            #expect(throws: SQLError.self) { try self.version(waiter) }
            // The one that held it dies.
            holder.close()
            #expect(try migrator.run(on: waiter) == (0, SQLMigration.all.count))
        }
    }

    @Test("A program that may not migrate says what to do when there is no schema, and starts when there is one")
    func withoutMigrating() async throws {
        try await withFreshDatabase(of: try await MariaDBServer.shared) { configuration in
            let driver = MySQLDriver(configuration)
            let error = await expectError(.unavailable) { try await SQLCloudStore.open(driver, migrate: false) }
            #expect(error?.message.contains("registry migrate") == true)
            _ = try await SQLCloudStore.migrate(driver)
            await (try SQLCloudStore.open(driver, migrate: false)).close()
        }
    }

    @Test(
        "BI-72: a newer schema is used by the programs it is still made for, and refused by older ones",
        arguments: [StoreKind.sqlite, .mariadb])
    func rollout(_ kind: StoreKind) async throws {
        func check(_ connection: any SQLConnection) throws {
            defer { connection.close() }
            connection.setDeadline(.now + .seconds(120))
            let one = SQLMigration(version: 1, statements: ["CREATE TABLE a (x {integer} NOT NULL) {table}"])
            let adds = SQLMigration(version: 2, oldestProgram: 1, statements: ["ALTER TABLE a ADD y {integer}"])
            let removes = SQLMigration(version: 3, oldestProgram: 2, statements: ["CREATE TABLE b (x {integer})"])
            let first = SQLMigrator(migrations: [one])
            let second = SQLMigrator(migrations: [one, adds])
            let third = SQLMigrator(migrations: [one, adds, removes])
            #expect(try first.run(on: connection) == (0, 1))
            #expect(try second.run(on: connection) == (1, 2))
            // The old one starts again while the new one runs.
            #expect(try first.run(on: connection) == (2, 2))
            try first.check(connection)
            #expect(try third.run(on: connection) == (2, 3))
            try second.check(connection)
            for refused in [{ try first.check(connection) }, { _ = try first.run(on: connection) }] {
                let error = #expect(throws: SQLError.self) { try refused() }
                #expect(error?.kind == .newerSchema)
                #expect(error?.message.contains("version 3 and needs a program that knows 2") == true)
            }
            let older = #expect(throws: SQLError.self) {
                try SQLMigrator(migrations: [one, adds, removes, SQLMigration(version: 4, statements: [])])
                    .check(connection)
            }
            #expect(older?.kind == .schemaMissing)
            #expect(try self.version(connection) == 3)
        }
        switch kind {
        case .memory: break
        case .sqlite:
            try await withDirectory { try check(SQLiteDriver(path: $0 + "/gateway.db").connect(.write)) }
        case .mariadb:
            try await withFreshDatabase(of: try await MariaDBServer.shared) {
                try check(MySQLDriver($0).connect(.write))
            }
        }
    }
}
