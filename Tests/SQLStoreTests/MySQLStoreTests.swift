import Cloud
import TestServers
import Testing

@testable import SQLStore

@Suite("The MySQL store")
struct MySQLStoreTests {
    private static func user(_ uid: String, provider: String = "") -> User {
        User(uid: UserID(stored: uid), authProvider: provider, createdAt: Timestamp(milliseconds: 1))
    }

    private func register(_ store: any CloudStore, _ uid: String) async throws {
        try await store.write { transaction throws(CloudError) in try transaction.insert(Self.user(uid)) }
    }

    private func find(_ store: any CloudStore, _ uid: String) async throws -> User? {
        try await store.read { transaction throws(CloudError) in try transaction.user(UserID(stored: uid)) }
    }

    @Test("BI-67: text is compared byte by byte and comes back whole, whatever is in it")
    func exactText() async throws {
        let texts = [
            "a", "A", "a ", " a", "ä", "a\u{308}", "á", "ß", "ss", "😀", "😀😀", "👩‍👩‍👧‍👦", "\u{10FFFF}", "e\u{301}", "é",
            "'; DROP TABLE users; --", "\" OR 1=1 #", "%", "_", "\\", "\\'", "`", "/* */", "?", ":a", "\u{0}", "\u{1A}",
            "\n", "NULL", "0x41", "{integer}", String(repeating: "€", count: 42),
        ]
        try await withDatabase { configuration in
            try await withMariaDB(configuration) { store in
                try await store.write { transaction throws(CloudError) in
                    for (index, text) in texts.enumerated() {
                        try transaction.insert(Self.user(text, provider: text))
                        let di = DeviceID(stored: text)
                        var device = Device(
                            di: di, uid: UserID(stored: text), kind: .device,
                            createdAt: Timestamp(milliseconds: Int64(index)))
                        try transaction.insert(device)
                        device.name = text
                        try transaction.update(device)
                        try transaction.record(.user, subject: text, at: Timestamp(milliseconds: 0))
                        try transaction.insert(
                            Link(
                                href: text, resourceTypes: [text], interfaces: [text, ""], policy: [], ins: 1,
                                expiresAt: nil, attributes: Array(text.utf8)), of: di)
                    }
                }
                try await store.read { transaction throws(CloudError) in
                    for (index, text) in texts.enumerated() {
                        let user = try transaction.user(UserID(stored: text))
                        #expect(user?.uid.text.exact == text.exact)
                        #expect(user?.authProvider.exact == text.exact)
                        let device = try transaction.device(DeviceID(stored: text))
                        #expect(device?.name?.exact == text.exact)
                        #expect(device?.createdAt.milliseconds == Int64(index))
                        let link = try transaction.links(of: DeviceID(stored: text)).first
                        #expect(link?.href.exact == text.exact)
                        #expect(link?.resourceTypes.first?.exact == text.exact)
                        #expect(link?.attributes == Array(text.utf8))
                    }
                    let subjects = try transaction.changes(after: 0, limit: 1000).map(\.subject.exact)
                    #expect(subjects == texts.map(\.exact))
                }
                for absent in ["b", "a  ", "Ä", "😁", ""] { #expect(try await self.find(store, absent) == nil) }
            }
        }
    }

    @Test("BI-67: of 32 registrations of one user at once exactly one wins, the others learn why")
    func duplicateRace() async throws {
        try await withDatabase { configuration in
            try await withMariaDB(configuration) { store in
                let world = try World(store, IdentityConfiguration())
                let codes = await withTaskGroup(of: CloudError.Code?.self) { group in
                    for _ in 0..<32 {
                        group.addTask {
                            do {
                                _ = try await world.identity().registerUser(world.uid, authProvider: "p")
                                return nil
                            } catch {
                                return (error as? CloudError)?.code
                            }
                        }
                    }
                    return await group.reduce(into: [CloudError.Code?]()) { $0.append($1) }
                }
                #expect(codes.count { $0 == nil } == 1)
                #expect(codes.count { $0 == .conflict } == 31)
                #expect(try await world.census() == ["users": 1, "user": 1])
            }
        }
    }

    @Test("BI-67: two transactions in each other's way both succeed")
    func deadlock() async throws {
        try await withDatabase { configuration in
            try await withMariaDB(configuration) { store in
                for uid in ["one", "two"] { try await self.register(store, uid) }
                let holds = [Gate(), Gate()]
                let runs = Moved(0)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (index, order) in [["one", "two"], ["two", "one"]].enumerated() {
                        group.addTask {
                            try await store.write { transaction throws(CloudError) in
                                runs.change { $0 += 1 }
                                _ = try transaction.lockUser(UserID(stored: order[0]))
                                holds[index].open()
                                while !holds[1 - index].isOpen {}
                                _ = try transaction.lockUser(UserID(stored: order[1]))
                                try transaction.record(.user, subject: order[0], at: Timestamp(milliseconds: 0))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(runs.value >= 3)
                let subjects = try await store.read { transaction throws(CloudError) in
                    try transaction.changes(after: 0, limit: 10).map(\.subject)
                }
                #expect(subjects.sorted() == ["one", "two"])
            }
        }
    }

    @Test("After waiting for a lock a transaction sees what the other one left")
    func freshReads() async throws {
        try await withDatabase { configuration in
            try await withMariaDB(configuration) { store in
                try await self.register(store, "one")
                let (held, asked) = (Gate(), Gate())
                async let first: Void = store.write { transaction throws(CloudError) in
                    _ = try transaction.lockUser(UserID(stored: "one"))
                    held.open()
                    while !asked.isOpen {}
                    try transaction.insert(Self.user("two"))
                }
                let seen = try await store.write { transaction throws(CloudError) in
                    while !held.isOpen {}
                    #expect(try transaction.user(UserID(stored: "two")) == nil)
                    asked.open()
                    _ = try transaction.lockUser(UserID(stored: "one"))
                    return try transaction.user(UserID(stored: "two")) != nil
                }
                try await first
                #expect(seen)
            }
        }
    }

    @Test("BI-67: a row somebody holds costs no more than the call's time, and its connection stays")
    func lockWait() async throws {
        try await withDatabase { configuration in
            var short = configuration
            short.statementTimeout = .seconds(2)
            try await withMariaDB(short, timeout: .seconds(30)) { store in
                try await self.register(store, "one")
                let other = try MySQLDriver(configuration).connect(.write)
                try other.run("START TRANSACTION")
                _ = try other.query(Statements.Users.find.locking(), [.text("one")])
                let start = ContinuousClock.now
                let error = await expectError(.unavailable) {
                    try await store.write { transaction throws(CloudError) in
                        _ = try transaction.lockUser(UserID(stored: "one"))
                    }
                }
                #expect(error?.message.contains("Lock wait timeout") == true)
                // `other` holds it until it is closed below.
                #expect(ContinuousClock.now - start < .seconds(30))
                other.close()
                try await store.write { transaction throws(CloudError) in
                    _ = try transaction.lockUser(UserID(stored: "one"))
                }
            }
        }
    }

    @Test("BI-67: a statement that takes too long ends at the deadline, by the client and by the server")
    func deadline() async throws {
        try await withDatabase { configuration in
            let connection = try MySQLDriver(configuration).connect(.write)
            defer { connection.close() }
            let start = ContinuousClock.now
            connection.setDeadline(start + .milliseconds(200))
            let error = #expect(throws: SQLError.self) { try connection.query(SQLStatement("SELECT SLEEP(60)"), []) }
            #expect(error?.kind == .late)
            #expect(ContinuousClock.now - start < .seconds(30))
            #expect(!connection.isUsable)

            var short = configuration
            short.statementTimeout = .milliseconds(300)
            let limited = try MySQLDriver(short).connect(.write, deadline: .now + .seconds(30))
            defer { limited.close() }
            limited.setDeadline(.now + .seconds(30))
            let sleep = SQLStatement("SELECT COUNT(*) FROM seq_1_to_1000000000 a JOIN seq_1_to_1000000000 b")
            let ended = #expect(throws: SQLError.self) { try limited.query(sleep, []) }
            #expect(ended?.kind == .late)
            #expect(limited.isUsable, "the server ended it, and the connection goes on")
            limited.setDeadline(.now + .seconds(20))
            var rows = try limited.query(SQLStatement("SELECT 1"), [])
            #expect(try rows[0].number() == 1)
        }
    }

    @Test("BI-67: a full queue refuses at once, and reading goes on")
    func queue() async throws {
        try await withDatabase { configuration in
            var small = configuration
            small.poolSize = 2
            try await withMariaDB(small, timeout: .seconds(20), queueLimit: 1) { store in
                let (started, gate) = (AsyncStream<Void>.makeStream(), Gate())
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await store.write { _ throws(CloudError) in
                            started.continuation.yield()
                            while !gate.isOpen {}
                        }
                    }
                    var events = started.stream.makeAsyncIterator()
                    await events.next()
                    let start = ContinuousClock.now
                    let error = await expectError(.unavailable) { try await self.register(store, "one") }
                    #expect(error?.message.contains("waiting already") == true)
                    #expect(try await self.find(store, "one") == nil)
                    // Well within the 20 s that the writer before it may take.
                    #expect(ContinuousClock.now - start < .seconds(15))
                    gate.open()
                    try await group.waitForAll()
                }
                try await self.register(store, "afterwards")
            }
        }
    }

    @Test("Connections that the server ended while nobody used them cost no call")
    func killed() async throws {
        try await withDatabase { configuration in
            try await withMariaDB(configuration) { store in
                try await self.register(store, "one")
                _ = try await self.find(store, "one")
                let server = try await MariaDBServer.shared
                let ids = try await server.run(
                    "SELECT id FROM information_schema.processlist WHERE db = '\(configuration.database)'")
                #expect(ids.split(separator: "\n").count >= 2)
                for id in ids.split(separator: "\n") { try await server.run("KILL HARD CONNECTION \(id)") }
                #expect(try await self.find(store, "one") != nil)
                try await self.register(store, "two")
            }
        }
    }

    @Test("BI-67: a COMMIT whose answer is lost is unavailable; the same sign-up again finds what became of it")
    func lostCommit() async throws {
        try await withDatabase { configuration in
            let proxy = try SwallowingProxy(to: configuration.address.port)
            defer { proxy.close() }
            var through = configuration
            through.address.port = proxy.port
            try await withMariaDB(through) { store in
                let world = try World(store, IdentityConfiguration())
                let identity = try world.identity()
                let mediator = try await world.mediator()
                let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
                proxy.swallowAnswer(to: "COMMIT")
                let error = await expectError(.unavailable) {
                    try await identity.signUp(di: world.di, code: code, authProvider: nil)
                }
                #expect(error?.message.contains("it may have been done") == true)
                #expect(error?.retryAfter != nil)
                #expect(proxy.swallowed == 1)
                let families = try await world.census()["families"]
                #expect(families == 1, "the server had committed")
                let credentials = try await identity.signUp(di: world.di, code: code, authProvider: nil)
                #expect(try await identity.signUp(di: world.di, code: code, authProvider: nil) == credentials)
                _ = try await identity.signIn(
                    uid: world.uid, di: world.di, accessToken: credentials.accessToken)
                #expect(try await world.census()["families"] == 1)
            }
        }
    }

    @Test("BI-67: a wrong password names the user and the setting, and never the password")
    func wrongPassword() async throws {
        try await withDatabase { configuration in
            var wrong = configuration
            wrong.password = MySQLPassword("wrong-password-of-mine")
            let error = await expectError(.unavailable) { try await withMariaDB(wrong) { _ in } }
            let message = try #require(error).message
            #expect(message.contains("'gateway'@'127.0.0.1'"))
            #expect(message.contains("DB_PASSWORD"))
            #expect(message.contains(configuration.address.description))
            #expect(!message.contains("wrong-password-of-mine"))

            var unknown = configuration
            unknown.database = "nowhere"
            let nowhere = await expectError(.unavailable) { try await withMariaDB(unknown) { _ in } }
            #expect(nowhere?.message.contains("DB_NAME") == true)
        }
    }

    @Test("A server that is not there is named with its address, and a name that does not resolve with itself")
    func unreachable() async throws {
        var configuration = MySQLConfiguration(
            address: MySQLAddress(host: "127.0.0.1", port: try MariaDBServer.freePort()), database: "d", user: "u",
            password: MySQLPassword("p"))
        let error = await expectError(.unavailable) { try await withMariaDB(configuration) { _ in } }
        #expect(error?.message.contains("127.0.0.1:\(configuration.address.port)") == true)
        #expect(error?.message.contains("DB_URI") == true)
        configuration.address.host = "nobody.invalid"
        let unknown = await expectError(.unavailable) { try await withMariaDB(configuration) { _ in } }
        #expect(unknown?.message.contains("nobody.invalid") == true)
    }

    @Test("The database's time is asked of the database")
    func time() async throws {
        try await withDatabase { configuration in
            try await withMariaDB(configuration) { store in
                let clock = DatabaseClock(store)
                try await clock.refresh()
                let machine = SystemWallClock()
                #expect(abs((clock.now() - machine.now()) / .seconds(1)) < 2)
                let time = try await store.databaseTime()
                #expect(abs((time - machine.now()) / .seconds(1)) < 2)
            }
        }
        try await withDirectory { directory in
            try await withSQLite(directory + "/gateway.db") { store in
                let time = try await store.databaseTime()
                #expect(abs((time - SystemWallClock().now()) / .seconds(1)) < 2)
            }
        }
    }
}
