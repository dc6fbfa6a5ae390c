import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import ServiceShell

@Suite("What every program does alike")
struct ProgramTests {
    private static func withAdmin<R>(
        ready: Bool, _ body: (_ port: Int) async throws -> R
    ) async throws -> R {
        let readiness = Readiness(checks: ["store"])
        if ready { readiness.pass("store") } else { readiness.fail("store", "waiting for mysql:3306") }
        let pages = AdminPages(readiness: readiness, metrics: MetricsRegistry()) {
            ProgramStatus(program: "", version: "", uptimeSeconds: 0, requests: [:], requestsServed: 0, sessions: 0)
        }
        let server = try await AdminServer.bind(
            host: "127.0.0.1", port: 0, pages: pages, group: MultiThreadedEventLoopGroup.singleton)
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await server.run() }
            let result = try await body(server.port)
            tasks.cancelAll()
            return result
        }
    }

    private static func check(_ page: HealthCheck.Page, port: Int) async -> HealthCheck.Result {
        await HealthCheck(page: page, program: "test", host: "127.0.0.1", port: port).run()
    }

    @Test("--health says what /readyz and /livez say, in one line")
    func health() async throws {
        try await Self.withAdmin(ready: true) { port in
            #expect(await Self.check(.ready, port: port) == .init(isHealthy: true, line: "test: ok"))
        }
        try await Self.withAdmin(ready: false) { port in
            let line = "test: store: waiting for mysql:3306"
            #expect(await Self.check(.ready, port: port) == .init(isHealthy: false, line: line))
            #expect(await Self.check(.live, port: port).isHealthy)
        }
    }

    @Test("--health is bad news where nobody listens")
    func healthOfNobody() async throws {
        let port = try await Self.withAdmin(ready: true) { $0 }
        let result = await Self.check(.ready, port: port)
        #expect(!result.isHealthy)
        #expect(result.line == "test: 127.0.0.1:\(port)/readyz did not answer: nobody listens there")
    }

    @Test("--health does not wait longer than 2 s for a server that is stuck")
    func healthOfTheStuck() async throws {
        let stuck = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let result = await Self.check(.live, port: stuck.localAddress?.port ?? 0)
        #expect(!result.isHealthy)
        #expect(result.line.contains("too late"))
        try await stuck.close()
    }

    @Test(
        "--health dials an address that is served, whatever the server is bound to",
        arguments: [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("localhost", "127.0.0.1"), ("192.0.2.1", "192.0.2.1")])
    func dialled(bound: String, dialled: String) {
        #expect(HealthCheck.dialled(bound) == dialled)
    }

    @Test("--health stands beside the settings of the server; what it cannot ask is refused")
    func healthWords() throws {
        let program = ProgramDescription(name: "test", abstract: "", settings: ProcessSettings.declarations)
        let given = ProgramArguments(values: ["--admin-port": "7"])
        #expect(try program.parse(["--admin-port", "7", "--health"]) == .checkHealth(.ready, given))
        #expect(try program.parse(["--health=live", "--admin-port=7"]) == .checkHealth(.live, given))
        let error = try #require(throws: ConfigurationError.self) { try program.parse(["--health=well"]) }
        #expect(error.exitStatus == 64)
        #expect(error.description.contains("--health=live"))
    }

    @Test("A start that fails gives back what it took, the last thing first, and throws what went wrong")
    func undo() async throws {
        struct Broken: Error {}
        let undone = Mutex<[Int]>([])
        await #expect(throws: Broken.self) {
            try await StartUndo.guarding { undo in
                undo.add { undone.withLock { $0.append(1) } }
                undo.add { undone.withLock { $0.append(2) } }
                throw Broken()
            }
        }
        #expect(undone.withLock { $0 } == [2, 1])
        try await StartUndo.guarding { undo in undo.add { undone.withLock { $0.append(3) } } }
        #expect(undone.withLock { $0 } == [2, 1])
    }

    @Test("A dependency is told of once a change and a reason, and counts for readiness as far as it was declared to")
    func dependencies() {
        let sink = MemorySink()
        let readiness = Readiness(checks: [])
        let logger = Observability.logger(label: "test", sink: sink)
        let dependencies = Dependencies(readiness: readiness, logger: logger)
        dependencies.expect("database", at: "mysql:3306", need: .once)
        dependencies.expect("registry", at: "registry:5688", need: .once)
        dependencies.expect("cache", at: "redis:6379", need: .never)
        #expect(readiness.failures.map(\.reason) == ["waiting for mysql:3306", "waiting for registry:5688"])
        #expect(dependencies.states == ["database": "waiting", "registry": "waiting", "cache": "waiting"])
        for _ in 1...3 {
            for name in ["database", "registry", "cache"] { dependencies.isDown(name, "refused") }
        }
        #expect(sink.lines.count == 3)
        #expect(readiness.failures.first?.reason == "waiting for mysql:3306: refused")
        #expect(sink.lines.contains { $0.contains("waiting for registry:5688 dependency=registry reason=refused") })
        for name in ["database", "registry", "cache", "registry"] { dependencies.isUp(name) }
        #expect(readiness.isReady)
        #expect(sink.lines.count == 6)
        for name in ["database", "registry", "cache"] { dependencies.isDown(name, "reset") }
        #expect(sink.lines.count == 9)
        #expect(readiness.isReady, "what was there once does not count")
        for number in 1...20 { dependencies.isDown("database", "reason \(number)") }
        #expect(sink.lines.count == 16, "other reasons are told too, up to a bound")
        #expect(sink.lines.last?.contains("still without mysql:3306 dependency=database reason=\"reason 7\"") == true)
        #expect(dependencies.states == ["database": "down", "registry": "down", "cache": "down"])
    }

    @Test("What is there by the second look was never worth a complaint; what is not, is told of once")
    func firstLook() async {
        let sink = MemorySink()
        let dependencies = Dependencies(
            readiness: Readiness(checks: []), logger: Observability.logger(label: "test", sink: sink))
        dependencies.expect("registry", at: "registry:5688", need: .once)
        dependencies.expect("cache", at: "redis:6379", need: .never)
        let (looked, looks) = AsyncStream.makeStream(of: String.self)
        let isFirst = Mutex(true)
        let watch = DependencyWatch(
            dependencies,
            [
                .init("registry") {
                    looks.yield("registry")
                    let first = isFirst.withLock { first in
                        defer { first = false }
                        return first
                    }
                    return first ? "not connected yet" : nil
                },
                .init("cache") {
                    looks.yield("cache")
                    return "refused"
                },
            ])
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await watch.run() }
            var counts: [String: Int] = [:]
            for await name in looked {
                counts[name, default: 0] += 1
                // A third look means that the second was told of.
                if counts.count == 2, counts.values.allSatisfy({ $0 >= 3 }) { break }
            }
            group.cancelAll()
        }
        #expect(sink.lines.filter { $0.contains("dependency=registry") }.count == 1)
        #expect(sink.lines.contains { $0.contains("reached registry:5688") })
        #expect(sink.lines.filter { $0.contains("waiting for redis:6379") }.count == 1)
    }

    @Test("What the ports file tells is read as it was written")
    func portsFile() throws {
        let path = try Temporary.file("")
        defer { unlink(path) }
        try PortsFile.write(["http": 1, "admin": 2], to: path)
        #expect(PortsFile.read(path) == ["http": 1, "admin": 2])
        #expect(PortsFile.read("\(path).none").isEmpty)
    }
}
