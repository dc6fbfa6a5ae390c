import CoAP
import Hop
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@Suite("Which replica of the registry is asked: the rules")
struct ReplicaChoiceTests {
    private static let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static func lost(_ unknown: UnknownOutcome) -> Response {
        var response = Response(.badGateway)
        response.options.unknownOutcome = unknown
        return response
    }

    private static func failed(_ undelivered: Undelivered) -> Response {
        var response = Response(.serviceUnavailable)
        response.options.undelivered = undelivered
        return response
    }

    private static func choice(_ addresses: [String] = ["a", "b", "c"]) -> ReplicaChoice {
        var choice = ReplicaChoice()
        _ = choice.update(addresses)
        return choice
    }

    private static func answer(
        _ choice: inout ReplicaChoice, _ response: Response, by address: String, isFirst: Bool = true,
        timeLeft: TimeAmount = .seconds(5), now: NIODeadline = now
    ) -> ReplicaChoice.AnswerAction {
        choice.answered(response, by: address, isFirst: isFirst, timeLeft: timeLeft, random: (0, 0), now: now)
    }

    @Test("An empty or failed answer of the name server keeps the last good list, and is news once")
    func keeps() {
        var choice = ReplicaChoice()
        #expect(choice.update(nil) == .kept(isNews: true))
        #expect(choice.update(["a"]) == .changed(["a"]))
        #expect(choice.update([]) == .kept(isNews: true))
        #expect(choice.update(nil) == .kept(isNews: false))
        #expect(choice.addresses == ["a"])
        #expect(choice.update(["a"]) == .unchanged)
        #expect(choice.update([]) == .kept(isNews: true))
    }

    @Test("At most three addresses are used; those in use stay while the name has them, whatever the order")
    func list() {
        var choice = ReplicaChoice()
        #expect(choice.update(["d", "b", "c", "a"]) == .changed(["d", "b", "c"]))
        #expect(choice.update(["a", "c", "b", "d"]) == .unchanged)
        #expect(choice.update(["a", "c", "e"]) == .changed(["c", "a", "e"]))
        #expect(choice.update(["::1"]) == .changed(["::1"]))
    }

    @Test("Of two at random the less loaded one is taken, and both random numbers matter")
    func lessLoaded() {
        var choice = Self.choice()
        #expect(choice.pick(random: (0, 0), now: Self.now) == "a")
        // a has one, so b.
        #expect(choice.pick(random: (0, 0), now: Self.now) == "b")
        #expect(choice.pick(random: (0, 1), now: Self.now) == "c")
        #expect(choice.pick(random: (2, 0), now: Self.now) == "c")
        #expect(choice.load(of: "c") == 2)
        #expect(Self.answer(&choice, Response(.content), by: "c") == .pass)
        #expect(choice.load(of: "c") == 1)
    }

    @Test("Without any replica there is none to pick, and from then on the registry is unreachable")
    func none() {
        var choice = ReplicaChoice()
        #expect(choice.unreachableSince == nil)
        #expect(!choice.wasUnreachable(within: .seconds(30), now: Self.now))
        #expect(choice.pick(random: (0, 0), now: Self.now) == nil)
        #expect(choice.pick(random: (0, 0), now: Self.now + .seconds(1)) == nil)
        #expect(choice.unreachableSince == Self.now)
    }

    @Test("After a lost connection another replica is tried, once, and only while there is time")
    func again() {
        for response in [Self.lost(.connectionLost), Self.failed(.unreachable)] {
            var choice = Self.choice(["a", "b"])
            #expect(choice.pick(random: (0, 0), now: Self.now) == "a")
            #expect(Self.answer(&choice, response, by: "a") == .again("b"))
            #expect(choice.load(of: "a") == 0)
            #expect(choice.load(of: "b") == 1)
            #expect(Self.answer(&choice, response, by: "b", isFirst: false) == .unavailable)
            #expect(choice.load(of: "b") == 0)
            _ = choice.pick(random: (0, 0), now: Self.now)
            #expect(Self.answer(&choice, response, by: "a", timeLeft: .zero) == .unavailable)
        }
    }

    @Test("The only replica there is gets the repetition itself")
    func onlyOne() {
        var choice = Self.choice(["a"])
        _ = choice.pick(random: (0, 0), now: Self.now)
        #expect(Self.answer(&choice, Self.lost(.connectionLost), by: "a") == .again("a"))
    }

    @Test("No answer in time, a full window and a late request are not repeated")
    func notAgain() {
        for response in [Self.lost(.noAnswer), Self.failed(.queueFull), Self.failed(.late)] {
            var choice = Self.choice()
            _ = choice.pick(random: (0, 0), now: Self.now)
            #expect(Self.answer(&choice, response, by: "a") == .unavailable)
        }
        var choice = Self.choice()
        _ = choice.pick(random: (0, 0), now: Self.now)
        #expect(Self.answer(&choice, Self.failed(.tooLarge), by: "a") == .pass)
    }

    @Test("A replica that could not be reached is the last choice for a while, then it is tried again")
    func avoided() {
        var choice = Self.choice(["a", "b"])
        _ = choice.pick(random: (0, 0), now: Self.now)
        _ = Self.answer(&choice, Self.failed(.unreachable), by: "a")
        for random: UInt64 in 0..<10 {
            #expect(choice.pick(random: (random, 0), now: Self.now + .seconds(1)) == "b")
        }
        #expect(choice.pick(random: (0, 0), now: Self.now + .seconds(2)) == "a")
    }

    @Test("Contact is lost with the first failure and back with the first answer")
    func contact() {
        var choice = Self.choice(["a", "b"])
        _ = choice.pick(random: (0, 0), now: Self.now)
        _ = Self.answer(&choice, Self.failed(.unreachable), by: "a")
        #expect(choice.unreachableSince == Self.now)
        _ = Self.answer(&choice, Self.lost(.noAnswer), by: "b", isFirst: false, now: Self.now + .seconds(3))
        #expect(choice.unreachableSince == Self.now)
        _ = choice.pick(random: (1, 0), now: Self.now)
        // Its own refusals are answers too.
        #expect(Self.answer(&choice, Response(.unauthorized), by: "b", now: Self.now + .seconds(4)) == .pass)
        #expect(choice.unreachableSince == nil)
        // Whoever was refused until then was told to come back, and may not have yet.
        #expect(choice.wasUnreachable(within: .seconds(30), now: Self.now + .seconds(33)))
        #expect(!choice.wasUnreachable(within: .seconds(30), now: Self.now + .seconds(34)))
        #expect(choice.lastAnswer == Self.now + .seconds(4))
    }

    @Test("What is in flight on a replica that left the list still ends there")
    func left() {
        var choice = Self.choice(["a"])
        _ = choice.pick(random: (0, 0), now: Self.now)
        #expect(choice.update(["b"]) == .changed(["b"]))
        #expect(choice.load(of: "a") == 1)
        #expect(Self.answer(&choice, Response(.content), by: "a") == .pass)
        #expect(choice.load(of: "a") == 0)
    }
}

@Suite("The registry's replicas on real sockets", .timeLimit(.minutes(1)))
struct RegistryBalancerTests {
    private final class FakeResolver: AddressResolver {
        private let answer: Mutex<Result<[String], ResolutionFailure>>

        init(_ addresses: [String]) { self.answer = Mutex(.success(addresses)) }

        func set(_ answer: Result<[String], ResolutionFailure>) { self.answer.withLock { $0 = answer } }

        func resolve(
            _ host: String, completion: @escaping @Sendable (Result<[String], ResolutionFailure>) -> Void
        ) {
            completion(self.answer.withLock { $0 })
        }
    }

    private static func server(
        _ host: String, port: Int = 0,
        handling: HopServer.Handling? = nil
    ) async throws -> HopServer {
        try await HopServer.bind(
            host: host, port: port, name: RegistryBalancer.registryName,
            handling: handling ?? { _, answer in answer(Response(.content, payload: ByteBuffer(string: host))) })
    }

    private static func balancer(_ resolver: FakeResolver, port: Int, _ pool: HopPool) -> RegistryBalancer {
        RegistryBalancer(
            host: "registry.test", port: port, pool: pool, resolver: resolver, logger: HopBench.logger)
    }

    private static func text(_ response: Response) -> String { response.payload.map { String(buffer: $0) } ?? "" }

    @Test("The list follows the name, keeps what it knew when the name is gone, and takes IPv6")
    func follows() async throws {
        let first = try await Self.server("127.0.0.1")
        let port = first.listener.port
        let second = try await Self.server("::1", port: port)
        let pool = try HopBench.pool()
        let resolver = FakeResolver([])
        let balancer = Self.balancer(resolver, port: port, pool)
        try await HopBench.with(first, pool) {
            balancer.resolve()
            let none = await balancer.respond(to: .hop())
            #expect(none.code == .serviceUnavailable)
            #expect(none.options.maxAge == 2)
            #expect(!none.options.hasInternal)
            #expect(balancer.unreachableFor() != nil)
            resolver.set(.success(["127.0.0.1"]))
            balancer.resolve()
            #expect(Self.text(await balancer.respond(to: .hop())) == "127.0.0.1")
            #expect(balancer.unreachableFor() == nil)
            #expect(balancer.lastAnswer != nil)
            resolver.set(.success(["::1"]))
            balancer.resolve()
            #expect(Self.text(await balancer.respond(to: .hop())) == "::1")
            resolver.set(.failure(ResolutionFailure("no such host")))
            balancer.resolve()
            #expect(balancer.addresses == ["::1"])
            #expect(Self.text(await balancer.respond(to: .hop())) == "::1")
        }
        await second.listener.stop()
    }

    @Test("One replica dead: no request fails, whichever was chosen first")
    func oneDead() async throws {
        let alive = try await Self.server("127.0.0.1")
        let pool = try HopBench.pool()
        // Nobody listens on this one.
        let balancer = Self.balancer(FakeResolver(["127.0.0.3", "127.0.0.1"]), port: alive.listener.port, pool)
        try await HopBench.with(alive, pool) {
            balancer.resolve()
            for _ in 0..<200 { #expect(await balancer.respond(to: .hop()).code == .content) }
        }
    }

    @Test("A replica that is lost with a request in flight: the request is repeated on another")
    func lost() async throws {
        let first = try await Self.server("127.0.0.1") { _, _ in }
        let second = try await Self.server("127.0.0.2", port: first.listener.port) { _, _ in }
        let pool = try HopBench.pool()
        let balancer = Self.balancer(FakeResolver(["127.0.0.1", "127.0.0.2"]), port: first.listener.port, pool)
        try await HopBench.with(first, pool) {
            balancer.resolve()
            async let answer = balancer.respond(to: .hop())
            try await eventually("the request") { first.asked + second.asked == 1 }
            let (asked, other) = first.asked == 1 ? (first, second) : (second, first)
            asked.listener.closeAll(reason: "killed")
            try await eventually("the repetition") { other.asked == 1 }
            other.listener.closeAll(reason: "killed")
            let last = await answer
            #expect(last.code == .serviceUnavailable)
            #expect(last.options.maxAge == 2)
            #expect(!last.options.hasInternal)
            #expect(first.asked + second.asked == 2)
        }
        await second.listener.stop()
    }

    @Test("One replica slow: it keeps what it has, and nearly all others go elsewhere")
    func oneSlow() async throws {
        let slow = try await Self.server("127.0.0.1") { _, _ in }
        let quick = try await Self.server("127.0.0.2", port: slow.listener.port)
        let pool = try HopBench.pool()
        let balancer = Self.balancer(FakeResolver(["127.0.0.1", "127.0.0.2"]), port: slow.listener.port, pool)
        try await HopBench.with(slow, pool) {
            balancer.resolve()
            let answers = Mutex(0)
            for _ in 0..<20 {
                balancer.respond(to: .hop()) { _ in answers.withLock { $0 += 1 } }
            }
            try await eventually("the quick ones") { answers.withLock { $0 } + slow.asked == 20 }
            let before = slow.asked
            #expect(before > 0)
            for _ in 0..<50 { #expect(Self.text(await balancer.respond(to: .hop())) == "127.0.0.2") }
            #expect(slow.asked == before)
            #expect(quick.asked == 70 - before)
        }
        await quick.listener.stop()
    }

    @Test("The system's resolver knows localhost, an address is its own, and a name that cannot be is a failure")
    func system() async throws {
        func resolve(_ host: String) async -> Result<[String], ResolutionFailure> {
            await withCheckedContinuation { continuation in
                SystemAddressResolver().resolve(host) { continuation.resume(returning: $0) }
            }
        }
        let local = try await resolve("localhost").get()
        #expect(local.contains("127.0.0.1") || local.contains("::1"))
        #expect(try await resolve("::1").get() == ["::1"])
        #expect(try await resolve("10.1.2.3").get() == ["10.1.2.3"])
        guard case .failure = await resolve("no-such-host.invalid") else {
            Issue.record("resolved")
            return
        }
    }
}
