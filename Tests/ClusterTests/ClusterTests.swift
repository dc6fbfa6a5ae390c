import CoAP
import Foundation
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("A cluster of processes", .timeLimit(.minutes(5)))
struct ClusterTests {
    @Test("A request from each northbound reaches a device on each coap-interface")
    func everyWay() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            for pod in cluster.coapInterfaces.indices {
                let device = try await cluster.device("lamp-\(pod)", of: owner, at: pod)
                for door in cluster.northbounds.indices {
                    async let answer = cluster.http(door).get("/lamp-\(pod)/light", token: owner.token)
                    let request = try await device.peer.receiveRequest(.get, "light")
                    try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
                    #expect(try await answer.text == "on")
                }
            }
        }
    }

    @Test("A CoAP client reaches a device whose session is on the other coap-interface")
    func acrossPods() async throws {
        try await RunningCluster.with { cluster in
            let owner = try await cluster.owner("alice")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            let code = try await cluster.clientCode("phone", mediator: owner.mediator)
            let login = try await owner.signUp("phone", code: code)
            let client = try await login.signIn(on: cluster.connect(to: 1))
            async let answer = client.peer.ask(.ocf(.get, "lamp/light"))
            let request = try await device.peer.receiveRequest(.get, "light")
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            #expect(try await answer.text == "on")
        }
    }

    @Test("README's session runs as it is written, and one request shows in every program's log")
    func readme() async throws {
        try await RunningCluster.with { cluster in
            try await Readme.runSession(
                http: cluster.northbounds[0].port("http"), coap: cluster.coapInterfaces[1].port("coap"))
            let owner = try await cluster.owner("bob")
            let device = try await cluster.device("lamp", of: owner, at: 0)
            async let answer = cluster.http(1).request(
                "GET", "/lamp/light", token: owner.token, headers: [("x-request-id", "followed-1")])
            let request = try await device.peer.receiveRequest(.get, "light")
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            #expect(try await answer.status == 200)
            for process in [cluster.northbounds[1], cluster.coapInterfaces[0], try cluster.registry] {
                try await cluster.eventually("the request in the log of \(process.name)") {
                    process.log.contains { $0.contains("request.id=followed-1") }
                }
            }
        }
    }

    @Test("--health of every program is good news while it is ready, with the settings of the server")
    func health() async throws {
        try await RunningCluster.with { cluster in
            for process in cluster.running {
                for page in ["--health", "--health=live"] {
                    let ended = try await Subprocess.run(
                        [process.program.rawValue, page], environment: process.environment)
                    #expect(ended.status == 0)
                    #expect(ended.output == "\(process.program.rawValue): ok\n")
                }
            }
        }
    }

    @Test("registry migrate makes the tables, finds them made, and fails where there is no database")
    func migrate() async throws {
        try await RunningCluster.with(.init(coapInterfaces: 0, northbounds: 0)) { cluster in
            let name = try await cluster.database.createDatabase()
            let settings = cluster.settings(of: .registry).merging(["DB_NAME": name]) { $1 }
            for _ in 1...2 {
                let ended = try await Subprocess.run(["registry", "migrate"], environment: settings)
                #expect(ended.status == 0, "\(ended.errors)")
                #expect(try await cluster.database.run("SHOW TABLES FROM \(name)").contains("device"))
            }
            let nowhere = settings.merging(["DB_URI": "127.0.0.1:1"]) { $1 }
            let ended = try await Subprocess.run(["registry", "migrate"], environment: nowhere)
            #expect(ended.status == 1)
            #expect(ended.errors.contains("127.0.0.1:1"))
        }
    }
}
