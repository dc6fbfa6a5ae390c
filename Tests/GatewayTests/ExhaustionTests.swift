import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Peers that ask for too much", .serialized, .timeLimit(.minutes(3)))
struct ExhaustionTests {
    @Test(
        "BI-52, BI-54: of a thousand commands for a device that never reads few wait, the others end at once, and nobody else does"
    )
    func deafDevice() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let deaf = try await owner.device("00000000-0000-4000-8000-00000000000a")
            let other = try await owner.device("00000000-0000-4000-8000-00000000000b")
            for device in [deaf, other] { try await device.publish("/light") }
            let client = try await owner.client("phone")
            try await deaf.peer.setReading(false)
            let token = client.login.accessToken
            let began = ContinuousClock.now
            let statuses = try await withThrowingTaskGroup(of: (Int, String?).self) { group in
                // A hundred at a time, since each is a connection of its own.
                for _ in 0..<100 {
                    group.addTask { try await Self.ask(gateway, deaf.di, token) }
                }
                var statuses: [(Int, String?)] = []
                for sent in 100..<1100 {
                    guard let status = try await group.next() else { break }
                    statuses.append(status)
                    if sent < 1000 { group.addTask { try await Self.ask(gateway, deaf.di, token) } }
                    if sent == 500 {
                        // Meanwhile the owner's other device is asked as always.
                        let answer = try await gateway.http.begin("GET", "/\(other.di)/light", token: token)
                        let request = try await other.peer.receiveRequest(.get, "light")
                        try await other.peer.answer(request, Response(.content))
                        #expect(try await answer.get().status == 200)
                    }
                }
                return statuses
            }
            #expect(statuses.count == 1000)
            let busy = statuses.filter { $0.0 == 503 && $0.1 == "/errors#device-busy" }.count
            let late = statuses.filter { $0.0 == 504 && $0.1 == "/errors#no-answer" }.count
            // 16 in flight and 64 that wait, and again whenever these are over before the last is sent: a place is held
            // for nearly 5 s.
            let rounds = Int((ContinuousClock.now - began) / .seconds(4)) + 1
            #expect(busy + late == 1000, "\(Set(statuses.map { "\($0.0) \($0.1 ?? "")" }))")
            #expect((80...max(400, 80 * rounds)).contains(late), "\(late) in \(rounds) rounds")
        }
    }

    private static func ask(_ gateway: RunningGateway, _ di: String, _ token: String) async throws -> (Int, String?) {
        let answer = try await gateway.http.request(
            "GET", "/\(di)/light", token: token, headers: [("prefer", "wait=5")])
        return (answer.status, answer.member("type"))
    }

    @Test(
        "BI-55: wrong tokens from many connections end each of them, and a device with the right one signs in meanwhile"
    )
    func wrongTokens() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("00000000-0000-4000-8000-00000000000c")
            let refusals = try await withThrowingTaskGroup(of: Int.self) { group in
                for guesser in 0..<30 {
                    group.addTask {
                        let peer = try await gateway.connect()
                        var refused = 0
                        for guess in 0..<20 {
                            let token = "guess-\(guesser)-\(guess)-00000000000000000000000000000"
                            let answer = try? await peer.ask(.signIn(uid: login.uid, di: login.di, accessToken: token))
                            guard let answer else { break }
                            #expect(answer.code == .unauthorized)
                            refused += 1
                        }
                        return refused
                    }
                }
                _ = try await login.signIn()
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            // Ten each, then the connection is closed with the reason.
            #expect(refusals.count == 30)
            #expect(refusals.allSatisfy { (9...10).contains($0) }, "\(refusals)")
        }
    }

    @Test("BI-58: after thousands of connections that came and went the process is as large as before")
    func comeAndGo() async throws {
        try await GatewayProcess.with { gateway in
            func rounds(_ count: Int) async throws {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<8 {
                        group.addTask {
                            for _ in 0..<count / 8 {
                                let peer = try await gateway.cloud.connect()
                                _ = try await peer.receive()
                                await peer.close()
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            // The first ones make what every process has: arenas, tables, code that is loaded.
            try await rounds(Rounds.scaled(800))
            let before = try gateway.residentBytes()
            try await rounds(Rounds.scaled(2400))
            let after = try gateway.residentBytes()
            // A connection that left 2 KiB behind would be 5 MiB.
            #expect(after - before < 2048 * Rounds.scaled(2400), "\(before) \(after)")
        }
    }

    @Test(
        "BI-51: a thousand connections that say nothing take less than 16 KiB each, and others are served beside them"
    )
    func silence() async throws {
        try await GatewayProcess.with { gateway in
            let device = try await gateway.cloud.owner("alice").device("00000000-0000-4000-8000-00000000000d")
            let before = try gateway.residentBytes()
            let silent = await gateway.flood(1000)
            #expect(silent.count == 1000)
            let each = try (gateway.residentBytes() - before) / silent.count
            #expect(each < 16 * 1024, "\(each)")
            _ = try await device.discover()
            #expect(try await HTTPTestClient(port: gateway.http).get("/errors").status == 200)
            for peer in silent { await peer.close() }
            await device.peer.close()
        }
    }
}

extension GatewayProcess {
    /// The memory it has (proc(5): statm).
    fileprivate func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(self.process.pid)/statm", encoding: .utf8)
        let words = text.split(separator: " ")
        guard words.count > 1, let pages = Int(words[1]) else { throw PeerError("no memory in \(text)") }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
