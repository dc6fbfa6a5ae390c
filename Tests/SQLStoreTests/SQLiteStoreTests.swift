import Cloud
import FoundationEssentials
import Testing

@testable import SQLStore

@Suite("The SQLite store")
struct SQLiteStoreTests {
    private func register(_ store: any CloudStore, _ name: String = "somebody") async throws {
        let user = User(uid: try UserID(name), authProvider: "", createdAt: Timestamp(milliseconds: 1))
        try await store.write { transaction throws(CloudError) in try transaction.insert(user) }
    }

    @Test("The file is made with mode 0600 in directories with mode 0700, SQLite's own files too")
    func modes() async throws {
        try await withDirectory { directory in
            let path = directory + "/one/two/gateway.db"
            try await withSQLite(path) { store in
                try await self.register(store)
                for made in ["/one", "/one/two"] { #expect(mode(ofFile: directory + made) == 0o700) }
                for made in ["", "-wal", "-shm"] { #expect(mode(ofFile: path + made) == 0o600) }
            }
        }
    }

    @Test("BI-82: the file holds no token")
    func noTokens() async throws {
        try await withDirectory { directory in
            let path = directory + "/gateway.db"
            let secrets = try await withSQLite(path) { store in
                let world = try World(store, IdentityConfiguration())
                let mediator = try await world.mediator()
                let credentials = try await world.signedUp(mediator: mediator)
                return [mediator, credentials.accessToken, credentials.refreshToken]
            }
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            for secret in secrets { #expect(!bytes.contains(secret.reveal())) }
            #expect(bytes.contains("somebody@example.com"))
        }
    }

    @Test("What was written is there after opening again; sealed replies too, after a rotation of the key")
    func reopen() async throws {
        try await withDirectory { directory in
            let path = directory + "/gateway.db"
            let (code, first) = try await withSQLite(path) { store in
                let world = try World(store, IdentityConfiguration())
                let mediator = try await world.mediator()
                let code = try await world.identity(keys: ["a"]).provisionCode(
                    kind: .device, di: world.di, mediatorToken: mediator)
                return (code, try await world.identity(keys: ["a"]).signUp(di: world.di, code: code, authProvider: nil))
            }
            try await withSQLite(path) { store in
                let world = try World(store, IdentityConfiguration())
                let identity = try world.identity(keys: ["b", "a"])
                #expect(try await identity.signUp(di: world.di, code: code, authProvider: nil) == first)
                _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: first.accessToken)
            }
            try await withSQLite(path) { store in
                let world = try World(store, IdentityConfiguration())
                await expectError(.unauthorized) {
                    try await world.identity(keys: ["b", "a"]).signUp(di: world.di, code: code, authProvider: nil)
                }
            }
        }
    }

    @Test("A schema newer than the program is refused with what to do, and left alone")
    func newerSchema() async throws {
        try await withDirectory { directory in
            let path = directory + "/gateway.db"
            try await withSQLite(path) { try await self.register($0) }
            let connection = try SQLiteDriver(path: path).connect(.write)
            try connection.run("UPDATE schema_version SET version = 99")
            connection.close()
            let error = await expectError(.unavailable) { try await withSQLite(path) { _ in } }
            let message = try #require(error).message
            #expect(message.contains(path))
            #expect(message.contains("version 99"))
            #expect(message.contains("start the newer program"))
            let again = try SQLiteDriver(path: path).connect(.write)
            defer { again.close() }
            var rows = try again.query(SQLStatement("SELECT version FROM schema_version"), [])
            #expect(try rows[0].number() == 99)
        }
    }

    @Test("Migrations run once, in order; one that fails takes all of its run back")
    func migrations() throws {
        let path = FileManager.default.temporaryDirectory.path + "/coap-gateway-\(UUID().uuidString).db"
        defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
        let connection = try SQLiteDriver(path: path).connect(.write)
        defer { connection.close() }
        let one = SQLMigration(version: 1, statements: ["CREATE TABLE a (x {integer} NOT NULL) {table}"])
        let two = SQLMigration(version: 2, statements: ["INSERT INTO a (x) VALUES (2)"])
        let broken = SQLMigration(version: 3, statements: ["INSERT INTO a (x) VALUES (3)", "NONSENSE"])
        func state() throws -> [Int] {
            var version = try connection.query(SQLStatement("SELECT version FROM schema_version"), [])
            var count = try connection.query(SQLStatement("SELECT COUNT(*) FROM a"), [])
            return [try version[0].number(), try count[0].number()]
        }
        try SQLMigrator(migrations: [one]).run(on: connection)
        #expect(try state() == [1, 0])
        for _ in 0..<2 { try SQLMigrator(migrations: [one, two]).run(on: connection) }
        #expect(try state() == [2, 1])
        #expect(throws: SQLError.self) { try SQLMigrator(migrations: [one, two, broken]).run(on: connection) }
        #expect(try state() == [2, 1])
    }

    @Test("The migrations are numbered from 1 on without gaps")
    func numbering() {
        #expect(SQLMigration.all.map(\.version) == Array(1...SQLMigration.all.count))
    }

    @Test("A file that is no database, or a damaged one, is named with its cause")
    func damaged() async throws {
        try await withDirectory { directory in
            let text = directory + "/text.db"
            try Data("this is certainly no database, but it is long enough to be read as one".utf8)
                .write(to: URL(fileURLWithPath: text))
            let error = await expectError(.unavailable) { try await withSQLite(text) { _ in } }
            #expect(error?.message.contains(text) == true)
            #expect(error?.message.contains("not a database") == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: text)).count == 70)

            let broken = directory + "/broken.db"
            try await withSQLite(broken) { store in
                for number in 0..<200 { try await self.register(store, "user-\(number)") }
            }
            var bytes = try Data(contentsOf: URL(fileURLWithPath: broken))
            for index in 4096..<bytes.count { bytes[index] = 0xA5 }
            try bytes.write(to: URL(fileURLWithPath: broken))
            let damage = await expectError(.unavailable) {
                try await withSQLite(broken) { try await self.register($0, "one-more") }
            }
            #expect(damage?.message.contains(broken) == true)
            #expect(damage?.message.contains("restore a backup") == true)
        }
    }

    @Test("A place where nothing can be written is named with its cause")
    func unwritable() async throws {
        try await withDirectory { directory in
            let file = directory + "/file"
            try Data().write(to: URL(fileURLWithPath: file))
            for path in ["/proc/none/gateway.db", file + "/gateway.db", file + "/deeper/gateway.db", directory] {
                let error = await expectError(.unavailable) { try await withSQLite(path) { _ in } }
                #expect(error?.message.hasPrefix(path + ": ") == true)
                #expect(error?.retryAfter != nil)
            }
        }
    }

    @Test("A database that only allows reading says so")
    func readOnly() async throws {
        try await withDirectory { directory in
            let path = directory + "/gateway.db"
            try await withSQLite(path) { store in
                try await self.register(store)
                let connection = try SQLiteDriver(path: path).connect(.read)
                defer { connection.close() }
                let error = #expect(throws: SQLError.self) { try connection.run("DELETE FROM users") }
                #expect(error?.kind == .readOnly)
            }
        }
    }

    @Test("BI-67: while another process holds the lock, writing fails in time and reading goes on")
    func locked() async throws {
        try await withDirectory { directory in
            let path = directory + "/gateway.db"
            try await withSQLite(path, timeout: .milliseconds(200)) { store in
                try await self.register(store)
                let other = try SQLiteDriver(path: path).connect(.write)
                try other.run("BEGIN IMMEDIATE")
                let start = ContinuousClock.now
                let error = await expectError(.unavailable) { try await self.register(store, "other") }
                #expect(ContinuousClock.now - start < .seconds(10))
                #expect(error?.message.contains("locked") == true)
                let uid = try UserID("somebody")
                let user = try await store.read { transaction throws(CloudError) in try transaction.user(uid) }
                #expect(user != nil)
                other.close()
                try await self.register(store, "other")
            }
        }
    }

    @Test("BI-67: a statement that takes too long is interrupted at its deadline")
    func deadline() throws {
        let path = FileManager.default.temporaryDirectory.path + "/coap-gateway-\(UUID().uuidString).db"
        defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
        let connection = try SQLiteDriver(path: path).connect(.write)
        defer { connection.close() }
        connection.setDeadline(.now + .milliseconds(50))
        let endless = SQLStatement(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n")
        let error = #expect(throws: SQLError.self) { try connection.query(endless, []) }
        #expect(error?.kind == .late)
        #expect(connection.isUsable)
        connection.setDeadline(.now + .seconds(20))
        var rows = try connection.query(SQLStatement("SELECT 1"), [])
        #expect(try rows[0].number() == 1)
    }

    @Test("A full queue refuses at once; who waited too long in it fails as late", arguments: [1, 2])
    func queue(_ limit: Int) async throws {
        try await withDirectory { directory in
            try await withSQLite(directory + "/gateway.db", timeout: .milliseconds(300), queueLimit: limit) { store in
                let started = AsyncStream<Void>.makeStream()
                let gate = Gate()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await store.write { _ throws(CloudError) in
                            started.continuation.yield()
                            while !gate.isOpen {}
                        }
                    }
                    var events = started.stream.makeAsyncIterator()
                    await events.next()
                    if limit == 1 {
                        // It says so, not that it waited.
                        let error = await expectError(.unavailable) { try await self.register(store) }
                        #expect(error?.message.contains("waiting already") == true)
                        gate.open()
                    } else {
                        group.addTask {
                            let error = await expectError(.unavailable) { try await self.register(store) }
                            #expect(error?.message.contains("waited in the queue") == true)
                        }
                        // Time itself is the subject: the call's 300 ms must have passed.
                        let end = ContinuousClock.now + .milliseconds(600)
                        while ContinuousClock.now < end { await Task.yield() }
                        gate.open()
                    }
                    try await group.waitForAll()
                }
                try await self.register(store, "afterwards")
            }
        }
    }

    @Test("A closed store is unavailable, and may be closed twice")
    func closed() async throws {
        try await withDirectory { directory in
            let store = try await SQLCloudStore.open(SQLiteDriver(path: directory + "/gateway.db"))
            await store.close()
            await store.close()
            await expectError(.unavailable) { try await self.register(store) }
        }
    }

    @Test("Every lookup uses an index")
    func indexes() async throws {
        try await withDirectory { directory in
            let path = directory + "/gateway.db"
            try await withSQLite(path) { _ in }
            let connection = try SQLiteDriver(path: path).connect(.write)
            defer { connection.close() }
            let lookups = [
                Statements.Users.find, Statements.Users.delete, Statements.Devices.find, Statements.Devices.page,
                Statements.Devices.pageOfKind, Statements.Credentials.find, Statements.Credentials.grant,
                Statements.Credentials.count, Statements.Credentials.prunable, Statements.Credentials.ofGeneration,
                Statements.Credentials.deleteOfDevice, Statements.Credentials.sweepable, Statements.Families.find,
                Statements.Families.ofDevice, Statements.Families.delete, Statements.Families.sweepable,
                Statements.Links.ofDevice, Statements.Links.ofAllDevices, Statements.Links.ofOneDevice,
                Statements.Links.delete, Statements.Links.sweepable, Statements.Changes.after,
                Statements.Changes.sweepable, Statements.Changes.advance,
            ]
            for lookup in lookups {
                for var row in try connection.query(SQLStatement("EXPLAIN QUERY PLAN " + lookup.text), []) {
                    for _ in 0..<3 { _ = try row.integer() }
                    let detail = try row.text()
                    let scans = detail.hasPrefix("SCAN") && !detail.contains("counted") && !detail.contains("USING")
                    #expect(!scans, "\(lookup.text): \(detail)")
                }
            }
        }
    }
}

@Suite("Where the databases differ")
struct SQLDialectTests {
    @Test("Locking reads say so only where a transaction does not hold everything anyway")
    func locking() {
        let statement = SQLStatement("SELECT 1")
        #expect(SQLDialect.sqlite.text(of: statement.locking()) == "SELECT 1")
        #expect(SQLDialect.mysql.text(of: statement) == "SELECT 1")
        #expect(SQLDialect.mysql.text(of: statement.locking()) == "SELECT 1 FOR UPDATE")
        #expect(SQLDialect.mysql.text(of: statement.locking(.shared)) == "SELECT 1 LOCK IN SHARE MODE")
    }

    @Test("Types of a migration become the database's own")
    func types() {
        let text = "CREATE TABLE t (a {text 128} NOT NULL, b {blob 32}, c {integer}) {table}"
        #expect(SQLDialect.sqlite.schema(text) == "CREATE TABLE t (a TEXT NOT NULL, b BLOB, c INTEGER) STRICT")
        #expect(
            SQLDialect.mysql.schema(text)
                == "CREATE TABLE t (a VARBINARY(128) NOT NULL, b VARBINARY(32), c BIGINT) ENGINE=InnoDB")
        for migration in SQLMigration.all {
            for dialect in SQLDialect.allCases {
                for statement in migration.statements { #expect(!dialect.schema(statement).contains("{")) }
            }
        }
    }

    @Test("Lists of words come back whole, cut ones are damage")
    func words() throws {
        for words in [[], [""], ["a", "", "b c"], ["\u{0}", String(repeating: "é", count: 300)]] {
            #expect(try Words.decode(Words.encode(words)) == words)
        }
        let bytes = Words.encode(["abc", "de"])
        for count in [1, 2, 4, 6, 8] {
            #expect(throws: SQLError.self) { try Words.decode(Array(bytes.prefix(count))) }
        }
    }

    @Test("Everything but a duplicate is transient for the domain", arguments: SQLError.Kind.allCases)
    func mapping(_ kind: SQLError.Kind) {
        let error = SQLError(kind, "cause").cloudError(store: "file.db")
        #expect(error.code == (kind == .duplicate ? .conflict : .unavailable))
        #expect(error.message.contains("file.db"))
        #expect(error.message.contains("cause"))
    }
}

extension Data {
    fileprivate func contains(_ text: String) -> Bool {
        let pattern = Array(text.utf8)
        let bytes = Array(self)
        guard let first = pattern.first, bytes.count >= pattern.count else { return false }
        return (0...(bytes.count - pattern.count)).contains { start in
            bytes[start] == first && bytes[start..<(start + pattern.count)].elementsEqual(pattern)
        }
    }
}
