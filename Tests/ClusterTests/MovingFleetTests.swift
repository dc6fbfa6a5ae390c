import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Fleets whose pods drain", .serialized, .timeLimit(.minutes(5)))
struct MovingFleetTests {
    /// A fleet in a process of its own.
    /// - Parameter ports: each connection of a device takes the next; the first device begins with the first.
    private static func fleet(
        _ prefix: String, _ devices: Int, at ports: [Int], in cluster: RunningCluster, _ flags: String...
    ) throws -> Subprocess {
        try Subprocess(
            [
                "mock-device", "run", "--address", "127.0.0.1:\(ports.map(String.init).joined(separator: ","))",
                "--northbound",
                "http://127.0.0.1:\(try cluster.northbounds[0].port("http"))", "--user", prefix, "--prefix",
                "\(prefix)-", "--devices", "\(devices)",
            ] + flags)
    }

    private static func expect(_ sessions: Int, at pod: ClusterProcess, in cluster: RunningCluster) async throws {
        try await cluster.eventually("\(sessions) are at \(pod.name)", within: .seconds(60)) {
            try await pod.admin.get("/status").member("sessions") == "\(sessions)"
        }
    }

    /// How many sessions came to this end, by the line a pod ends with.
    private static func ended(_ end: String, in line: String) -> Int {
        let word = line.split(separator: " ").first { $0.hasPrefix("sessions.\(end)=") }
        return word.flatMap { Int($0.split(separator: "=")[1]) } ?? 0
    }

    @Test("RFC 8323 §5.5: devices that heed Alternative-Address go where a pod that drains sends them")
    func alternativeAddress() async throws {
        let settings = ["DRAIN_PROPAGATION": "1", "DRAIN_WINDOW": "2"]
        try await RunningCluster.with(.init(coapInterfaces: 1, northbounds: 1, settings: settings)) { cluster in
            let port = try ServerProcess.freePort()
            try await cluster.startCoAPInterface([
                "COAP_PORT": "\(port)", "ALTERNATIVE_ADDRESS": "coap+tcp://127.0.0.1:\(port)",
            ])
            let (old, new) = (cluster.coapInterfaces[0], cluster.coapInterfaces[1])
            try await new.isReady()
            // They know the old one only.
            let fleet = try Self.fleet("polite", 6, at: [old.port("coap")], in: cluster, "--profile", "polite")
            try await Self.expect(6, at: old, in: cluster)
            #expect(await old.stop().status == 0)
            cluster.forget(old)
            try await Self.expect(6, at: new, in: cluster)
            fleet.signal(SIGTERM)
            let ended = await fleet.ended()
            #expect(ended.status == 0, "\(ended.output)\(ended.errors)")
            let line = try #require(old.log.last { $0.contains("drained") })
            #expect(line.contains("sessions.closed-by-device=6"), "\(line)")
        }
    }

    @Test("Two pods that drain at the same time release half of FLEET_RECONNECTS each, and no request fails")
    func twoAtOnce() async throws {
        // Long enough to hear of each other.
        let settings = [
            "DRAIN_PROPAGATION": "4", "DRAIN_WINDOW": "2", "FLEET_RECONNECTS": "4", "ACCESS_LOG": "off",
            "LOG_LEVEL": "debug",
        ]
        let count = 12
        try await RunningCluster.with(.init(coapInterfaces: 3, northbounds: 1, settings: settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let pods = Array(cluster.coapInterfaces.prefix(2))
            try await DrainTests.withDevices(0..<count, of: owner, in: cluster, places: (0, 2)) { first in
                try await DrainTests.withDevices(
                    count..<2 * count, of: owner, in: cluster, places: (1, 2)
                ) { second in
                    let devices = first + second
                    let isOver = Flag(false)
                    async let load = DrainTests.load(devices, of: owner, in: cluster, lanes: 3) { isOver.value }
                    async let one = pods[0].stop()
                    async let other = pods[1].stop()
                    #expect(await [one.status, other.status] == [0, 0])
                    try await cluster.eventually("all are at the third") { devices.allSatisfy { $0.sessions == 2 } }
                    isOver.set(true)
                    DrainTests.check(try await load, of: devices, in: cluster)
                    #expect(devices.allSatisfy { $0.releases.count == 1 })
                    // Two a second each: alone, each would take less than 3 s.
                    for group in [first, second] {
                        let times = group.flatMap(\.releasedAt).sorted()
                        let span = try #require(times.first).duration(to: try #require(times.last))
                        #expect(span > .seconds(4.5), "\(count) released within \(span)")
                    }
                }
            }
            for pod in pods { cluster.forget(pod) }
        }
    }

    @Test("Devices that ignore a Release are half-closed and closed, slow readers hold nobody up, no request fails")
    func quirks() async throws {
        let settings = ["DRAIN_PROPAGATION": "1", "DRAIN_WINDOW": "3", "ACCESS_LOG": "off", "LOG_LEVEL": "debug"]
        try await RunningCluster.with(.init(northbounds: 1, settings: settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let pod = cluster.coapInterfaces[0]
            // First at the one that drains, and then at the other.
            let ports = try cluster.coapInterfaces.map { try $0.port("coap") }
            let fleets = try [
                ("deaf-1", "ignore-release"), ("deaf-2", "ignore-release"), ("slow-1", "slow-reader"),
                ("slow-2", "slow-reader"),
            ].map { name, quirk in
                try Self.fleet(name, 1, at: ports, in: cluster, "--profile", "libcoap", "--quirk", quirk)
            }
            try await Self.expect(4, at: pod, in: cluster)
            try await DrainTests.withDevices(0..<4, of: owner, in: cluster) { devices in
                let isOver = Flag(false)
                async let load = DrainTests.load(devices, of: owner, in: cluster, lanes: 3) { isOver.value }
                try await cluster.eventually("the load runs", within: .seconds(60)) {
                    devices.allSatisfy { $0.asked.count > 2 }
                }
                #expect(await pod.stop().status == 0)
                try await cluster.eventually("the healthy ones are back") { devices.allSatisfy { $0.sessions == 2 } }
                isOver.set(true)
                DrainTests.check(try await load, of: devices, in: cluster)
            }
            let line = try #require(pod.log.last { $0.contains("drained") })
            #expect(Self.ended("half-closed", in: line) == 2, "\(line)")
            // A slow reader may close with bytes unread, which resets the connection.
            #expect(Self.ended("closed-by-device", in: line) + Self.ended("gone", in: line) == 6, "\(line)")
            try await Self.expect(4, at: cluster.coapInterfaces[1], in: cluster)
            for fleet in fleets {
                fleet.signal(SIGTERM)
                _ = await fleet.ended()
            }
            cluster.forget(pod)
        }
    }
}
