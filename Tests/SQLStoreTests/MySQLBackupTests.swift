import Cloud
import SQLStore
import TestServers
import Testing

@Suite("A backup of the database")
struct MySQLBackupTests {
    @Test("BI-83: restored on a fresh server, every token is good, and a repeated sign-up gets the same answer")
    func restored() async throws {
        let server = try await MariaDBServer.shared
        let configuration = IdentityConfiguration()
        try await withDirectory { directory in
            let file = directory + "/backup.sql"
            let (credentials, code, pending) = try await withFreshDatabase(of: server) { database in
                let made = try await withMariaDB(database) { store in
                    let world = try World(store, configuration)
                    let mediator = try await world.mediator()
                    let used = try await world.signedUp(mediator: mediator)
                    let di = try DeviceID("lock")
                    let code = try await world.identity().provisionCode(kind: .device, di: di, mediatorToken: mediator)
                    let pending = try await world.identity().signUp(di: di, code: code, authProvider: nil)
                    return (used, code, pending)
                }
                try await server.dump(database.database, to: file)
                return made
            }
            let fresh = try await MariaDBServer(isDurable: false)
            try await withFreshDatabase(of: fresh) { database in
                try await fresh.load(file, into: database.database)
                try await withMariaDB(database) { store in
                    let world = try World(store, configuration)
                    let identity = try world.identity()
                    let signedIn = try await identity.signIn(
                        uid: world.uid, di: world.di, accessToken: credentials.accessToken)
                    #expect(signedIn.expiresIn == 6000)
                    let next = try await identity.refresh(
                        uid: world.uid, di: world.di, refreshToken: credentials.refreshToken)
                    _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: next.accessToken)
                    let again = try await identity.signUp(di: try DeviceID("lock"), code: code, authProvider: nil)
                    #expect(again == pending)
                }
            }
        }
    }
}
