import Cloud
import FoundationEssentials
import TestServers
import Testing

@testable import SQLStore

/// Figures by hand: `SQL_BENCH=1`. Without it, a round to see that it runs.
@Suite("How much a MySQL store does in a second")
struct MySQLBench {
    private static func rate(
        _ name: String, tasks: Int, each: Int, _ body: @Sendable @escaping (Int) async throws -> Void
    )
        async throws -> Double
    {
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask { for number in 0..<each { try await body(task * each + number) } }
            }
            try await group.waitForAll()
        }
        return Double(tasks * each) / ((ContinuousClock.now - start) / .seconds(1))
    }

    @Test("Reading, provision with sign-up, and refresh with sign-in go on with a pool of eight")
    func figures() async throws {
        let isMeasured = ProcessInfo.processInfo.environment["SQL_BENCH"] != nil
        let each = isMeasured ? 100 : 1
        let tasks = 64
        let server = isMeasured ? try await MariaDBServer() : try await MariaDBServer.shared
        try await withFreshDatabase(of: server) { configuration in
            var eight = configuration
            eight.poolSize = 8
            try await withMariaDB(eight) { store in
                let world = try World(store, IdentityConfiguration())
                let identity = try world.identity()
                var mediators: [Secret] = []
                for user in 0..<tasks { mediators.append(try await world.mediator(try UserID("user-\(user)"))) }
                let owners = mediators
                let signedUp = Moved<[Int: Credentials]>([:])
                let provisions = try await Self.rate("provision + sign-up", tasks: tasks, each: each) { number in
                    let di = try DeviceID("device-\(number)")
                    let code = try await identity.provisionCode(
                        kind: .device, di: di, mediatorToken: owners[number / each])
                    let credentials = try await identity.signUp(di: di, code: code, authProvider: nil)
                    signedUp.change { $0[number] = credentials }
                }
                let credentials = signedUp.value
                let refreshes = try await Self.rate("refresh + sign-in", tasks: tasks, each: each) { number in
                    let di = try DeviceID("device-\(number)")
                    let old = try #require(credentials[number])
                    let new = try await identity.refresh(uid: old.uid, di: di, refreshToken: old.refreshToken)
                    _ = try await identity.signIn(uid: old.uid, di: di, accessToken: new.accessToken)
                }
                let reads = try await Self.rate("reads", tasks: tasks, each: each * 10) { number in
                    let hash = try #require(credentials[number % (tasks * each)]).refreshToken.hash
                    _ = try await store.ask { transaction throws(CloudError) in try transaction.grant(hash) }
                }
                let line =
                    "provision + sign-up \(Int(provisions))/s, refresh + sign-in \(Int(refreshes))/s, "
                    + "reads \(Int(reads))/s"
                #expect(provisions > 0 && refreshes > 0 && reads > 0)
                if isMeasured { Swift.print(line) }
            }
        }
    }
}
