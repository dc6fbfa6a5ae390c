import Foundation
import Glibc
import Synchronization
import TestSupport

/// A Redis of this machine, on loopback, with a folder of its own and nothing kept on disk.
package final class RedisServer: Sendable {
    /// What differs from a bare server.
    package enum Variant: Sendable, Hashable {
        case plain
        case password(String)
        /// A user with these rights beside the default one, which is switched off.
        case user(String, password: String, rules: [String])
        /// Only TLS, with a certificate for the names given, made anew.
        case tls(names: [String])
    }

    package let port: Int
    package let folder: String
    package let variant: Variant
    private let arguments: [String]
    private let process: Mutex<ServerProcess>

    private init(
        port: Int, folder: String, variant: Variant, arguments: [String], process: ServerProcess
    ) {
        self.port = port
        self.folder = folder
        self.variant = variant
        self.arguments = arguments
        self.process = Mutex(process)
    }

    /// Starts one and waits until it answers. Throws with the server's log if it does not come up.
    package static func start(_ variant: Variant = .plain, _ settings: [String] = []) async throws -> RedisServer {
        // Between finding a free port and listening on it another may have taken it.
        for _ in 0..<3 { if let server = try? await self.startOnce(variant, settings) { return server } }
        return try await self.startOnce(variant, settings)
    }

    private static func startOnce(_ variant: Variant, _ settings: [String]) async throws -> RedisServer {
        let folder = try ServerProcess.temporaryFolder("redis")
        let port = try ServerProcess.freePort()
        var arguments = [
            try ServerProcess.program("redis-server", package: "redis-server"), "--bind", "127.0.0.1", "--dir", folder,
            "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "", "--databases", "16",
        ]
        switch variant {
        case .plain: arguments += ["--port", "\(port)"]
        case .password(let password): arguments += ["--port", "\(port)", "--requirepass", password]
        case .user(let name, let password, let rules):
            // An access list of its own: on a command line its words would be taken for settings.
            let text = "user default off\nuser \(name) on >\(password) \(rules.joined(separator: " "))\n"
            try text.write(toFile: "\(folder)/users.acl", atomically: true, encoding: .utf8)
            arguments += ["--port", "\(port)", "--aclfile", "\(folder)/users.acl"]
        case .tls(let names):
            try await Self.makeCertificates(names, in: folder)
            arguments += [
                "--port", "0", "--tls-port", "\(port)", "--tls-cert-file", "\(folder)/server.pem", "--tls-key-file",
                "\(folder)/server.key", "--tls-ca-cert-file", "\(folder)/ca.pem", "--tls-auth-clients", "no",
            ]
        }
        arguments += settings
        let process = try await Self.launch(arguments)
        return RedisServer(port: port, folder: folder, variant: variant, arguments: arguments, process: process)
    }

    private static func launch(_ arguments: [String]) async throws -> ServerProcess {
        let process = try await ServerProcess(arguments)
        try await process.waitFor("Ready to accept connections")
        return process
    }

    /// The authority that signed the certificate of a server with TLS.
    package var certificateAuthority: String { "\(self.folder)/ca.pem" }

    /// Stops answering, as a machine does that is out of breath. Connections stay.
    package func pause() {
        self.process.withLock { $0 }.signal(SIGSTOP)
    }

    package func resume() {
        self.process.withLock { $0 }.signal(SIGCONT)
    }

    /// Ends it at once; its folder stays for `restart`.
    package func kill() async {
        await self.process.withLock { $0 }.stop()
    }

    /// Ends it, if it runs, and starts it on the same port, empty.
    package func restart() async throws {
        await self.kill()
        let process = try await Self.launch(self.arguments)
        self.process.withLock { $0 = process }
    }

    /// Ends it and removes its folder.
    package func stop() async {
        await self.kill()
        try? FileManager.default.removeItem(atPath: self.folder)
    }

    /// Gives it a command by `redis-cli`, and returns what that printed. Throws if the server answers with an error.
    @discardableResult
    package func command(_ words: String...) async throws -> String {
        var arguments = [
            try ServerProcess.program("redis-cli", package: "redis-tools"), "-e", "-h", "127.0.0.1", "-p",
            "\(self.port)",
        ]
        switch self.variant {
        case .plain: break
        case .password(let password): arguments += ["--no-auth-warning", "-a", password]
        case .user(let name, let password, _):
            arguments += ["--no-auth-warning", "--user", name, "--pass", password]
        case .tls: arguments += ["--tls", "--cacert", self.certificateAuthority]
        }
        let ended = try await Subprocess.run(arguments + words)
        guard ended.status == 0 else {
            throw PeerError("redis-cli \(words): \(ended.output)\(ended.errors)")
        }
        return ended.output
    }

    // MARK: - One for all tests of a process

    private static let common = SharedRedis()

    /// One server for all tests of this process, which ends with it. Each test takes a key prefix of its own.
    package static func shared() async throws -> RedisServer { try await self.common.get() }

    // MARK: - Certificates

    private static func makeCertificates(_ names: [String], in folder: String) async throws {
        let openssl = try ServerProcess.program("openssl", package: "openssl")
        let isAddress: (String) -> Bool = { $0.allSatisfy { $0.isNumber || $0 == "." || $0 == ":" } }
        let alternatives = names.map { isAddress($0) ? "IP:\($0)" : "DNS:\($0)" }.joined(separator: ",")
        try "subjectAltName=\(alternatives)\nextendedKeyUsage=serverAuth\n"
            .write(toFile: "\(folder)/extensions", atomically: true, encoding: .utf8)
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        for words in [
            ["req", "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"] + key,
            ["req", "-subj", "/CN=redis", "-keyout", "server.key", "-out", "server.csr"] + key,
            [
                "x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "extensions", "-out", "server.pem",
            ],
        ] {
            let ended = try await Subprocess.run([openssl] + words, directory: folder)
            guard ended.status == 0 else { throw PeerError("openssl \(words[0]): \(ended.errors)") }
        }
    }
}

/// Starts once, whoever asks first.
private actor SharedRedis {
    private var starting: Task<RedisServer, any Error>?

    func get() async throws -> RedisServer {
        let task = self.starting ?? Task { try await RedisServer.start() }
        self.starting = task
        return try await task.value
    }
}
