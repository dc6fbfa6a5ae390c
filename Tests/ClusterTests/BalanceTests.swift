import Foundation
import NIOCore
import NIOPosix
import TestSupport
import Testing

@Suite("Sessions that are uneven", .timeLimit(.minutes(5)))
struct BalanceTests {
    private struct Shares: Decodable {
        struct Pod: Decodable {
            let pod: String
            let sessions: Int
        }

        struct Balance: Decodable {
            let isOn: Bool
            let mean: Double
            let released: Int
            let hindrance: String?
        }

        let pods: [Pod]
        let balance: Balance
    }

    private static func shares(_ cluster: RunningCluster) async throws -> Shares {
        let page = try await cluster.coapInterfaces[0].admin.get("/cluster")
        return try JSONDecoder().decode(Shares.self, from: Data(page.text.utf8))
    }

    @Test("A pod with all devices moves some to the one with none, until it is even enough, and no request fails")
    func evens() async throws {
        try await RunningCluster.with(.init(settings: ["LOG_LEVEL": "debug", "ACCESS_LOG": "off"])) { cluster in
            let owner = try await cluster.owner("alice")
            try await DrainTests.withDevices(0..<40, of: owner, in: cluster) { devices in
                let isOver = Flag(false)
                async let asked = Self.ask(devices, of: owner, in: cluster) { isOver.value }
                try await cluster.eventually("it counts both pods, and moves", within: .seconds(150)) {
                    let shares = try await Self.shares(cluster)
                    return shares.balance.isOn && shares.balance.mean == 20 && shares.balance.released > 0
                }
                // Twice the root of the mean is where it ends.
                try await cluster.eventually("it is even enough, and quiet", within: .seconds(100)) {
                    let shares = try await Self.shares(cluster)
                    let counts = shares.pods.map(\.sessions)
                    return !shares.balance.isOn && counts.count == 2 && counts.reduce(0, +) == 40
                        && counts.allSatisfy { abs($0 - 20) <= 8 }
                }
                isOver.set(true)
                DrainTests.check(try await asked, of: devices, in: cluster)
                let released = try await Self.shares(cluster).balance.released
                #expect(devices.map(\.releases.count).reduce(0, +) == released)
                // Nobody twice, and not more than were too many.
                #expect(devices.allSatisfy { $0.releases.count <= 1 })
                #expect((12...20).contains(released))
                let metrics = try await cluster.coapInterfaces[0].admin.get("/metrics").text
                #expect(metrics.contains("coap_balance_released_total \(released)"))
            }
        }
    }

    /// Asks all devices in turn, so slowly that each is idle for seconds in between.
    private static func ask(
        _ devices: [ReturningDevice], of owner: Owner, in cluster: RunningCluster,
        until isOver: @escaping @Sendable () -> Bool
    ) async throws -> [String: HTTPTestAnswer] {
        var answers: [String: HTTPTestAnswer] = [:]
        var number = 0
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        while !isOver(), !Task.isCancelled {
            let device = devices[number % devices.count]
            answers["\(device.di) n=\(number)"] = try await cluster.http(number % cluster.northbounds.count).request(
                number.isMultiple(of: 2) ? "GET" : "POST", "/\(device.di)/light?n=\(number)", token: owner.token)
            number += 1
            try await loop.scheduleTask(in: .milliseconds(120)) {}.futureResult.get()
        }
        return answers
    }
}
