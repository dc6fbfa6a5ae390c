import CoAP
import Foundation
import NIOCore
import Synchronization
import TestServers
import TestSupport
import Testing

@Suite("A coap-interface that drains", .timeLimit(.minutes(5)))
struct DrainTests {
    private static let devices = 12
    private static let settings = [
        "DRAIN_PROPAGATION": "1", "DRAIN_WINDOW": "3", "LOG_LEVEL": "debug", "ACCESS_LOG": "off",
    ]

    /// Devices that are all at the first pod and come back at the second, for as long as `body` runs.
    /// - Parameters:
    ///   - firstAtOld: how often each connects to the first pod, as long as that takes connections.
    ///   - places: which pods these are.
    static func withDevices(
        _ numbers: Range<Int>, of owner: Owner, in cluster: RunningCluster, heedRelease: Bool = true,
        firstAtOld: Int = 1, places: (old: Int, new: Int) = (0, 1),
        takes: @escaping @Sendable (Message) -> Duration = { _ in .zero },
        _ body: @Sendable ([ReturningDevice]) async throws -> Void
    ) async throws {
        let (old, new) = (cluster.coapInterfaces[places.old], cluster.coapInterfaces[places.new])
        var devices: [ReturningDevice] = []
        for number in numbers {
            let login = try await owner.signedUp("lamp-\(number)")
            await login.peer.close()
            let connections = Turns()
            devices.append(
                ReturningDevice(login, heedsRelease: heedRelease, takes: takes) {
                    if connections.next() < firstAtOld,
                        let peer = try? await ScriptedPeer.connect(port: old.port("coap"))
                    {
                        return peer
                    }
                    return try await ScriptedPeer.connect(port: new.port("coap"))
                })
        }
        let all = devices
        try await withThrowingTaskGroup(of: Void.self) { group in
            for device in all { group.addTask { try await device.run() } }
            let result: Result<Void, any Error>
            do {
                try await cluster.eventually("all devices are signed in", within: .seconds(60)) {
                    all.allSatisfy { $0.sessions == 1 }
                }
                result = .success(try await body(all))
            } catch {
                result = .failure(error)
            }
            for device in all { await device.stop() }
            try result.get()
            try await group.waitForAll()
        }
    }

    /// Asks all devices in turn, each request once, until it is told to stop.
    static func load(
        _ devices: [ReturningDevice], of owner: Owner, in cluster: RunningCluster, lanes: Int = 6,
        until isOver: @escaping @Sendable () -> Bool
    ) async throws -> [String: HTTPTestAnswer] {
        let methods = ["GET", "POST", "DELETE", "POST"]
        return try await withThrowingTaskGroup(of: [String: HTTPTestAnswer].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var answers: [String: HTTPTestAnswer] = [:]
                    var number = lane
                    while !isOver(), !Task.isCancelled {
                        let device = devices[number % devices.count]
                        let name = "n=\(number)"
                        answers["\(device.di) \(name)"] = try await cluster.http(number % cluster.northbounds.count)
                            .request(
                                methods[(number / devices.count) % methods.count], "/\(device.di)/light?\(name)",
                                token: owner.token)
                        number += lanes
                    }
                    return answers
                }
            }
            return try await group.reduce(into: [:]) { $0.merge($1) { $1 } }
        }
    }

    /// Every request was answered by its device, which got it once.
    static func check(
        _ answers: [String: HTTPTestAnswer], of devices: [ReturningDevice], in cluster: RunningCluster
    ) {
        let failed = answers.filter { $0.value.status != 200 || $0.value.text != $0.key }
        for (name, answer) in failed.prefix(3) {
            let di = name.prefix { $0 != " " }
            let log = cluster.logs.filter { $0.contains("device.id=\(di)") }.sorted().suffix(40)
            Issue.record("\(name): \(answer.status) \(answer.text)\n\(log.joined(separator: "\n"))")
        }
        for device in devices {
            let asked = device.asked.map(\.query)
            #expect(Set(asked).count == asked.count, "\(device.di) was asked something twice")
        }
    }

    @Test("Under steady load every request is answered, each once; the pod ends with 0, its lease gone, devices moved")
    func steadyLoad() async throws {
        try await RunningCluster.with(.init(settings: Self.settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let pod = cluster.coapInterfaces[0]
            try await Self.withDevices(0..<Self.devices, of: owner, in: cluster) { devices in
                let isOver = Flag(false)
                async let load = Self.load(devices, of: owner, in: cluster) { isOver.value }
                try await cluster.eventually("the load runs") { devices.allSatisfy { $0.asked.count > 2 } }
                async let ended = pod.stop()
                try await cluster.eventually("it says that it drains") {
                    let ready = try await pod.admin.get("/readyz")
                    return ready.status == 503 && ready.text.contains("draining: ")
                }
                try await cluster.eventually("the lease says so") {
                    try await Self.field("draining", of: pod, in: cluster) == "1"
                }
                try await cluster.eventually("it releases") {
                    try await pod.admin.get("/status").text.contains("\"phase\" : \"releasing\"")
                }
                #expect(await ended.status == 0)
                #expect(try await Self.field("seen", of: pod, in: cluster) == nil)
                try await cluster.eventually("all devices are back") { devices.allSatisfy { $0.sessions == 2 } }
                let before = devices.map(\.asked.count)
                try await cluster.eventually("and are asked there") {
                    zip(devices, before).allSatisfy { $0.asked.count > $1 + 1 }
                }
                isOver.set(true)
                Self.check(try await load, of: devices, in: cluster)
                for device in devices {
                    #expect(device.releases.count == 1)
                    #expect(device.releases.allSatisfy { $0.options.isEmpty }, "no Hold-Off, no other address")
                }
            }
            let line = try #require(pod.log.last { $0.contains("drained") })
            #expect(line.contains("sessions.closed-by-device=\(Self.devices)"), "\(line)")
            cluster.forget(pod)
            let history = DeliveryHistory(cluster.podLogs)
            #expect(history.violations.isEmpty, "\(history.violations.prefix(5))")
        }
    }

    @Test("What is in flight for seconds is answered by the session it was sent over; what comes meanwhile waits")
    func inFlight() async throws {
        try await RunningCluster.with(.init(settings: Self.settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let pod = cluster.coapInterfaces[0]
            let takes: @Sendable (Message) -> Duration = {
                $0.options.queries?.first == "n=slow" ? .seconds(5) : .zero
            }
            try await Self.withDevices(0..<1, of: owner, in: cluster, takes: takes) { devices in
                async let slow = cluster.http(0).request("POST", "/lamp-0/light?n=slow", token: owner.token)
                try await cluster.eventually("it is asked") { devices[0].asked.count == 1 }
                async let ended = pod.stop()
                try await cluster.eventually("it is quiescing") {
                    let answer = try await pod.admin.get("/status").text
                    return answer.contains("\"phase\" : \"releasing\"")
                }
                async let next = cluster.http(1).request("POST", "/lamp-0/light?n=next", token: owner.token)
                let answer = try await slow
                #expect(answer.status == 200 && answer.text == "lamp-0 n=slow", "\(answer.status) \(answer.text)")
                #expect(try await next.text == "lamp-0 n=next")
                #expect(await ended.status == 0)
                #expect(devices[0].asked.filter { $0.query == "n=slow" }.map(\.session) == [0])
                #expect(devices[0].asked.filter { $0.query == "n=next" }.count == 1)
            }
            cluster.forget(pod)
        }
    }

    @Test("Devices that a late balancer puts back on the pod that drains are served there and released again, last")
    func lateBalancer() async throws {
        let settings = Self.settings.merging(["DRAIN_WINDOW": "5"]) { $1 }
        try await RunningCluster.with(.init(settings: settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let pod = cluster.coapInterfaces[0]
            try await Self.withDevices(0..<Self.devices, of: owner, in: cluster, firstAtOld: 2) { devices in
                let isOver = Flag(false)
                async let load = Self.load(devices, of: owner, in: cluster, lanes: 3) { isOver.value }
                try await cluster.eventually("the load runs") { devices.allSatisfy { $0.asked.count > 1 } }
                #expect(await pod.stop().status == 0)
                try await cluster.eventually("all devices are elsewhere") {
                    let status = try await cluster.coapInterfaces[1].admin.get("/status")
                    return status.member("sessions") == "\(Self.devices)"
                }
                isOver.set(true)
                Self.check(try await load, of: devices, in: cluster)
                #expect(devices.contains { $0.releases.count == 2 }, "nobody came back to the pod that drains")
            }
            cluster.forget(pod)
        }
    }

    @Test("A device that does not heed its Release is half-closed after 5 s, and comes back like the others")
    func deaf() async throws {
        try await RunningCluster.with(.init(settings: Self.settings)) { cluster in
            let owner = try await cluster.owner("alice")
            let pod = cluster.coapInterfaces[0]
            try await Self.withDevices(0..<2, of: owner, in: cluster, heedRelease: false) { devices in
                #expect(await pod.stop().status == 0)
                let line = try #require(pod.log.last { $0.contains("drained") })
                #expect(line.contains("sessions.half-closed=2"), "\(line)")
                try await cluster.eventually("they are back") { devices.allSatisfy { $0.sessions == 2 } }
                let answer = try await cluster.http(0).get("/lamp-1/light?n=1", token: owner.token)
                #expect(answer.text == "lamp-1 n=1", "\(answer.status) \(answer.text)")
            }
            cluster.forget(pod)
        }
    }

    @Test("Without Redis nobody is released: it waits until the deadline, closes the rest and ends with 0")
    func withoutRedis() async throws {
        let redis = try await RedisServer.start()
        let settings = Self.settings.merging(["REQUEST_TIMEOUT": "1"]) { $1 }
        try await RunningCluster.with(.init(settings: settings, redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            let pod = cluster.coapInterfaces[0]
            try await Self.withDevices(0..<2, of: owner, in: cluster) { devices in
                await redis.stop()
                try await cluster.eventually("it is noticed") { try await pod.state(of: "redis") == "down" }
                async let ended = pod.stop()
                try await cluster.eventually("it waits") { pod.log.contains { $0.contains("draining waits") } }
                #expect(await ended.status == 0)
                let line = try #require(pod.log.last { $0.contains("the time is over") })
                #expect(line.contains("sessions.closed-at-deadline=2"), "\(line)")
                try await cluster.eventually("they are elsewhere") { devices.allSatisfy { $0.sessions == 2 } }
            }
            cluster.forget(pod)
        }
    }

    @Test("Ctrl-C does not wait for devices to move, and neither does a second SIGTERM")
    func interrupted() async throws {
        let settings = ["DRAIN_PROPAGATION": "300", "DRAIN_WINDOW": "300", "TERMINATION_GRACE": "1000"]
        try await RunningCluster.with(.init(programSettings: [.coapInterface: settings])) { cluster in
            let (one, other) = (cluster.coapInterfaces[0], cluster.coapInterfaces[1])
            one.process.signal(SIGINT)
            #expect(await one.process.ended().status == 0)
            // What comes at once counts as the same wish.
            while (try? await other.admin.get("/livez")) != nil { other.process.signal(SIGTERM) }
            #expect(await other.process.ended().status == 130)
            for pod in [one, other] { cluster.forget(pod) }
        }
    }

    private static func field(
        _ name: String, of pod: ClusterProcess, in cluster: RunningCluster
    ) async throws -> String? {
        let line = try #require(pod.log.first { $0.contains(" listening ") })
        let start = try #require(line.firstRange(of: " pod=")?.upperBound)
        let text = try await cluster.redis.command("HGET", "cg:pod:{\(line[start...].prefix { $0 != " " })}", name)
        let value = text.prefix { $0 != "\n" }
        return value.isEmpty ? nil : String(value)
    }
}
