import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("MySQL in the way", .timeLimit(.minutes(5)))
struct DatabaseFaultTests {
    @Test("BI-67: a database that takes no writes refuses new things with 5.03 and 503, until it takes them again")
    func readOnly() async throws {
        let database = try await MariaDBServer()
        try await RunningCluster.with(.init(database: database)) { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let served = AnsweringDevice.serve(device.peer, saying: "lamp")
            let login = try await owner.signedUp("lock")
            let code = try await cluster.deviceCode("bell", mediator: owner.mediator)
            try await database.run("SET GLOBAL read_only = 1")

            #expect(try await cluster.http(0).get("/lamp/light", token: owner.token).text == "lamp")
            #expect(try await cluster.http(1).get("/devices", token: owner.token).status == 200)
            let signUp = try await cluster.connect(to: 1).ask(.signUp(di: "bell", code: code))
            #expect(signUp.code == .serviceUnavailable && signUp.options.maxAge != nil, "\(signUp.code)")
            let refresh = try await cluster.connect(to: 0).ask(
                .refresh(uid: login.uid, di: login.di, refreshToken: login.refreshToken))
            #expect(refresh.code == .serviceUnavailable && refresh.options.maxAge != nil, "\(refresh.code)")
            let user = try await cluster.http(1).post(
                "/register/user", "{\"uid\": \"late\", \"authprovider\": \"github\"}")
            #expect(user.status == 503 && user["retry-after"] != nil, "\(user.status) \(user.text)")

            try await database.run("SET GLOBAL read_only = 0")
            try await cluster.eventually("the code is good still") {
                try await cluster.connect(to: 1).ask(.signUp(di: "bell", code: code)).code == .changed
            }
            _ = try await login.signIn(on: cluster.connect(to: 1))
            await device.peer.close()
            #expect(try await served.abort == nil)
        }
        await database.stop()
    }

    @Test("BI-32: one code used in parallel and after a lost reply, on two pods, gives the same credentials each time")
    func sameCode() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            for round in 0..<20 {
                let di = "lamp-\(round)"
                let code = try await cluster.deviceCode(di, mediator: owner.mediator)
                // Nobody hears this answer.
                let deaf = try await cluster.connect(to: round % 2)
                try await deaf.start(.signUp(di: di, code: code))
                await deaf.close()
                let logins = try await withThrowingTaskGroup(of: IssuedLogin.self) { group in
                    for lane in 0..<4 {
                        group.addTask {
                            let peer = try await cluster.connect(to: lane % 2)
                            let answer = try await peer.ask(.signUp(di: di, code: code))
                            guard answer.code == .changed, let item = answer.item else {
                                throw PeerError("round \(round) lane \(lane): \(answer.code) \(answer.text)")
                            }
                            return try IssuedLogin(item, di: di, peer: peer)
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(Set(logins.map(\.accessToken)).count == 1, "round \(round)")
                #expect(Set(logins.map(\.refreshToken)).count == 1, "round \(round)")
                let other = try await cluster.connect(to: 0).ask(.signUp(di: "thief-\(round)", code: code))
                #expect(other.code == .unauthorized, "\(other.code)")
                _ = try await logins[0].signIn(on: cluster.connect(to: round % 2))
                for login in logins { await login.peer.close() }
            }
        }
    }
}
