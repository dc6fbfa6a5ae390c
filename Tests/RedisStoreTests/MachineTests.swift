import NIOCore
import RedisStore
import Testing

@Suite("What a connection to Redis decides")
struct MachineTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static let roleOfMaster = RedisValue.bytes(
        Array("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n".utf8))
    private static func memory(_ policy: String) -> RedisValue {
        .bytes(Array("# Memory\r\nused_memory:1\r\nmaxmemory_policy:\(policy)\r\n".utf8))
    }

    private func after(_ milliseconds: Int64) -> NIODeadline { self.start + .milliseconds(milliseconds) }

    private func open() -> RedisConnectionMachine {
        var machine = RedisConnectionMachine(RedisConfiguration(), now: self.start)
        #expect(machine.opening.map(\.description) == ["CLIENT", "INFO", "INFO"])
        #expect(machine.submit(deadline: self.after(500), now: self.start) != .write)
        #expect(machine.received(.status("OK"), now: self.start) == .wait)
        #expect(machine.received(Self.roleOfMaster, now: self.start) == .wait)
        #expect(
            machine.received(Self.memory("noeviction"), now: self.start)
                == .ready(RedisServerFacts(evictionPolicy: "noeviction")))
        return machine
    }

    @Test("A login tells the user, the database and the name, then asks for role and memory")
    func login() {
        var configuration = RedisConfiguration(username: "gateway", password: RedisPassword("hush"), database: 3)
        configuration.clientName = "pod 1"
        let handshake = RedisHandshake(configuration, for: .commands)
        #expect(handshake.commands.map(\.description) == ["AUTH", "CLIENT", "SELECT", "INFO", "INFO"])
        #expect(handshake.commands[0] == RedisCommand("AUTH", "gateway", "hush"))
        #expect(handshake.commands[1] == RedisCommand("CLIENT", "SETNAME", "pod-1"))
        #expect(handshake.commands[2] == RedisCommand("SELECT", "3"))
        for text in ["\(configuration)", String(reflecting: configuration), "\(handshake)"] {
            #expect(!text.contains("hush"))
        }
        var dumped = ""
        dump(configuration, to: &dumped)
        dump(handshake, to: &dumped)
        #expect(!dumped.contains("hush"))
    }

    @Test("A refused login names the settings, and never repeats what the server said")
    func refused() {
        var handshake = RedisHandshake(
            RedisConfiguration(username: "gateway", password: RedisPassword("hush")), for: .commands)
        let step = handshake.received(.error("ERR unknown command `AUTH`, with args beginning with: `hush`"))
        guard case .failed(let reason) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(reason.contains("redis.username and redis.password"))
        #expect(!reason.contains("hush"))
        var bare = RedisHandshake(RedisConfiguration(), for: .commands)
        #expect(
            bare.received(.error("NOAUTH Authentication required."))
                == .failed("Redis at 127.0.0.1:6379 asks for a password: set redis.password"))
    }

    @Test("A replica is refused, a server that evicts is warned of, what may not be asked stays unknown")
    func facts() {
        var replica = RedisHandshake(RedisConfiguration(), for: .commands)
        #expect(replica.received(.error("NOPERM")) == .wait)
        let step = replica.received(.bytes(Array("role:slave\r\n".utf8)))
        guard case .failed(let reason) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(reason.contains("stale"))

        var silent = RedisHandshake(RedisConfiguration(), for: .commands)
        #expect(silent.received(.status("OK")) == .wait)
        #expect(silent.received(.error("NOPERM no")) == .wait)
        #expect(silent.received(.error("NOPERM no")) == .done(RedisServerFacts()))
        #expect(RedisServerFacts().warning == nil)
        #expect(RedisServerFacts(evictionPolicy: "noeviction").warning == nil)
        #expect(RedisServerFacts(evictionPolicy: "allkeys-lru").warning?.contains("set maxmemory-policy") == true)
    }

    @Test("Late answers are matched and dropped, and the next ones still reach their callers")
    func late() {
        var machine = self.open()
        #expect(machine.submit(deadline: self.after(100), now: self.start) == .write)
        #expect(machine.submit(deadline: self.after(3000), now: self.start) == .write)
        #expect(machine.submit(deadline: self.after(100), now: self.start) == .write)
        #expect(machine.tick(now: self.after(99)) == .init())
        #expect(machine.tick(now: self.after(100)) == .init(late: [0, 2]))
        #expect(machine.tick(now: self.after(120)) == .init())
        #expect(machine.received(.integer(1), now: self.after(130)) == .drop)
        #expect(machine.received(.integer(2), now: self.after(130)) == .complete)
        #expect(machine.received(.integer(3), now: self.after(130)) == .drop)
        #expect(machine.outstanding == 0)
        #expect(machine.submit(deadline: self.after(100), now: self.after(130)) == .refuse(.late))
    }

    @Test("While nothing is answered new commands fail at once, after 5 s the connection is given up")
    func stall() {
        var machine = self.open()
        #expect(machine.submit(deadline: self.after(9000), now: self.start) == .write)
        #expect(machine.submit(deadline: self.after(9000), now: self.after(500)) == .write)
        guard case .refuse(.unavailable) = machine.submit(deadline: self.after(9000), now: self.after(501)) else {
            Issue.record("taken although nothing is answered")
            return
        }
        #expect(machine.received(.null, now: self.after(2000)) == .complete)
        #expect(machine.submit(deadline: self.after(9000), now: self.after(2001)) == .write)
        #expect(machine.tick(now: self.after(6999)).close == nil)
        #expect(machine.tick(now: self.after(7000)).close != nil)
        #expect(machine.received(.null, now: self.after(7001)) == .wait)
    }

    @Test("A quiet connection asks for a sign of life, which nobody waits for")
    func probe() {
        var machine = self.open()
        #expect(machine.tick(now: self.after(4999)) == .init())
        #expect(machine.tick(now: self.after(5000)) == .init(probe: true))
        #expect(machine.tick(now: self.after(5020)) == .init())
        #expect(machine.received(.status("PONG"), now: self.after(5030)) == .drop)
        #expect(machine.tick(now: self.after(10_029)) == .init())
        #expect(machine.tick(now: self.after(10_030)) == .init(probe: true))
    }

    @Test("Answers to nothing, a replica's refusal and a login without end close the connection")
    func closing() {
        var machine = self.open()
        guard case .close = machine.received(.integer(1), now: self.start) else {
            Issue.record("an answer to nothing is taken")
            return
        }
        for text in ["READONLY You can't write", "ERR Error running script: @user_script:3: -READONLY You can't"] {
            var replica = self.open()
            #expect(replica.submit(deadline: self.after(500), now: self.start) == .write)
            guard case .completeAndClose = replica.received(.error(text), now: self.start) else {
                Issue.record("a replica is kept")
                return
            }
        }
        var silent = RedisConnectionMachine(RedisConfiguration(), now: self.start)
        #expect(silent.tick(now: self.after(1999)).close == nil)
        #expect(silent.tick(now: self.after(2000)).close != nil)
    }

    @Test("No more than the bound of commands is outstanding")
    func bound() {
        var configuration = RedisConfiguration()
        configuration.limits.outstanding = 3
        var machine = RedisConnectionMachine(configuration, now: self.start)
        for value in [.status("OK"), Self.roleOfMaster, Self.memory("noeviction")] {
            _ = machine.received(value, now: self.start)
        }
        for _ in 0..<3 { #expect(machine.submit(deadline: self.after(500), now: self.start) == .write) }
        #expect(machine.submit(deadline: self.after(500), now: self.start) == .refuse(.overloaded))
    }

    @Test("A listener subscribes after the login, again to what is added, and asks for a sign of life")
    func subscriptions() {
        var machine = RedisSubscriptionMachine(RedisConfiguration(), channels: ["a"], now: self.start)
        #expect(machine.opening.map(\.description) == ["CLIENT"])
        #expect(machine.subscribe("b") == nil)
        #expect(
            machine.received(.status("OK"), now: self.start)
                == .ready([RedisCommand("SUBSCRIBE", "a"), RedisCommand("SUBSCRIBE", "b")]))
        #expect(machine.subscribe("b") == nil)
        #expect(machine.subscribe("c") == RedisCommand("SUBSCRIBE", "c"))
        let words = { (texts: [String]) in RedisValue.array(texts.map { .bytes(Array($0.utf8)) }) }
        #expect(machine.received(words(["subscribe", "a", "1"]), now: self.start) == .subscribed("a"))
        #expect(
            machine.received(words(["message", "a", "x"]), now: self.start)
                == .message(channel: "a", payload: Array("x".utf8)))
        #expect(machine.tick(now: self.after(4999)) == .wait)
        #expect(machine.tick(now: self.after(5000)) == .send(RedisCommand("PING")))
        #expect(machine.received(words(["pong", ""]), now: self.after(5001)) == .wait)
        #expect(machine.tick(now: self.after(10_001)) == .send(RedisCommand("PING")))
        guard case .close = machine.tick(now: self.after(15_001)) else {
            Issue.record("a dead listener is kept")
            return
        }
        #expect(machine.received(words(["message", "a", "x"]), now: self.after(15_002)) == .wait)
    }

    @Test("Attempts to reconnect come after 50 ms, then ever later up to 2 s, and not in step")
    func reconnect() {
        var plan = RedisReconnectPlan()
        let spans = (0..<8).map { _ in plan.next(fraction: 0) }
        #expect(spans == [50, 100, 200, 400, 800, 1600, 2000, 2000].map { .milliseconds($0) })
        plan.served()
        #expect(plan.next(fraction: 1) == .milliseconds(37.5))
        for _ in 0..<100 { _ = plan.next(fraction: 0) }
        #expect(plan.next(fraction: 0) == .seconds(2))
    }
}
