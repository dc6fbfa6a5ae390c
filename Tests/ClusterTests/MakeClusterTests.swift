import Foundation
import Glibc
import TestServers
import TestSupport
import Testing

@Suite("make cluster", .timeLimit(.minutes(3)))
struct MakeClusterTests {
    private static let basePorts = [
        8080, 8082, 5683, 5685, 8081, 8083, 5688, 9090, 9091, 9092, 9093, 9094, 3307, 6380,
    ]

    @Test("It serves README's session, refuses a second start, names a taken port, and Ctrl-C leaves nothing behind")
    func fromStartToEnd() async throws {
        let folder = try ServerProcess.temporaryFolder("make-cluster")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let offset = try await Self.freeOffset()
        let settings = [
            "PRODUCTS": Subprocess.products, "CLUSTER_DIR": "\(folder)/data", "PORT_OFFSET": "\(offset)",
        ]
        let script = "\(Subprocess.root)/scripts/cluster"
        let cluster = try Subprocess([script], environment: settings)
        do {
            try await cluster.waitFor("The cluster is up; Ctrl-C stops it.")
            let started = Self.children(of: cluster.pid)
            #expect(started.count >= 7, "\(started)")

            try await Readme.runSession(http: 8080 + offset, coap: 5683 + offset)
            try await Readme.runSession(http: 8082 + offset, coap: 5685 + offset, suffix: "-2")
            let second = try await Subprocess.run([script], environment: settings)
            #expect(second.status == 1)
            #expect(second.errors.contains("runs on \(folder)/data already, started by process \(cluster.pid)"))
            let elsewhere = settings.merging(["CLUSTER_DIR": "\(folder)/other"]) { $1 }
            let third = try await Subprocess.run([script], environment: elsewhere)
            #expect(third.status == 1)
            #expect(third.errors.contains(" \(8080 + offset) (for northbound-1's HTTP)"), "\(third.errors)")

            try await Self.follow(offset: offset, logs: "\(folder)/data")
            cluster.signal(SIGINT)
            let ended = await cluster.ended(patience: 60)
            #expect(ended.status == 0, "\(ended.errors)")
            for process in started { #expect(kill(process, 0) != 0, "process \(process) is left") }
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/data/pid"))
        } catch {
            cluster.signal(SIGTERM)
            _ = await cluster.ended(patience: 60)
            throw error
        }
    }

    /// README: one request shows in the log of every program it went through.
    private static func follow(offset: Int, logs: String) async throws {
        _ = try await HTTPTestClient(port: 8080 + offset).request(
            "POST", "/register/user",
            headers: [("x-request-id", "my-request-1"), ("content-type", "application/json")],
            body: "{\"uid\": \"carol\", \"authprovider\": \"github\"}")
        let command = "grep request.id=my-request-1 \(logs)/*.log"
        let found = try await Subprocess.run(["/bin/sh", "-c", command])
        for name in ["northbound-1", "registry"] { #expect(found.output.contains("/\(name).log:"), "\(found.output)") }
    }

    /// What is added to every port, so that all are free.
    private static func freeOffset() async throws -> Int {
        for offset in stride(from: 21_000, to: 50_000, by: 1_111) {
            let taken =
                "for port in \(Self.basePorts.map { "\($0 + offset)" }.joined(separator: " ")); do"
                + " (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && exit 1; done; exit 0"
            if try await Subprocess.run(["/bin/bash", "-c", taken]).status == 0 { return offset }
        }
        throw PeerError("no free ports for a cluster")
    }

    /// The processes this one started itself and that still run.
    private static func children(of parent: pid_t) -> [pid_t] {
        let processes = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap(pid_t.init)
        return processes.filter { process in
            let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
            return status.split(separator: "\n").contains("PPid:\t\(parent)")
        }
    }
}
