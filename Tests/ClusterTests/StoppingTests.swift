import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("A northbound or a registry that stops", .timeLimit(.minutes(3)))
struct StoppingTests {
    private static let settings = ["DRAIN_PROPAGATION": "2"]

    private static func saysThatItDrains(_ process: ClusterProcess) async throws -> Bool {
        let ready = try await process.admin.get("/readyz")
        return ready.status == 503 && ready.text.contains("draining: ")
    }

    @Test("A northbound stops under load: what it is still sent is answered, and what is in progress finishes")
    func northboundUnderLoad() async throws {
        try await RunningCluster.with(.init(programSettings: [.northbound: Self.settings])) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let slowIsHere = Flag(false)
            let maySlow = Flag(false)
            async let served: Void = Self.serve(device.peer, slowIsHere, until: { maySlow.value })
            let (one, other) = (cluster.northbounds[0], cluster.northbounds[1])
            let hasHeard = Flag(false)
            let isOver = Flag(false)
            async let answers = withThrowingTaskGroup(of: [HTTPTestAnswer].self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        var answers: [HTTPTestAnswer] = []
                        while !isOver.value, !Task.isCancelled {
                            let door = hasHeard.value ? other : one
                            let client = HTTPTestClient(host: door.host, port: try door.port("http"))
                            answers.append(try await client.request("POST", "/lamp/light", token: owner.token))
                        }
                        return answers
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            let door = HTTPTestClient(host: one.host, port: try one.port("http"))
            async let slow = door.request("POST", "/lamp/slow", token: owner.token)
            try await cluster.eventually("the device has it") { slowIsHere.value }
            async let ended = one.stop()
            try await cluster.eventually("it says so") { try await Self.saysThatItDrains(one) }
            // A balancer hears of it; until then it sends on.
            hasHeard.set(true)
            try await cluster.eventually("it finishes") {
                one.log.contains { $0.contains("what is in progress is finished") }
            }
            maySlow.set(true)
            #expect(try await slow.text == "done")
            #expect(await ended.status == 0)
            isOver.set(true)
            let all = try await answers
            #expect(all.count > 10)
            #expect(all.allSatisfy { $0.status == 200 && $0.text == "done" })
            await device.peer.close()
            try await served
            cluster.forget(one)
        }
    }

    /// Answers; what is for `slow` only when it may.
    private static func serve(_ peer: ScriptedPeer, _ slowIsHere: Flag, until maySlow: () -> Bool) async throws {
        var held: Message?
        while let message = try await peer.receiveOrEnd() {
            if let slow = held, maySlow() {
                held = nil
                try await peer.answer(slow, Response(.content, payload: ByteBuffer(string: "done")))
            }
            switch message.code {
            case .post where message.options.path == ["slow"]:
                held = message
                slowIsHere.set(true)
            case .post:
                try await peer.answer(message, Response(.content, payload: ByteBuffer(string: "done")))
            default:
                break
            }
        }
    }

    @Test("A northbound that stops ends its event streams last; resumed at another one nothing is missed")
    func eventStream() async throws {
        try await RunningCluster.with(.init(programSettings: [.northbound: Self.settings])) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let one = cluster.northbounds[0]
            let reader = try await EventReader.open(try cluster.http(0), "/events", token: owner.token)
            #expect(try await reader.next().name == "ready")
            async let ended = one.stop()
            try await cluster.eventually("it says so") { try await Self.saysThatItDrains(one) }
            // It serves on, a stream that was opened before and one that a balancer still sends here.
            try await device.publish("/while-it-serves")
            let event = try await reader.next()
            #expect(event.name == "links.published" && event.data.contains("/while-it-serves"))
            let late = try await EventReader.open(try cluster.http(0), "/events", token: owner.token)
            #expect(try await late.next().name == "ready")
            try await reader.receiveEnd()
            try await late.receiveEnd()
            #expect(await ended.status == 0)
            try await device.publish("/in-between")
            let place = try #require(event.id)
            let resumed = try await EventReader.open(try cluster.http(1), "/events", token: owner.token, after: place)
            #expect(try await resumed.next().name == "ready")
            #expect(try await resumed.next().data.contains("/in-between"))
            for reader in [reader, late, resumed] { await reader.close() }
            cluster.forget(one)
        }
    }

    @Test("One of two registries stops while devices sign in: none is refused")
    func registry() async throws {
        let proxy = try await FaultyProxy.start(to: try ServerProcess.freePort())
        let shape = RunningCluster.Shape(
            settings: ["REGISTRY": "127.0.0.1:\(proxy.port)"], programSettings: [.registry: Self.settings],
            isAwaited: false)
        try await RunningCluster.with(shape) { cluster in
            let one = try cluster.registry
            proxy.turn(to: try one.port("registry"))
            for process in cluster.running { try await process.isReady() }
            let owner = try await cluster.owner("alice")
            let logins = try await [owner.signedUp("a"), owner.signedUp("b"), owner.signedUp("c"), owner.signedUp("d")]
            let other = try await cluster.startRegistry(["REGISTRY_PORT": "0"])
            try await other.isReady()

            let isOver = Flag(false)
            async let signIns = withTaskGroup(of: Int.self) { group in
                for login in logins {
                    group.addTask { await Self.signInAgainAndAgain(login, in: cluster, until: isOver) }
                }
                return await group.reduce(0, +)
            }
            async let ended = one.stop()
            try await cluster.eventually("it says so") { try await Self.saysThatItDrains(one) }
            proxy.turn(to: try other.port("registry"))
            #expect(await ended.status == 0)
            let after = other.requestsSoFar
            try await cluster.eventually("the other one serves") { other.requestsSoFar > after + 10 }
            isOver.set(true)
            #expect(await signIns > 10)
            cluster.forget(one)
        }
        await proxy.stop()
    }

    /// How often it was granted. Nobody has these tokens in a cache.
    private static func signInAgainAndAgain(
        _ login: IssuedLogin, in cluster: RunningCluster, until isOver: Flag
    ) async -> Int {
        var login = login
        var count = 0
        while !isOver.value, !Task.isCancelled {
            do {
                let peer = try await cluster.connect(to: count % 2)
                login = try await peer.refresh(login.di, of: login.uid, with: login.refreshToken)
                _ = try await login.signIn(on: peer)
                await peer.close()
                count += 1
            } catch {
                // Told here: whoever waits for the next one would only say that it did not come.
                Issue.record(error, "sign-in \(count + 1) of \(login.di)")
                return count
            }
        }
        return count
    }
}

extension ClusterProcess {
    /// Lines of its access log.
    fileprivate var requestsSoFar: Int { self.log.count { $0.contains(" access.") } }
}
