import Cloud
import TestServers
import TestSupport
import Testing

@testable import RedisStore

@Suite("What is lost of owners' events is told as a gap")
struct EventGapTests {
    private static let (alice, bob) = (UserID(stored: "alice"), UserID(stored: "bob"))

    private static func event(_ number: Int) -> OwnerEvent {
        OwnerEvent(kind: .linksPublished, di: nil, at: Timestamp(milliseconds: Int64(number)), text: "")
    }

    /// What a reader is told behind a place: the numbers of events, and nil for each gap.
    private static func told(
        _ log: RedisEventLog, of uid: UserID, after place: inout EventLogID
    ) async throws -> [Int64?] {
        var told: [Int64?] = []
        while true {
            let page = try await log.read(of: uid, after: place, limit: 3)
            if page.gap { told.append(nil) }
            told += page.events.map(\.event.at.milliseconds)
            if page.last == place { return told }
            place = page.last
        }
    }

    /// Longer than a machine with other work takes to answer, so that it is the pause alone that is given up on.
    private static let impatient: @Sendable (inout RedisConfiguration) -> Void = {
        $0.limits.stall = .seconds(10)
        $0.limits.giveUp = .seconds(12)
    }

    /// Until what is sent is refused at once.
    private static func givenUp(_ client: RedisClient) async throws {
        try await eventually("given up", within: .seconds(60)) {
            let answer = await client.ask(RedisCommand("ECHO", "x"), within: .milliseconds(100))
            if case .failure(.unavailable) = answer { return true }
            return false
        }
    }

    private func withServer(_ body: (RedisServer) async throws -> Void) async throws {
        let server = try await RedisServer.start()
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    @Test("Events that Redis did not take while it stood still are a gap for their owner, and for nobody else")
    func paused() async throws {
        try await self.withServer { server in
            try await withRedis(server, Self.impatient) { client in
                let log = RedisEventLog(client: client)
                for number in 1...2 { log.append(Self.event(number), of: Self.alice) }
                log.append(Self.event(1), of: Self.bob)
                var (alice, bob) = (EventLogID.start, EventLogID.start)
                // Nobody knows what was before.
                #expect(try await Self.told(log, of: Self.alice, after: &alice) == [nil, 1, 2])
                #expect(try await Self.told(log, of: Self.bob, after: &bob) == [nil, 1])
                server.pause()
                try await Self.givenUp(client)
                for number in 3...4 { log.append(Self.event(number), of: Self.alice) }
                try await eventually("owed", within: .seconds(60)) { log.owes }
                server.resume()
                try await eventually("back", within: .seconds(60)) { client.isConnected }
                let before = alice
                try await eventually("told", within: .seconds(60)) {
                    var place = before
                    return try await Self.told(log, of: Self.alice, after: &place).contains(nil)
                }
                log.append(Self.event(5), of: Self.alice)
                log.append(Self.event(2), of: Self.bob)
                let told = try await Self.told(log, of: Self.alice, after: &alice)
                // What was not acknowledged may have been done all the same, each by itself; that is not known when the
                // gap is told.
                let taken = told.prefix { $0 != nil }
                #expect([[], [3], [4], [3, 4]].contains(Array(taken)), "\(told)")
                #expect(Array(told.dropFirst(taken.count)) == [nil, 5], "\(told)")
                #expect(try await Self.told(log, of: Self.bob, after: &bob) == [2])
                // Once.
                #expect(try await Self.told(log, of: Self.alice, after: &alice) == [])
            }
        }
    }

    @Test("A hole in the middle of what is read is told where it is")
    func middle() async throws {
        try await withRedis { client in
            let log = RedisEventLog(client: client)
            let key = client.configuration.keyPrefix + "events:alice"
            var place = try await log.last(of: Self.alice)
            for number in 1...2 { log.append(Self.event(number), of: Self.alice) }
            var next = try await log.last(of: Self.alice)
            for _ in 0..<2 {
                next = EventLogID(milliseconds: next.milliseconds, number: next.number + 2)
                #expect(
                    await client.ask(RedisCommand("XADD", key, next.text, "kind", "gap"), within: .seconds(9)).isFine)
            }
            for number in 3...9 { log.append(Self.event(number), of: Self.alice) }
            let told = try await Self.told(log, of: Self.alice, after: &place)
            #expect(told == [1, 2, nil, nil, 3, 4, 5, 6, 7, 8, 9])
        }
    }

    @Test("Who read an empty log before Redis was emptied is told of a gap, though the numbers begin anew")
    func emptied() async throws {
        try await self.withServer { server in
            try await withRedis(server) { client in
                let log = RedisEventLog(client: client)
                let empty = try await log.last(of: Self.alice)
                var place = empty
                #expect(try await Self.told(log, of: Self.alice, after: &place) == [])
                for number in 1...3 { log.append(Self.event(number), of: Self.alice) }
                #expect(try await Self.told(log, of: Self.alice, after: &place) == [1, 2, 3])
                try await server.command("FLUSHALL")
                log.append(Self.event(4), of: Self.alice)
                for old in [empty, place] {
                    var place = old
                    #expect(try await Self.told(log, of: Self.alice, after: &place) == [nil, 4])
                    #expect(try await Self.told(log, of: Self.alice, after: &place) == [])
                }
                place = .start
                #expect(try await Self.told(log, of: Self.alice, after: &place) == [nil, 4])
            }
        }
    }

    @Test("Of more owners than are remembered everybody is told of a gap; what is to be forgotten stays owed")
    func bounded() throws {
        var debts = EventDebts()
        #expect(debts.isEmpty)
        debts.owe(.owner(Self.alice, .gap))
        debts.owe(.owner(Self.bob, .forgetting))
        debts.owe(.owner(Self.bob, .gap))
        for number in 0..<EventDebts.maximumOwners { debts.owe(.owner(UserID(stored: "u\(number)"), .gap)) }
        var taken: [EventDebts.Payment] = []
        while !debts.isEmpty { taken += debts.take(100) }
        #expect(taken.count == EventDebts.maximumOwners + 1)
        #expect(taken.contains(.everybody))
        #expect(taken.contains(.owner(Self.alice, .gap)))
        #expect(taken.contains(.owner(Self.bob, .forgetting)))
    }

    @Test("Everybody is told of a gap where nobody knows whose events were lost")
    func everybody() async throws {
        try await self.withServer { server in
            try await withRedis(server, Self.impatient) { client in
                let log = RedisEventLog(client: client, debts: EventDebts(maximum: 1))
                log.append(Self.event(1), of: Self.alice)
                var (alice, bob) = (EventLogID.start, try await log.last(of: Self.bob))
                _ = try await Self.told(log, of: Self.alice, after: &alice)
                server.pause()
                try await Self.givenUp(client)
                for number in 0...1 {
                    log.append(Self.event(1), of: UserID(stored: "u\(number)"))
                }
                try await eventually("owed", within: .seconds(60)) { log.owes }
                server.resume()
                let (aliceBefore, bobBefore) = (alice, bob)
                try await eventually("told", within: .seconds(60)) {
                    guard client.isConnected else { return false }
                    let pages = try await [
                        log.read(of: Self.alice, after: aliceBefore, limit: 9),
                        log.read(of: Self.bob, after: bobBefore, limit: 9),
                    ]
                    return pages.allSatisfy(\.gap)
                }
                _ = try await Self.told(log, of: Self.bob, after: &bob)
                log.append(Self.event(2), of: Self.bob)
                #expect(try await Self.told(log, of: Self.bob, after: &bob) == [2])
            }
        }
    }

    @Test("A user whose deletion Redis did not hear of is forgotten when it can")
    func forgotten() async throws {
        try await self.withServer { server in
            try await withRedis(server, Self.impatient) { client in
                let log = RedisEventLog(client: client)
                log.append(Self.event(1), of: Self.alice)
                #expect(try await log.events(of: Self.alice).count == 1)
                server.pause()
                try await Self.givenUp(client)
                log.forget(Self.alice)
                try await eventually("owed", within: .seconds(60)) { log.owes }
                server.resume()
                try await eventually("forgotten", within: .seconds(60)) {
                    client.isConnected ? try await log.events(of: Self.alice).isEmpty : false
                }
            }
        }
    }
}

extension Result {
    fileprivate var isFine: Bool { if case .success = self { true } else { false } }
}
