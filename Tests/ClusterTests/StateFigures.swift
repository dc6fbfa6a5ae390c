import CBOR
import CoAP
import Foundation
import TestServers
import TestSupport
import Testing

/// Figures, not a test of anything: printed only when STATE_FIGURES asks for them with a number of devices.
@Suite("What stored states take", .timeLimit(.minutes(30)))
struct StateFigures {
    private static let links = 8
    private static let payloadBytes = 100

    @Test("Memory of a coap-interface and of Redis, for each mode", arguments: ["off", "passive", "observe"])
    func memory(_ mode: String) async throws {
        guard let count = ProcessInfo.processInfo.environment["STATE_FIGURES"].flatMap(Int.init) else { return }
        let shape = RunningCluster.Shape(coapInterfaces: 1, northbounds: 1, settings: ["STORED_STATE": mode])
        try await RunningCluster.with(shape) { cluster in
            let pod = cluster.coapInterfaces[0]
            // What is taken once is taken before: pools, scripts, the first buffers.
            try await Self.add(0..<100, cluster, mode)
            let before = (pod: try Self.resident(pod), redis: try await Self.used(cluster.redis))
            try await Self.add(100..<(100 + count), cluster, mode)
            if mode != "off" {
                try await cluster.eventually("the last states are in Redis", within: .seconds(60)) {
                    let length = try await cluster.redis.command("HLEN", "cg:state:{d\(99 + count)}")
                    return length.hasPrefix("\(Self.links)")
                }
            }
            let after = (pod: try Self.resident(pod), redis: try await Self.used(cluster.redis))
            print(
                "\(mode): \(count) devices of \(Self.links) links of \(Self.payloadBytes) bytes: "
                    + "\((after.pod - before.pod) / count) bytes a device in coap-interface, "
                    + "\((after.redis - before.redis) / count) in Redis")
            guard mode != "off" else { return }
            let usage = try await cluster.redis.command("MEMORY", "USAGE", "cg:state:{d99}", "SAMPLES", "0")
            print("\(mode): the key of one device: \(usage.prefix { $0.isNumber }) bytes")
        }
    }

    /// Each group of devices has an owner; with `passive` a client of his observes all of their links.
    private static func add(_ numbers: Range<Int>, _ cluster: RunningCluster, _ mode: String) async throws {
        let group = 25
        for start in stride(from: numbers.lowerBound, to: numbers.upperBound, by: group) {
            let owner = try await cluster.owner("owner-\(start)")
            let client = mode == "passive" ? try await owner.client("c\(start)").peer : nil
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in start..<min(start + group, numbers.upperBound) {
                    if number >= start + 8 { try await tasks.next() }
                    tasks.addTask { try await Self.add(number, owner, mode, client) }
                }
                try await tasks.waitForAll()
            }
        }
    }

    private static func add(_ number: Int, _ owner: Owner, _ mode: String, _ client: ScriptedPeer?) async throws {
        let device = try await owner.device("d\(number)")
        let hrefs = (0..<Self.links).map { "/link\($0)" }
        _ = try await device.peer.ask(.publish(di: device.di, hrefs: hrefs))
        guard mode != "off" else { return }
        for href in hrefs { try await client?.register("\(device.di)\(href)", token: .unique()) }
        for _ in hrefs {
            let request = try await device.peer.receivePastCSM()
            // With its key, the heads of both texts and of the map.
            let text = String(repeating: "x", count: Self.payloadBytes - 9)
            var response = Response(.content, payload: DataItem.map(["value": .text(text)]).encoded())
            response.options.contentFormat = .ocfCBOR
            response.options.observe = 0
            try await device.peer.answer(request, response)
        }
    }

    /// What a process has in memory, in bytes.
    private static func resident(_ process: ClusterProcess) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process.process.pid)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        guard let kilobytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) }) else {
            throw PeerError("no VmRSS of \(process.name)")
        }
        return kilobytes * 1024
    }

    private static func used(_ redis: RedisServer) async throws -> Int {
        let text = try await redis.command("INFO", "memory")
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("used_memory:") } ?? ""
        guard let bytes = Int(line.drop { !$0.isNumber }) else { throw PeerError("no used_memory: \(text)") }
        return bytes
    }
}
