import CoAP
import Foundation
import Glibc
import NIOCore
import ServiceShell
import TestServers
import TestSupport
import Testing

@Suite("Logs and metrics that nobody takes", .timeLimit(.minutes(3)))
struct OutputTests {
    /// The program's output goes into a pipe that somebody holds open and never reads.
    private static let script = """
        mkfifo "$1"
        sleep 600 < "$1" >/dev/null 2>&1 &
        echo "holder.pid=$!."
        shift
        exec "$@" > "$FIFO"
        """

    private struct Unread {
        let process: Subprocess
        let holder: pid_t
        let ports: [String: Int]
    }

    private static func start(
        _ program: ClusterProcess.Program, in cluster: RunningCluster
    ) async throws -> Unread {
        let name = "unread-\(program.rawValue)"
        let place = "\(cluster.directory)/\(name)"
        var settings = cluster.settings(of: program)
        settings.merge([
            "POD_NAME": name, "PORTS_FILE": "\(place).ports", "LOG_LEVEL": "debug", "FIFO": "\(place).fifo",
        ]) { $1 }
        for setting in program.portSettings { settings[setting] = "0" }
        let process = try Subprocess(
            [
                "/bin/sh", "-c", Self.script, "sh", "\(place).fifo",
                "\(Subprocess.products)/\(program.rawValue)",
            ], environment: settings)
        try await process.waitFor("holder.pid=")
        let text = process.outputSoFar.drop { !$0.isNumber }.prefix { $0.isNumber }
        guard let holder = pid_t(text) else { throw PeerError("no holder in \(process.outputSoFar)") }
        try await cluster.eventually("\(name) is ready") {
            guard let port = PortsFile.read("\(place).ports")["admin"] else { return false }
            return try await HTTPTestClient(port: port).get("/readyz").status == 200
        }
        return Unread(process: process, holder: holder, ports: PortsFile.read("\(place).ports"))
    }

    @Test("BI-81: a log that nobody reads, and then one that is closed, costs lines and nothing else")
    func unreadLog() async throws {
        try await RunningCluster.with { cluster in
            let northbound = try await Self.start(.northbound, in: cluster)
            let pod = try await Self.start(.coapInterface, in: cluster)
            let owner = try await cluster.owner("alice")
            let login = try await owner.signedUp("lamp")
            let device = try await login.signIn(on: .connect(port: #require(pod.ports["coap"])))
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            let http = HTTPTestClient(port: try #require(northbound.ports["http"]))
            // A pipe holds 64 KiB; a request costs each program more than 100 bytes.
            for request in 0..<800 {
                let answer = try await http.get("/lamp/light", token: owner.token)
                #expect(answer.text == "lamp", "\(request): \(answer.status) \(answer.text)")
            }
            for holder in [northbound.holder, pod.holder] { kill(holder, SIGKILL) }
            for request in 0..<50 {
                let answer = try await http.get("/lamp/light", token: owner.token)
                #expect(answer.text == "lamp", "closed, \(request): \(answer.status) \(answer.text)")
            }
            await device.peer.close()
            #expect(try await served.abort == nil)
            for unread in [northbound, pod] {
                unread.process.signal(SIGTERM)
                let ended = await unread.process.ended(patience: 60)
                #expect(ended.status == 0, "\(ended.errors)")
            }
        }
    }

    @Test("BI-81: scrapes of metrics that never read their answer do not slow a request, and the next scrape is served")
    func unreadMetrics() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            var scrapes: [ScriptedPeer] = []
            for process in cluster.running {
                for _ in 0..<100 {
                    let peer = try await ScriptedPeer.connect(port: process.port("admin"))
                    try await peer.setReading(false)
                    // One that was refused is closed already.
                    try? await peer.send(bytes: Array("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".utf8))
                    scrapes.append(peer)
                }
            }
            for door in cluster.northbounds.indices {
                for _ in 0..<50 {
                    #expect(try await cluster.http(door).get("/lamp/light", token: owner.token).text == "lamp")
                }
            }
            for process in cluster.running {
                try await cluster.eventually("\(process.name) serves its metrics") {
                    (try? await process.admin.get("/metrics").status) == 200
                }
            }
            for peer in scrapes { await peer.close() }
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
    }
}
