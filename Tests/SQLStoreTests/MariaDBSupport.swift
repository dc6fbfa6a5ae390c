import Cloud
import SQLStore
import Synchronization
import TestServers
import Testing

/// Databases that tests have left, brought up to date already: emptying one is quicker than making one.
private let spareDatabases = Mutex<[String]>([])

/// Gives `body` the way to an empty database of the shared server.
func withDatabase<R>(_ body: (MySQLConfiguration) async throws -> R) async throws -> R {
    let server = try await MariaDBServer.shared
    var name = spareDatabases.withLock { $0.popLast() }
    if name == nil { name = try await server.createDatabase() }
    let database = try #require(name)
    let result = try await body(configuration(of: server, database: database))
    try await server.run(
        """
        USE \(database); DELETE FROM users; DELETE FROM changes; UPDATE counters SET value = 0; USE mysql
        """)
    spareDatabases.withLock { $0.append(database) }
    return result
}

/// A database of a server with nothing in it, dropped afterwards.
func withFreshDatabase<R>(
    of server: MariaDBServer, _ body: (MySQLConfiguration) async throws -> R
) async throws -> R {
    let name = try await server.createDatabase()
    let result = try await body(configuration(of: server, database: name))
    try await server.dropDatabase(name)
    return result
}

func configuration(
    of server: MariaDBServer, database: String, port: Int? = nil, poolSize: Int = 4,
    timeout: Duration = .seconds(20),
) -> MySQLConfiguration {
    MySQLConfiguration(
        address: MySQLAddress(host: "127.0.0.1", port: port ?? server.port), database: database,
        user: MariaDBServer.user, password: MySQLPassword(MariaDBServer.password), poolSize: poolSize,
        connectTimeout: min(timeout, .seconds(10)), statementTimeout: timeout)
}

func withMariaDB<R>(
    _ configuration: MySQLConfiguration, timeout: Duration = .seconds(20), queueLimit: Int = 1024,
    _ body: (SQLCloudStore) async throws -> R,
) async throws -> R {
    let store = try await SQLCloudStore.open(
        MySQLDriver(configuration), timeout: timeout, queueLimit: queueLimit)
    do {
        let result = try await body(store)
        await store.close()
        return result
    } catch {
        await store.close()
        throw error
    }
}
