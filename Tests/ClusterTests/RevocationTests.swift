import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Rights that are taken away in a cluster", .timeLimit(.minutes(5)))
struct RevocationTests {
    @Test("100 devices are deleted while Redis stands still and every subscriber was cut: each is out within 2 s")
    func withoutRedis() async throws {
        let redis = try await RedisServer.start()
        try await RunningCluster.with(.init(redis: redis)) { cluster in
            let owner = try await cluster.owner("alice")
            var devices: [SignedIn] = []
            for number in 0..<100 {
                devices.append(try await cluster.device("lamp-\(number)", of: owner, at: number % 2))
            }
            _ = try await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            redis.pause()
            let delays = try await withThrowingTaskGroup(of: Duration.self) { group in
                for device in devices {
                    group.addTask {
                        async let end = device.peer.receiveAbort()
                        let answer = try await cluster.http.request(
                            "DELETE", "/devices/\(device.di)", token: owner.token)
                        let deleted = ContinuousClock.now
                        guard [200, 204].contains(answer.status) else {
                            throw PeerError("DELETE \(device.di): \(answer.status) \(answer.text)")
                        }
                        _ = try await end
                        return deleted.duration(to: .now)
                    }
                }
                return try await group.reduce(into: [Duration]()) { $0.append($1) }
            }
            redis.resume()
            #expect(delays.count == 100)
            #expect(try #require(delays.max()) < .seconds(2))
            // Neither cache lets one back in.
            let answer = try await cluster.connect(to: 0).ask(
                .signIn(
                    uid: devices[0].uid, di: devices[0].di, accessToken: devices[0].login.accessToken))
            #expect(answer.code == .unauthorized)
        }
        await redis.stop()
    }

    @Test("C-48: a used refresh token that comes again revokes the login: its session on another pod ends within 2 s")
    func stolenToken() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let login = try await owner.signedUp("lamp")
            let peer = try await cluster.connect(to: 1)
            let second = try await peer.refresh("lamp", of: login.uid, with: login.refreshToken)
            let third = try await peer.refresh("lamp", of: login.uid, with: second.refreshToken)
            let device = try await third.signIn(on: cluster.connect(to: 0))
            let thief = try await cluster.connect(to: 1).ask(
                .refresh(uid: login.uid, di: "lamp", refreshToken: login.refreshToken))
            #expect(thief.code == .unauthorized)
            let began = ContinuousClock.now
            try await device.peer.receiveAbort()
            #expect(began.duration(to: .now) < .seconds(2))
        }
    }
}
