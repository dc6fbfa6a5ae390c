import Glibc
import Logging
import ServiceLifecycle
import Synchronization
import Testing
import UnixSignals

@testable import ServiceShell

@Suite("Files and lifecycle")
struct ShellTests {
    private static func mode(_ path: String) -> UInt32 {
        var information = stat()
        return stat(path, &information) == 0 ? information.st_mode & 0o777 : 0
    }

    @Test("A kept value is made once, readable by its owner only, in a directory that is made for it")
    func keptFile() throws {
        try Temporary.withDirectory { path in
            let directory = "\(path)/data/inner"
            var made = 0
            for _ in 0..<3 {
                let value = try KeptFile.value(named: "sid", in: directory) {
                    made += 1
                    return "value-\(made)"
                }
                #expect(value == "value-1")
            }
            #expect(made == 1)
            #expect(Self.mode("\(directory)/sid") == 0o600)
            #expect(Self.mode(directory) == 0o700)
            unlink("\(directory)/sid")
            rmdir(directory)
            rmdir("\(path)/data")
            rmdir(path)
        }
    }

    @Test("A kept file that is empty, or a directory that is a file, is an error that names the path and what to set")
    func badKeptFile() throws {
        try Temporary.withDirectory { path in
            let file = "\(path)/sid"
            close(open(file, O_CREAT | O_WRONLY, 0o600))
            let empty = try #require(throws: KeptFile.Failure.self) {
                try KeptFile.value(named: "sid", in: path) { "never" }
            }
            #expect(empty.description.contains(file))
            let blocked = try #require(throws: KeptFile.Failure.self) {
                try KeptFile.value(named: "sid", in: file) { "never" }
            }
            #expect(blocked.description.contains("DATA_DIR"))
            #expect(blocked.reason == "it is not a directory")
            unlink(file)
            rmdir(path)
        }
    }

    @Test("The ports file is one JSON object, written whole")
    func portsFile() throws {
        try Temporary.withDirectory { path in
            let file = "\(path)/ports.json"
            try PortsFile.write(["http": 1, "coap": 2, "admin": 3], to: file)
            var bytes = [UInt8](repeating: 0, count: 100)
            let descriptor = open(file, O_RDONLY)
            let count = read(descriptor, &bytes, 100)
            close(descriptor)
            let text = String(decoding: bytes[..<max(0, count)], as: UTF8.self)
            #expect(text == "{\"admin\": 3, \"coap\": 2, \"http\": 1}\n")
            unlink(file)
            rmdir(path)
        }
    }

    @Test("A service that fails ends the program with status 1 and a line that says why")
    func failure() async {
        struct Broken: Error {}
        let sink = MemorySink()
        let status = await ProgramRunner.run(
            [ClosureService { throw Broken() }],
            gracePeriod: .seconds(1),
            logger: Observability.logger(label: "gateway", sink: sink),
        )
        #expect(status == 1)
        #expect(sink.lines.last?.contains("stopped by an error error=Broken()") == true)
    }
}

@Suite("Signals")
struct SignalTests {
    private final class Order: Sendable {
        private let kept = Mutex<[String]>([])
        var names: [String] { self.kept.withLock { $0 } }
        func note(_ name: String) { self.kept.withLock { $0.append(name) } }
    }

    @Test("The second signal, and not the first, ends the process at once; two at the same moment are one wish")
    func secondSignal() async {
        for (moments, ends) in [([0], 0), ([0, 1000], 1), ([0, 1000, 2000], 1), ([0, 2], 0), ([0, 2, 1000], 1)] {
            let order = Order()
            let times = Mutex(moments)
            let start = ContinuousClock.now
            let (signals, continuation) = AsyncStream<UnixSignal>.makeStream()
            for _ in moments { continuation.yield(.sigint) }
            continuation.finish()
            await Impatience.watch(
                signals, now: { start + .milliseconds(times.withLock { $0.removeFirst() }) }
            ) { order.note("exit") }
            #expect(order.names.count == ends, "\(moments)")
        }
    }

    @Test("A signal stops the services in the reverse of their order, and the status is 0")
    func cleanStop() async {
        let order = Order()
        let services: [any Service] = ["store", "listener"].map { name in
            ClosureService {
                // The runner listens for signals before the last service runs.
                if name == "listener" { kill(getpid(), SIGUSR2) }
                try? await gracefulShutdown()
                order.note(name)
            }
        }
        let sink = MemorySink()
        let status = await ProgramRunner.run(
            services,
            gracePeriod: .seconds(5),
            signals: [.sigusr2],
            logger: Observability.logger(label: "gateway", sink: sink),
        )
        #expect(status == 0)
        #expect(order.names == ["listener", "store"])
        #expect(sink.lines.last?.hasSuffix("info gateway stopped\n") == true)
    }
}
