import Foundation
import NIOCore
import NIOPosix
import TestServers
import TestSupport
import Testing

@Suite("When descriptors run out", .serialized, .timeLimit(.minutes(3)))
struct DescriptorTests {
    @Test("BI-51: beyond what descriptors leave room for new connections are reset, and those there are go on")
    func ceiling() async throws {
        try await GatewayProcess.with(descriptors: 256) { gateway in
            try await gateway.process.waitFor("MAX_CONNECTIONS is more than the limit of open files leaves room for")
            let device = try await gateway.cloud.owner("alice").device("00000000-0000-4000-8000-000000000001")
            let taken = await gateway.flood(600)
            // Half of 256, the device's among them. More only where a slow machine lets the first of them be over.
            #expect(taken.count >= 110)
            #expect(try gateway.descriptors().count <= 128 + 64)
            #expect(try await gateway.refused("descriptors") >= 590 - taken.count)
            #expect(gateway.process.outputSoFar.contains("as many are open as the limit of open files has room for"))
            #expect(try await gateway.processorShare(over: .seconds(1)) < 0.2)

            _ = try await device.discover()
            let admin = HTTPTestClient(port: gateway.admin)
            #expect(try await admin.get("/livez").status == 200)
            #expect(try await admin.get("/readyz").status == 200)
            let refused = try await HTTPTestClient(port: gateway.http).get("/errors")
            #expect(refused.status == 503)
            #expect(refused.member("type") == "/errors#no-room")
            #expect(refused["retry-after"] == "5")

            for peer in taken { await peer.close() }
            try await gateway.cloud.eventually("a place") {
                try await HTTPTestClient(port: gateway.http).get("/errors").status == 200
            }
            let late = try await gateway.cloud.connect()
            _ = try await late.receive()
            await late.close()
            await device.peer.close()
        }
    }

    @Test("BI-51: with no descriptor left no listener spins, and all of them go on when there are some again")
    func exhausted() async throws {
        try await GatewayProcess.with { gateway in
            let device = try await gateway.cloud.owner("alice").device("00000000-0000-4000-8000-000000000002")
            let began = ContinuousClock.now
            try await gateway.limitDescriptors(to: gateway.lowestFreeDescriptor())
            // The kernel takes them; nobody accepts them.
            let coap = try await ScriptedPeer.connect(port: gateway.coap)
            let http = try await HTTPTestClient(port: gateway.http).begin("GET", "/errors")
            let admin = try await HTTPTestClient(port: gateway.admin).begin("GET", "/livez")
            try await gateway.process.waitFor("no more files can be opened")
            try await gateway.process.waitFor("an HTTP connection could not be accepted")
            // A loop that spins uses one processor whole, and each of these listeners would.
            #expect(try await gateway.processorShare(over: .seconds(2)) < 0.2)
            _ = try await device.discover()

            try await gateway.limitDescriptors(to: 1000)
            #expect(try await admin.get().status == 200)
            #expect(try await http.get().status == 200)
            _ = try await coap.receive()
            // Four a second, on the one listener of CoAP that anybody came to.
            let attempts = try await gateway.refused("no-descriptor")
            let seconds = Int(began.duration(to: .now).components.seconds) + 1
            #expect((1...(seconds * 4 + 4)).contains(attempts))
            await coap.close()
            await device.peer.close()
        }
    }
}

extension GatewayProcess {
    /// Those that are open.
    fileprivate func descriptors() throws -> Set<Int> {
        let names = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(self.process.pid)/fd")
        return Set(names.compactMap { Int($0) })
    }

    /// The number the next file would get.
    fileprivate func lowestFreeDescriptor() throws -> Int {
        let open = try self.descriptors()
        return (0...).first { !open.contains($0) } ?? 0
    }

    /// Connects so many times, many at once, and gives those who were let in: these are greeted with our CSM.
    func flood(_ count: Int) async -> [ScriptedPeer] {
        await withTaskGroup(of: [ScriptedPeer].self) { group in
            for _ in 0..<20 {
                group.addTask {
                    var taken: [ScriptedPeer] = []
                    for _ in 0..<count / 20 {
                        guard let peer = try? await ScriptedPeer.connect(port: self.coap) else { continue }
                        if (try? await peer.receive()) != nil { taken.append(peer) } else { await peer.close() }
                    }
                    return taken
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// Changes its limit of open files while it runs; those it has stay open.
    fileprivate func limitDescriptors(to count: Int) async throws {
        let limited = try await Subprocess.run(
            ["/usr/bin/prlimit", "--pid", "\(self.process.pid)", "--nofile=\(count):"])
        guard limited.status == 0 else { throw PeerError(limited.errors) }
    }

    /// Which part of one processor it uses over this time from now.
    func processorShare(over time: TimeAmount) async throws -> Double {
        let before = try self.processorTicks()
        let began = ContinuousClock.now
        try await MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: time) {}.futureResult.get()
        let ticks = try self.processorTicks() - before
        let took = began.duration(to: .now) / .seconds(1)
        return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK))) / took
    }

    /// The time of processors it has used (proc(5): utime and stime).
    private func processorTicks() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(self.process.pid)/stat", encoding: .utf8)
        // The name before the parenthesis may be anything. The state behind it is the third field.
        let fields = (text.split(separator: ")").last ?? "").split(separator: " ")
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            throw PeerError("no time in \(text)")
        }
        return user + system
    }

    /// How many connections of CoAP were not taken for this reason.
    func refused(_ reason: String) async throws -> Int {
        let page = try await HTTPTestClient(port: self.admin).get("/metrics").text
        let name = "coap_connections_refused_total{reason=\"\(reason)\"} "
        let line = page.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.dropFirst(name.count)) } ?? 0
    }

    var cloud: ProcessCloud { ProcessCloud(http: HTTPTestClient(port: self.http), coap: self.coap) }
}

/// A gateway in a process of its own, as one to provision devices at.
struct ProcessCloud: CloudUnderTest {
    let http: HTTPTestClient
    fileprivate let coap: Int

    func connect() async throws -> ScriptedPeer { try await ScriptedPeer.connect(port: self.coap) }
}
