import Cloud
import FoundationEssentials
import TestServers
import TestSupport
import Testing

@testable import SQLStore

/// Each on a server of its own, as it is done harm.
@Suite("A MySQL server that fails")
struct MySQLFaultTests {
    private func register(_ store: any CloudStore, _ uid: String, provider: String = "") async throws {
        try await store.write { transaction throws(CloudError) in
            try transaction.insert(
                User(uid: UserID(stored: uid), authProvider: provider, createdAt: Timestamp(milliseconds: 1)))
        }
    }

    private func find(_ store: any CloudStore, _ uid: String) async throws -> User? {
        try await store.read { transaction throws(CloudError) in try transaction.user(UserID(stored: uid)) }
    }

    /// Tries until it works.
    private func eventually(_ what: String, _ body: () async throws -> Void) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            do {
                return try await body()
            } catch {
                guard ContinuousClock.now < end else { throw error }
            }
            await Task.yield()
        }
    }

    @Test("BI-67: killed twice in the middle of writing, the server has every row that was acknowledged")
    func killed() async throws {
        let server = try await MariaDBServer()
        try await withFreshDatabase(of: server) { configuration in
            try await withMariaDB(configuration, timeout: .seconds(5)) { store in
                let acknowledged = Moved<[String]>([])
                let isOver = Gate()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<16 {
                        group.addTask {
                            var number = 0
                            while !isOver.isOpen, !Task.isCancelled {
                                number += 1
                                let uid = "user-\(writer)-\(number)"
                                do {
                                    try await self.register(store, uid)
                                    acknowledged.change { $0.append(uid) }
                                } catch let error as CloudError {
                                    #expect(error.code == .unavailable, "\(error)")
                                    await Task.yield()
                                }
                            }
                        }
                    }
                    for _ in 0..<2 {
                        let before = acknowledged.value.count
                        try await self.eventually("writing goes on") {
                            if acknowledged.value.count < before + 100 { throw CloudError(.unavailable, "not yet") }
                        }
                        try await server.restart()
                    }
                    let before = acknowledged.value.count
                    try await self.eventually("writing goes on") {
                        if acknowledged.value.count < before + 100 { throw CloudError(.unavailable, "not yet") }
                    }
                    isOver.open()
                    try await group.waitForAll()
                }
                let uids = acknowledged.value
                #expect(uids.count >= 300)
                let lost = try await store.read { transaction throws(CloudError) in
                    var lost: [String] = []
                    for uid in uids where try transaction.user(UserID(stored: uid)) == nil { lost.append(uid) }
                    return lost
                }
                #expect(lost.isEmpty)
            }
        }
    }

    @Test("BI-67: a server that stands still for 5 s makes calls unavailable in time, and then all is as before")
    func stalled() async throws {
        let server = try await MariaDBServer()
        try await withFreshDatabase(of: server) { configuration in
            try await withMariaDB(configuration, timeout: .seconds(1)) { store in
                try await self.eventually("it works") { try await self.register(store, "before") }
                server.pause()
                let start = ContinuousClock.now
                var calls = 0
                while ContinuousClock.now - start < .seconds(5) {
                    calls += 1
                    let begun = ContinuousClock.now
                    let error = await expectError(.unavailable) { try await self.register(store, "during-\(calls)") }
                    #expect(error?.retryAfter != nil)
                    // It stands still until it is told to go on below.
                    #expect(ContinuousClock.now - begun < .seconds(20))
                    let found = await expectError(.unavailable) { try await self.find(store, "before") }
                    #expect(found?.retryAfter != nil)
                }
                server.resume()
                try await self.eventually("it works again") { try await self.register(store, "after") }
                #expect(try await self.find(store, "before") != nil)
                #expect(try await self.find(store, "after") != nil)
            }
        }
    }

    @Test("BI-67: a server that only reads, and one that takes only small packets, are named as what they are")
    func limits() async throws {
        let server = try await MariaDBServer()
        try await withFreshDatabase(of: server) { configuration in
            try await withMariaDB(configuration) { store in
                try await self.register(store, "before")
                try await server.run("SET GLOBAL read_only = 1")
                let error = await expectError(.unavailable) { try await self.register(store, "during") }
                #expect(error?.message.contains("--read-only") == true)
                #expect(error?.message.contains("name the one that takes writes") == true)
                #expect(try await self.find(store, "before") != nil)
                try await server.run("SET GLOBAL read_only = 0")
                try await self.register(store, "after")
            }
            try await server.run("SET GLOBAL max_allowed_packet = 16384")
            try await withMariaDB(configuration) { store in
                let long = String(repeating: "x", count: 100_000)
                // The server closes the connection right after saying so, and a client that still writes may not
                // hear it.
                try await self.eventually("it is heard") {
                    let error = await expectError(.unavailable) {
                        try await self.register(store, "long", provider: long)
                    }
                    guard error?.message.contains("max_allowed_packet") == true else { throw error ?? PeerError("") }
                }
                try await self.register(store, "short")
            }
        }
    }

    @Test("BI-76: a clock goes with the server's time of day, ten minutes ahead of this machine's")
    func clockAhead() async throws {
        let server = try await MariaDBServer()
        try await server.run("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() + 600'")
        try await withFreshDatabase(of: server) { configuration in
            try await withMariaDB(configuration) { store in
                let clock = DatabaseClock(store)
                try await clock.refresh()
                let ahead = (clock.now() - SystemWallClock().now()) / .seconds(1)
                #expect((590...610).contains(ahead))
            }
        }
    }

    @Test("TLS: the configured authority and name are required, and nothing less")
    func transport() async throws {
        try await withDirectory { directory in
            try await Self.makeCertificates(in: directory)
            let server = try await MariaDBServer(options: [
                "--ssl-ca=\(directory)/ca.pem", "--ssl-cert=\(directory)/server.pem",
                "--ssl-key=\(directory)/server.key", "--require-secure-transport=ON",
            ])
            try await withFreshDatabase(of: server) { configuration in
                var secure = configuration
                secure.transport = .verified(authorities: directory + "/ca.pem")
                try await withMariaDB(secure) { try await self.register($0, "somebody") }
                secure.transport = .encrypted
                try await withMariaDB(secure) { store in
                    let user = try await self.find(store, "somebody")
                    #expect(user != nil)
                }

                secure.transport = .verified(authorities: directory + "/other.pem")
                let foreign = await expectError(.unavailable) { try await withMariaDB(secure) { _ in } }
                #expect(foreign?.message.contains("check the server's certificate") == true)
                // The certificate is for 127.0.0.1.
                secure.transport = .verified(authorities: directory + "/ca.pem")
                secure.address.host = "localhost"
                let name = await expectError(.unavailable) { try await withMariaDB(secure) { _ in } }
                #expect(name?.message.contains("check the server's certificate") == true)
                await expectError(.unavailable) { try await withMariaDB(configuration) { _ in } }
                // A server that stands still in the middle of it.
                secure.address.host = "127.0.0.1"
                secure.connectTimeout = .milliseconds(500)
                server.pause()
                let start = ContinuousClock.now
                await expectError(.unavailable) { try await withMariaDB(secure) { _ in } }
                #expect(ContinuousClock.now - start < .seconds(20))
                server.resume()
            }
            let plain = try await MariaDBServer()
            try await withFreshDatabase(of: plain) { configuration in
                var secure = configuration
                for transport in [MySQLTransport.encrypted, .verified(authorities: directory + "/ca.pem")] {
                    secure.transport = transport
                    let error = await expectError(.unavailable) { try await withMariaDB(secure) { _ in } }
                    #expect(error?.message.contains("check the server's certificate") == true)
                }
            }
        }
    }

    private static func makeCertificates(in directory: String) async throws {
        let script = """
            set -e
            for ca in ca other; do
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                    -keyout $ca.key -out $ca.pem -subj "/CN=$ca"
            done
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr \
                -subj /CN=127.0.0.1
            printf 'subjectAltName=IP:127.0.0.1\\n' >extensions
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
                -extfile extensions
            chmod 644 *.key
            """
        let made = try await Subprocess.run(["/bin/sh", "-c", script], directory: directory)
        try #require(made.status == 0, "\(made.errors)")
    }
}
