import Foundation
import Glibc
import Synchronization
import TestSupport

/// A real MariaDB server in a data directory of its own, on a free port of 127.0.0.1. It ends with the test process,
/// even if that is killed.
package final class MariaDBServer: Sendable {
    package static let user = "gateway"
    package static let password = "not-a-secret-of-anybody"

    package let port: Int
    package let directory: String
    private let options: [String]
    private let janitor: Subprocess
    private let state = Mutex(State())
    private let number = Atomic<Int>(0)

    private struct State {
        var server: Subprocess?
        var pid: pid_t = 0
        var client: Subprocess?
    }

    /// Starts one.
    ///
    /// - Parameters:
    ///   - isDurable: what is committed survives SIGKILL (not a power failure: nothing is ever flushed to the disk).
    ///   - options: more of mariadbd's own.
    package init(isDurable: Bool = true, options: [String] = []) async throws {
        self.directory = FileManager.default.temporaryDirectory.path + "/gw-mariadb-\(UUID().uuidString.prefix(8))"
        self.port = try Self.freePort()
        self.options = ["--innodb-flush-log-at-trx-commit=\(isDurable ? 1 : 0)"] + options
        let template = try await Self.template.value
        self.janitor = try Self.removeAtEnd(self.directory)
        let copied = try await Subprocess.run(["/bin/cp", "-a", template, self.directory])
        guard copied.status == 0 else { throw PeerError("no data directory for MariaDB: \(copied.errors)") }
        try await self.start()
    }

    deinit {
        let (server, client) = self.state.withLock { ($0.server, $0.client) }
        client?.closeInput()
        server?.closeInput()
        self.janitor.closeInput()
    }

    /// Removes a directory when its standard input closes: at the end of this process at the latest.
    private static func removeAtEnd(_ directory: String) throws -> Subprocess {
        // The server that runs in it is killed at the same moment.
        let script = "cat >/dev/null; sleep 1; rm -rf \"$1\""
        return try Subprocess(["/bin/sh", "-c", script, "sh", directory])
    }

    /// One for all tests of a process that do no harm to it. Started by the first that asks.
    package static var shared: MariaDBServer {
        get async throws { try await self.sharedServer.value }
    }

    private static let sharedServer = Task<MariaDBServer, any Error> { try await MariaDBServer(isDurable: false) }

    // MARK: - Its life

    /// Ends it with its watchdog when our end of standard input closes, whatever the reason.
    private static let watchdog = """
        exec 3<&0 </dev/null
        "$@" 3<&- &
        pid=$!
        echo "server $pid is watched"
        { cat <&3 >/dev/null 2>&1; kill -KILL $pid 2>/dev/null; } >/dev/null 2>&1 &
        wait $pid
        """

    /// Starts it again, on the same port with the same data.
    package func start() async throws {
        let daemon = try Self.program("mariadbd")
        let server = try Subprocess(
            ["/bin/sh", "-c", Self.watchdog, "sh", daemon, "--no-defaults", "--datadir=\(self.directory)"]
                + Self.commonOptions + [
                    // At its start a server removes the temporary tables of all who share the folder for them.
                    "--tmpdir=\(self.directory)",
                    "--socket=\(self.directory)/socket", "--pid-file=\(self.directory)/pid", "--port=\(self.port)",
                    "--bind-address=127.0.0.1", "--max-connections=400", "--skip-name-resolve",
                    "--init-file=\(self.directory)/init.sql",
                ] + self.options)
        let pid = server.pid
        // Its own watchdog then kills the server, and what it wrote is reported.
        let giveUp = DispatchWorkItem { server.closeInput() }
        DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: giveUp)
        do {
            try await server.waitFor("ready for connections")
            try await server.waitFor("is watched")
        } catch {
            let tail = "\(error)".split(separator: "\n").suffix(40).joined(separator: "\n")
            throw PeerError("MariaDB (watched by \(pid)) does not come up:\n\(tail)")
        }
        giveUp.cancel()
        let digits = server.outputSoFar.drop { !$0.isNumber }.prefix { $0.isNumber }
        guard let number = pid_t(digits) else { throw PeerError("no process id in: \(server.outputSoFar)") }
        self.state.withLock {
            $0.server = server
            $0.pid = number
        }
    }

    /// Ends it in order (SIGTERM).
    package func stop() async {
        await self.end(by: SIGTERM)
    }

    /// Ends it as a crash would (SIGKILL).
    package func kill() async {
        await self.end(by: SIGKILL)
    }

    package func restart() async throws {
        await self.kill()
        try await self.start()
    }

    private func end(by signal: Int32) async {
        let (server, client) = self.state.withLock { state in
            defer { (state.server, state.client) = (nil, nil) }
            return (state.server, state.client)
        }
        client?.closeInput()
        guard let server else { return }
        self.signal(signal)
        _ = await server.ended()
        server.closeInput()
    }

    /// Everything it was doing stands still (SIGSTOP) until `resume()`.
    package func pause() { self.signal(SIGSTOP) }
    package func resume() { self.signal(SIGCONT) }

    private func signal(_ number: Int32) {
        let pid = self.state.withLock { $0.pid }
        if pid > 0 { Glibc.kill(pid, number) }
    }

    // MARK: - What is in it

    /// Runs statements as its administrator. One that fails does not end the conversation, as others have it too.
    ///
    /// - Returns: what was selected, columns apart by tabs.
    @discardableResult
    package func run(_ statements: String) async throws -> String {
        let client = try self.client()
        let mark = "--\(self.number.add(1, ordering: .relaxed).newValue)--"
        try client.type("SELECT 'begin\(mark)';\n\(statements);\nSELECT 'end\(mark)';\n")
        do {
            try await client.waitFor("end\(mark)\n")
        } catch {
            // It lost its server: another one next time.
            self.state.withLock { $0.client = $0.client === client ? nil : $0.client }
            throw error
        }
        let output = client.outputSoFar
        guard let begin = output.range(of: "begin\(mark)\n"), let end = output.range(of: "end\(mark)\n") else {
            throw PeerError("MariaDB answers out of order")
        }
        return output[begin.upperBound..<end.lowerBound].trimmingCharacters(in: .newlines)
    }

    /// A client that stays, one conversation at a time, so that a database costs no process.
    private func client() throws -> Subprocess {
        let program = try Self.program("mariadb")
        return try self.state.withLock { state in
            if let client = state.client { return client }
            let client = try Subprocess([
                program, "--no-defaults", "--batch", "--unbuffered", "--skip-column-names", "--force",
                "--user=root",
                "--socket=\(self.directory)/socket",
            ])
            state.client = client
            return client
        }
    }

    /// An empty database of the test's own, for `user` with `password`.
    package func createDatabase() async throws -> String {
        let name = "test_\(self.number.add(1, ordering: .relaxed).newValue)"
        try await self.run("CREATE DATABASE \(name)")
        return name
    }

    package func dropDatabase(_ name: String) async throws {
        try await self.run("DROP DATABASE IF EXISTS \(name)")
    }

    /// Writes a database to a file, as docs/operations.md says.
    package func dump(_ name: String, to file: String) async throws {
        try await self.runOnce(
            "mariadb-dump", ["--single-transaction", "--no-tablespaces", "--result-file=\(file)", name])
    }

    /// Brings a file of `dump` into an empty database.
    package func load(_ file: String, into name: String) async throws {
        try await self.runOnce("mariadb", ["--execute=source \(file)", name])
    }

    private func runOnce(_ name: String, _ arguments: [String]) async throws {
        let ended = try await Subprocess.run(
            [try Self.program(name), "--no-defaults", "--user=root", "--socket=\(self.directory)/socket"] + arguments)
        guard ended.status == 0 else { throw PeerError("\(name) failed: \(ended.errors)") }
    }

    // MARK: - Making one

    private static let commonOptions =
        (getuid() == 0 ? ["--user=root"] : []) + [
            "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
            "--skip-log-bin", "--performance-schema=OFF", "--character-set-server=utf8mb4",
        ]

    /// A data directory fresh from the installation, made once and copied for each server.
    private static let template = Task<String, any Error> {
        let directory = FileManager.default.temporaryDirectory.path + "/gw-mariadb-template-\(getpid())"
        // Kept for ever: its input closes with this process.
        _ = Unmanaged.passRetained(try MariaDBServer.removeAtEnd(directory))
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let made = try await Subprocess.run(
            [
                try MariaDBServer.program("mariadb-install-db"), "--no-defaults", "--datadir=\(directory)",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
                "--tmpdir=\(directory)",
            ] + MariaDBServer.commonOptions)
        guard made.status == 0 else {
            throw PeerError("mariadb-install-db failed:\n\(made.output.suffix(2000))\n\(made.errors.suffix(2000))")
        }
        let grants = """
            CREATE USER IF NOT EXISTS '\(MariaDBServer.user)'@'%' IDENTIFIED BY '\(MariaDBServer.password)';
            GRANT ALL ON *.* TO '\(MariaDBServer.user)'@'%';
            REVOKE SUPER, READ_ONLY ADMIN, CONNECTION ADMIN ON *.* FROM '\(MariaDBServer.user)'@'%';

            """
        try grants.write(toFile: directory + "/init.sql", atomically: true, encoding: .utf8)
        return directory
    }

    private static func program(_ name: String) throws -> String {
        let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        guard let path = folders.map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) else {
            throw PeerError("\(name) is not installed: run scripts/dependencies test")
        }
        return path
    }

    /// A port nobody listens on. Somebody may take it before the server does; then that does not come up, and says so.
    package static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard status == 0 else { throw PeerError("no free port: \(String(cString: strerror(errno)))") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
