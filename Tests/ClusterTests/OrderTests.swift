import CoAP
import NIOCore
import Synchronization
import TestServers
import TestSupport
import Testing

@Suite("Requests in their order to a device that moves", .timeLimit(.minutes(5)))
struct OrderTests {
    /// So many of one client are without an answer at a time: as many as an edge lets wait for one device.
    private static let outstanding = 16
    /// A CoAP client is on one event loop of several; what HTTP clients send over connections of their own has an order
    /// where these are on one event loop.
    private static let shape = RunningCluster.Shape(
        coapInterfaces: 3, northbounds: 1,
        settings: ["DRAIN_PROPAGATION": "1", "DRAIN_WINDOW": "2", "LOG_LEVEL": "debug", "ACCESS_LOG": "off"],
        programSettings: [.coapInterface: ["EVENT_LOOPS": "3"]])

    /// Sends one after the other over one connection, at most so many without an answer.
    /// - Returns: how many there were.
    private static func ask(
        _ di: String, _ name: String, over peer: ScriptedPeer, until isOver: @escaping @Sendable () -> Bool
    ) async throws -> Int {
        var sent = 0
        var waiting: [Token: Int] = [:]
        while true {
            while !isOver(), !Task.isCancelled, waiting.count < Self.outstanding {
                let token = Token(eightBytes: UInt64(sent))
                waiting[token] = sent
                try await peer.start(.ocf(.post, "\(di)/light", queries: ["n=\(name)-\(sent)"]), token: token)
                sent += 1
            }
            guard !waiting.isEmpty else { return sent }
            let answer = try await peer.receivePastCSM()
            guard let number = waiting.removeValue(forKey: answer.token) else {
                throw PeerError("\(answer.code) under token \(answer.token), which nobody waits for")
            }
            guard answer.code == .content, answer.text == "\(di) n=\(name)-\(number)" else {
                throw PeerError("\(name)-\(number): \(answer.code) \(answer.text)")
            }
        }
    }

    /// The same over HTTP, each request on a connection of its own and begun when that before it had been.
    private static func ask(
        _ di: String, _ name: String, at door: HTTPTestClient, token: String,
        until isOver: @escaping @Sendable () -> Bool
    ) async throws -> Int {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var sent = 0
            while !isOver(), !Task.isCancelled {
                if sent >= Self.outstanding { try await group.next() }
                let query = "n=\(name)-\(sent)"
                let answer = try await door.begin("POST", "/\(di)/light?\(query)", token: token)
                group.addTask {
                    let answer = try await answer.get()
                    guard answer.status == 200, answer.text == "\(di) \(query)" else {
                        throw PeerError("\(query): \(answer.status) \(answer.text)")
                    }
                }
                sent += 1
                // What came later has its answer.
                let probe = try await door.get("/devices/\(di)", token: token)
                guard probe.status == 200 else { throw PeerError("\(probe.status) \(probe.text)") }
            }
            try await group.waitForAll()
            return sent
        }
    }

    @Test("In the order they were sent, none lost, none twice: over HTTP, and over CoAP at the new pod and at a third")
    func moved() async throws {
        try await RunningCluster.with(Self.shape) { cluster in
            let owner = try await cluster.owner("alice")
            var clients: [(name: String, peer: ScriptedPeer)] = []
            for (index, name) in [(1, "phone"), (2, "tablet")] {
                let code = try await cluster.clientCode(name, mediator: owner.mediator)
                let login = try await owner.signUp(name, code: code)
                clients.append((name, try await login.signIn(on: cluster.connect(to: index)).peer))
            }
            let all = clients
            let pod = cluster.coapInterfaces[0]
            try await DrainTests.withDevices(
                0..<1, of: owner, in: cluster, takes: { _ in .milliseconds(150) }
            ) { devices in
                let device = devices[0]
                let isOver = Flag(false)
                func answered(_ session: Int) -> Int { device.asked.count { $0.session == session } }
                let counts = try await withThrowingTaskGroup(of: (String, Int).self) { group in
                    for (name, peer) in all {
                        group.addTask {
                            (name, try await Self.ask(device.di, name, over: peer) { isOver.value })
                        }
                    }
                    group.addTask {
                        let door = try cluster.http(0)
                        return (
                            "http",
                            try await Self.ask(device.di, "http", at: door, token: owner.token) { isOver.value }
                        )
                    }
                    defer { isOver.set(true) }
                    try await cluster.eventually("the load runs") { answered(0) > 100 }
                    #expect(await pod.stop().status == 0)
                    try await cluster.eventually("it is asked at the new pod") { answered(1) > 200 }
                    isOver.set(true)
                    return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
                }
                for (name, count) in counts {
                    let seen = device.asked.map(\.query).filter { $0.hasPrefix("n=\(name)-") }
                    let sent = (0..<count).map { "n=\(name)-\($0)" }
                    let first = zip(seen, sent).first { $0 != $1 }.map { "\($0) for \($1)" } ?? "none"
                    #expect(seen == sent, "\(name): \(seen.count) of \(count), the first out of order: \(first)")
                }
                #expect(device.releases.count == 1)
                #expect(Set(device.asked.map(\.session)) == [0, 1])
            }
            cluster.forget(pod)
        }
    }
}
