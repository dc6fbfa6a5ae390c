import CBOR
import Cloud
import CoAP
import OCF
import Synchronization
import Testing

@testable import Registry

@Suite("Who waits for changes: the rules")
struct ChangeWaitersTests {
    private let start = ContinuousClock.now

    private func changes(_ range: ClosedRange<Int64>) -> [Change] {
        range.map { Change(sequence: $0, kind: .family, subject: "f-\($0)", at: Timestamp(milliseconds: 0)) }
    }

    private func page(_ last: Int64, _ range: ClosedRange<Int64>? = nil, gap: Bool = false) -> ChangePage {
        ChangePage(last: last, gap: gap, changes: range.map { self.changes($0) } ?? [])
    }

    /// Waiters that know the log up to a sequence.
    private func knowing(_ last: Int64, limits: ChangeWaiters.Limits = .init()) -> ChangeWaiters {
        var waiters = ChangeWaiters(limits: limits)
        _ = waiters.arrived(0, after: nil, wait: .seconds(1), now: self.start)
        #expect(waiters.beginRead() == .some(nil))
        let answers = waiters.read(self.page(last), begun: self.start)
        #expect(answers == [.init(id: 0, outcome: .page(self.page(last)))])
        return waiters
    }

    @Test("Whoever knows all waits, and is answered with what comes")
    func wake() {
        var waiters = self.knowing(5)
        #expect(waiters.arrived(1, after: 5, wait: .seconds(9), now: self.start) == .wait(read: false))
        #expect(waiters.arrived(2, after: 5, wait: .seconds(9), now: self.start + .seconds(1)) == .wait(read: true))
        #expect(waiters.beginRead() == .some(5))
        let answers = waiters.read(self.page(7, 6...7), begun: self.start)
        #expect(Set(answers.map(\.id)) == [1, 2])
        #expect(answers.allSatisfy { $0.outcome == .page(self.page(7, 6...7)) })
        // What is kept answers at once, from wherever one stands.
        #expect(waiters.arrived(3, after: 6, wait: .seconds(9), now: self.start) == .answer(.page(self.page(7, 7...7))))
        #expect(waiters.count == 0)
        #expect(waiters.beginRead() == nil)
    }

    @Test("When the wait is over there is an empty answer; 5.03 when the log was not read for a while")
    func timeout() {
        var waiters = self.knowing(5)
        _ = waiters.arrived(1, after: 5, wait: .seconds(1), now: self.start)
        #expect(waiters.expire(now: self.start + .milliseconds(999)).isEmpty)
        #expect(waiters.expire(now: self.start + .seconds(1)) == [.init(id: 1, outcome: .page(self.page(5)))])
        _ = waiters.arrived(2, after: 5, wait: .seconds(5), now: self.start)
        #expect(waiters.isReadDue(now: self.start + .seconds(1)))
        #expect(waiters.expire(now: self.start + .seconds(6)).isEmpty)
        #expect(waiters.expire(now: self.start + .seconds(7)) == [.init(id: 2, outcome: .unavailable)])
        #expect(!waiters.isReadDue(now: self.start + .seconds(7)))
    }

    @Test("Whoever knows more than we do waits for a read of his own; if it knows no more, he has a gap")
    func ahead() {
        var waiters = self.knowing(5)
        _ = waiters.arrived(1, after: 5, wait: .seconds(9), now: self.start)
        _ = waiters.beginRead()
        // During the read: another registry may have committed and told him.
        #expect(waiters.arrived(2, after: 6, wait: .seconds(9), now: self.start) == .wait(read: true))
        #expect(waiters.read(self.page(5), begun: self.start).isEmpty)
        _ = waiters.beginRead()
        #expect(
            waiters.read(self.page(5), begun: self.start) == [.init(id: 2, outcome: .page(self.page(5, gap: true)))])
        #expect(waiters.count == 1)
    }

    @Test("Whoever is further behind than what is kept is read for alone")
    func behind() {
        var limits = ChangeWaiters.Limits()
        limits.kept = 3
        var waiters = self.knowing(5, limits: limits)
        _ = waiters.arrived(1, after: 5, wait: .seconds(9), now: self.start)
        _ = waiters.beginRead()
        #expect(waiters.read(self.page(10, 6...10), begun: self.start).isEmpty)
        #expect(waiters.nextBehind()?.after == 5)
        #expect(waiters.nextBehind() == nil)
        #expect(
            waiters.arrived(2, after: 7, wait: .seconds(9), now: self.start) == .answer(.page(self.page(10, 8...10))))
    }

    @Test("A store that is an older one than it was: who knew its later changes has a gap")
    func restored() {
        var waiters = self.knowing(50)
        _ = waiters.arrived(1, after: 50, wait: .seconds(9), now: self.start)
        _ = waiters.beginRead()
        #expect(
            waiters.read(self.page(20, gap: true), begun: self.start)
                == [.init(id: 1, outcome: .page(self.page(20, gap: true)))])
    }

    @Test("A failed read answers who needs one; who only waits waits on. The number of both is bounded")
    func bounds() {
        var limits = ChangeWaiters.Limits()
        limits.waiting = 2
        var waiters = self.knowing(5, limits: limits)
        _ = waiters.arrived(1, after: 5, wait: .seconds(9), now: self.start)
        _ = waiters.arrived(2, after: nil, wait: .zero, now: self.start)
        #expect(waiters.arrived(3, after: 5, wait: .seconds(9), now: self.start) == .answer(.full))
        _ = waiters.beginRead()
        #expect(waiters.readFailed() == [.init(id: 2, outcome: .unavailable)])
        #expect(waiters.close() == [.init(id: 1, outcome: .ended)])
        #expect(waiters.arrived(4, after: 5, wait: .seconds(9), now: self.start) == .answer(.ended))
    }
}

@Suite("registry/changes and registry/logins", .timeLimit(.minutes(1)))
struct ChangesTests {
    private func poll(_ bench: Bench, after: Int64?, wait: Duration) async throws -> ChangesAnswer {
        try await bench.client.changes(
            ChangesRequest(after: after, wait: wait),
            call: RegistryClient.Call(requestID: "poll", deadline: .seconds(30)))
    }

    @Test(
        "A poll is held, takes no worker, and is answered when something is taken away", arguments: StoreKind.allCases)
    func wake(_ kind: StoreKind) async throws {
        let configuration = RegistryConfiguration(identity: .init(workers: 1), directory: .init(workers: 1))
        try await Bench.run(kind, configuration: configuration) { bench in
            let device = try await bench.signedUp()
            let start = try await self.poll(bench, after: nil, wait: .zero).last
            try await withThrowingTaskGroup(of: ChangesAnswer.self) { group in
                for _ in 0..<100 {
                    group.addTask { try await self.poll(bench, after: start, wait: .seconds(20)) }
                }
                // There are workers for this meanwhile.
                await bench.signIn(device).expect(.changed)
                _ = try await bench.client.deleteDevice(device.di, of: device.uid, call: Bench.call)
                for try await answer in group {
                    #expect(answer.changes.map(\.named) == [.device(device.di)])
                    #expect(answer.last == start + 1)
                    #expect(!answer.gap)
                }
            }
            #expect(try await self.poll(bench, after: start, wait: .zero).changes.count == 1)
            #expect(try await self.poll(bench, after: start + 1, wait: .zero).changes.isEmpty)
            #expect(try await self.poll(bench, after: start + 1000, wait: .zero).gap)
        }
    }

    @Test("Everything that takes a right away is told of: deletion, sign-off, a new registration, a stolen token")
    func everyReason() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp("d-1")
            let client = try await bench.signedUp("c-1", kind: .client)
            var last = try await self.poll(bench, after: nil, wait: .zero).last
            func next() async throws -> [Change.Kind] {
                let answer = try await self.poll(bench, after: last, wait: .seconds(20))
                last = answer.changes.last?.sequence ?? answer.last
                return answer.changes.map(\.kind)
            }
            let again = try await bench.signedUp("d-1")
            #expect(try await next() == [.family])
            await bench.signIn(again).expect(.changed)
            // A refresh token of long ago.
            var tokens = again.tokens
            for _ in 0..<2 {
                tokens = try await bench.client.refresh(
                    uid: again.uid, di: again.di, refreshToken: tokens.refreshToken, call: Bench.call)
            }
            _ = await bench.signIn(again, with: tokens.accessToken)
            bench.clock.advance(.seconds(61))
            _ = try? await bench.client.refresh(
                uid: again.uid, di: again.di, refreshToken: again.tokens.refreshToken, call: Bench.call)
            #expect(try await next() == [.family])
            _ = try await bench.client.deleteClient(client.di, of: client.uid, call: Bench.call)
            #expect(try await next() == [.client])
            let other = try await bench.signedUp("d-2")
            await bench.send(.delete, OCFPath.account, as: other).expect(.deleted)
            #expect(try await next() == [.device])
            _ = try await bench.client.deleteUser(device.uid, call: Bench.call)
            #expect(try await next() == [.user])
        }
    }

    @Test("A day later the rows are swept, and who comes back after that has a gap")
    func swept() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let before = try await self.poll(bench, after: nil, wait: .zero).last
            _ = try await bench.client.deleteDevice(device.di, of: device.uid, call: Bench.call)
            bench.clock.advance(.seconds(24 * 3600 + 1))
            let identity = Identity(
                store: bench.store, clock: bench.clock,
                sealer: try ReplySealer(keys: [try #require(Secret("0123456789abcdef0123456789abcdef"))]))
            _ = try await identity.sweep()
            let page = try await identity.changeLog.read(after: before, limit: 10)
            #expect(page == ChangePage(last: before + 1, gap: true, changes: []))
        }
    }

    @Test("While the store is down a poll is 5.03, and the registry's other word for it has a Max-Age")
    func storeDown() async throws {
        try await Bench.run(.memory) { bench in
            _ = try await self.poll(bench, after: nil, wait: .zero)
            bench.store.fail(true)
            await #expect(throws: RegistryError.self) { try await self.poll(bench, after: 100, wait: .zero) }
            bench.store.fail(false)
            #expect(try await self.poll(bench, after: 0, wait: .zero).changes.isEmpty)
        }
    }

    @Test("Which logins no longer stand: deleted, another's, revoked, replaced", arguments: StoreKind.allCases)
    func logins(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            func login(_ signed: Signed, _ response: Response) -> Login {
                Login(
                    uid: signed.uid, di: signed.di,
                    family: response.options.sessionFamily.map { FamilyID(stored: $0) })
            }
            let first = try await bench.signedUp("d-1")
            let old = login(first, await bench.signIn(first))
            let again = try await bench.signedUp("d-1")
            let new = login(again, await bench.signIn(again))
            let second = try await bench.signedUp("d-2")
            let deleted = login(second, await bench.signIn(second))
            _ = try await bench.client.deleteDevice(second.di, of: second.uid, call: Bench.call)
            #expect(old.family != nil && new.family != nil && old != new)
            let foreign = Login(uid: UserID(stored: "u-2"), di: new.di, family: new.family)
            let unnamed = Login(uid: new.uid, di: new.di, family: nil)
            let asked = [old, new, deleted, foreign, unnamed]
            #expect(try await bench.client.gone(among: asked, call: Bench.call) == [old, deleted, foreign])
            await #expect(throws: RegistryError.self) {
                try await bench.client.gone(among: Array(repeating: new, count: 101), call: Bench.call)
            }
        }
    }

    @Test("Answers about a token say at which change it was read, and a used token is written down for all")
    func sequence() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            #expect(bench.tokenCache.entries.isEmpty)
            let response = await bench.signIn(device)
            let sequence = try await self.poll(bench, after: nil, wait: .zero).last
            #expect(response.options.sequence == UInt64(sequence))
            let kept = try #require(bench.tokenCache.entries[device.tokens.accessToken.hash])
            #expect(kept.entry.principal.di == device.di)
            #expect(kept.entry.principal.family?.text == response.options.sessionFamily)
            #expect(kept.entry.sequence == sequence)
            #expect(kept.lifetime == .seconds(600))
            bench.clock.advance(.seconds(5900))
            _ = try await bench.client.principal(for: device.tokens.accessToken, call: Bench.call)
            #expect(bench.tokenCache.entries[device.tokens.accessToken.hash]?.lifetime == .seconds(100))
        }
    }
}
