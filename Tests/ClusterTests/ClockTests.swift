import CBOR
import CoAP
import Foundation
import TestServers
import TestSupport
import Testing

@Suite("Programs whose machines disagree about the time of day", .timeLimit(.minutes(5)))
struct ClockTests {
    /// What makes a program's machine seem to go wrong by so many minutes; its monotonic clock stays.
    private static func machine(_ minutes: Int) throws -> [String: String] {
        let folders = try FileManager.default.subpathsOfDirectory(atPath: "/usr/lib")
        guard let library = folders.first(where: { $0.hasSuffix("faketime/libfaketimeMT.so.1") }) else {
            throw PeerError("libfaketime is not installed: run scripts/dependencies test")
        }
        return [
            "LD_PRELOAD": "/usr/lib/\(library)", "FAKETIME": "\(minutes < 0 ? "-" : "+")\(abs(minutes))m",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        ]
    }

    /// The others try again only after a pause where they found nobody.
    private static func isReached(_ registry: ClusterProcess, by cluster: RunningCluster) async throws {
        try await registry.isReady()
        try await cluster.eventually("northbound and coap-interface reach the registry") {
            let answer = try await cluster.connect().ask(.signUp(di: "nobody", code: "no-code"))
            let known = try await cluster.http.get("/devices", token: "no-token")
            return answer.code != .serviceUnavailable && known.status == 401
        }
    }

    @Test("BI-76: what one registry gave out ten minutes late is good at one that is ten minutes early, for as long")
    func skewed() async throws {
        let shape = RunningCluster.Shape(coapInterfaces: 1, northbounds: 1)
        try await RunningCluster.with(shape) { cluster in
            let honest = try cluster.registry
            await cluster.kill(honest)
            let late = try await cluster.startRegistry(try Self.machine(-10))
            try await Self.isReached(late, by: cluster)
            let owner = try await cluster.owner("alice")
            // Good for 15 min: twenty minutes pass for the machines.
            let code = try await cluster.deviceCode("lamp", mediator: owner.mediator)
            let other = try await owner.signedUp("lock")
            await cluster.kill(late)

            let early = try await cluster.startRegistry(try Self.machine(10))
            try await Self.isReached(early, by: cluster)
            for line in [late.log.first, early.log.first] { #expect(line != nil) }
            let login = try await owner.signUp("lamp", code: code)
            #expect(login.expiresIn == 6000)
            for issued in [login, other] {
                let peer = try await cluster.connect()
                let answer = try await peer.ask(
                    .signIn(uid: issued.uid, di: issued.di, accessToken: issued.accessToken))
                let left = try #require(answer.item?["expiresin"]?.integer)
                // A minute for a busy machine; the clocks are twenty apart.
                #expect((5900...6000).contains(left), "\(answer.code) \(issued.di)")
            }
            let refreshed = try await cluster.connect().refresh(other.di, of: other.uid, with: other.refreshToken)
            #expect(refreshed.expiresIn == 6000)
            try await cluster.eventually("it is online") {
                try await cluster.status(of: "lamp", token: owner.token) == "online"
            }
        }
    }
}
