import Cloud
import TestServers
import Testing

@testable import SQLStore

/// A deadlock is repaired by running a transaction again, which costs everybody time and does not always help. These
/// hold that rules which run beside each other all day do not meet one.
@Suite("Transactions side by side in MySQL")
struct MySQLContentionTests {
    /// How often bodies were run for how many calls.
    private final class Counting: CloudStore {
        let base: any CloudStore
        let calls = Moved(0)
        let runs = Moved(0)

        init(_ base: any CloudStore) {
            self.base = base
        }

        func read<R: Sendable>(
            _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
        ) async throws(CloudError) -> R {
            try await self.base.read(body)
        }

        func ask<R: Sendable>(
            _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
        ) async throws(CloudError) -> R {
            try await self.base.ask(body)
        }

        func write<R: Sendable>(
            _ body: @escaping @Sendable (any CloudTransaction) throws(CloudError) -> R
        ) async throws(CloudError) -> R {
            self.calls.change { $0 += 1 }
            let runs = self.runs
            return try await self.base.write { transaction throws(CloudError) in
                runs.change { $0 += 1 }
                return try body(transaction)
            }
        }
    }

    /// A domain on a database of its own with eight connections.
    private static func withMany(_ body: (World, Counting) async throws -> Void) async throws {
        let server = try await MariaDBServer.shared
        try await withFreshDatabase(of: server) { configuration in
            var eight = configuration
            eight.poolSize = 8
            try await withMariaDB(eight) { store in
                let counting = Counting(store)
                try await body(try World(counting, IdentityConfiguration()), counting)
            }
        }
    }

    /// Eight tasks, each of which does something again and again.
    private static func sideBySide(
        _ times: Int, _ body: @escaping @Sendable (_ task: Int, _ time: Int) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask { for time in 0..<times { try await body(task, time) } }
            }
            try await group.waitForAll()
        }
    }

    @Test("Devices of one owner refresh and sign in side by side, and no transaction has to be run again")
    func refreshes() async throws {
        try await Self.withMany { world, counting in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            var first: [Credentials] = []
            for task in 0..<8 {
                first.append(try await world.signedUp(try DeviceID("device-\(task)"), mediator: mediator))
            }
            let logins = Moved(first)
            try await Self.sideBySide(50) { task, _ in
                let di = try DeviceID("device-\(task)")
                let old = logins.value[task]
                let new = try await identity.refresh(uid: old.uid, di: di, refreshToken: old.refreshToken)
                _ = try await identity.signIn(uid: new.uid, di: di, accessToken: new.accessToken)
                logins.change { $0[task] = new }
            }
            #expect(counting.calls.value >= 2 * 8 * 50)
            #expect(counting.runs.value == counting.calls.value)
        }
    }

    @Test(
        "Devices are provisioned and sign up side by side, and no transaction has to be run again", arguments: [1, 8])
    func signUps(owners: Int) async throws {
        try await Self.withMany { world, counting in
            let identity = try world.identity()
            var mediators: [Secret] = []
            for owner in 0..<owners { mediators.append(try await world.mediator(try UserID("owner-\(owner)"))) }
            let tokens = mediators
            try await Self.sideBySide(20) { task, time in
                let di = try DeviceID("device-\(task)-\(time)")
                let code = try await identity.provisionCode(
                    kind: .device, di: di, mediatorToken: tokens[task % owners])
                let login = try await identity.signUp(di: di, code: code, authProvider: nil)
                _ = try await identity.signIn(uid: login.uid, di: di, accessToken: login.accessToken)
            }
            #expect(counting.runs.value == counting.calls.value)
        }
    }

    @Test("Devices of one owner come, go, refresh and are swept side by side, and nobody is refused")
    func everything() async throws {
        try await Self.withMany { world, _ in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            try await Self.sideBySide(15) { task, time in
                let di = try DeviceID("device-\(task)")
                // Every third time it is there already: an older login ends.
                let code = try await identity.provisionCode(kind: .device, di: di, mediatorToken: mediator)
                var login = try await identity.signUp(di: di, code: code, authProvider: nil)
                for _ in 0..<3 {
                    _ = try await identity.signIn(uid: login.uid, di: di, accessToken: login.accessToken)
                    login = try await identity.refresh(uid: login.uid, di: di, refreshToken: login.refreshToken)
                }
                if task == 0 { try await identity.sweep() }
                if time % 3 == 0 { _ = try await identity.deleteDevice(di, of: login.uid) }
            }
        }
    }
}
