import CBOR
import CoAP
import Foundation
import Gateway
import NIOCore
import OCF
import TestServers
import TestSupport
import Testing

@Suite("CoAP peers that others wrote")
struct RealPeerTests {
    @Test("libcoap's client signs up and in, publishes, discovers, and reads a device's resource over coap+tcp")
    func libcoap() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("libcoap-user")
            let light = try await owner.device("a-light")
            _ = try await light.publish("/light")
            let code = try await owner.deviceCode("libcoap-device")

            let joint = try Subprocess([
                "/usr/bin/env", "python3", "\(Subprocess.root)/Tests/GatewayTests/Peers/one_connection.py",
                "\(gateway.ports.coap)",
            ])
            try await joint.waitFor("\n")
            let client = LibcoapClient(base: "coap+tcp://127.0.0.1:\(joint.firstLine)")

            let account = try await client.post(
                "/oic/sec/account", ["di": "libcoap-device", "accesstoken": .text(code)])
            let login = try IssuedLogin(account, di: "libcoap-device", peer: light.peer)
            let session = try await client.post(
                "/oic/sec/session",
                [
                    "di": "libcoap-device", "uid": .text(login.uid), "accesstoken": .text(login.accessToken),
                    "login": true,
                ])
            #expect(session["expiresin"]?.integer != nil)
            let published = try await client.post(
                "/oic/rd",
                [
                    "di": "libcoap-device", "ttl": 0,
                    "links": [["href": "/clock", "rt": ["x.example.clock"], "if": ["oic.if.baseline"]]],
                ])
            #expect(published["links"]?.elements?.first?["ins"]?.integer != nil)
            let found = try await client.get("/oic/res")
            #expect(
                found.elements?.compactMap { $0["href"]?.string }.sorted() == [
                    "/a-light/light", "/libcoap-device/clock",
                ])

            async let served = light.peer.serveOnce { request in
                #expect(request.options.path == ["light"])
                return ["value": true]
            }
            let read = try await client.get("/a-light/light")
            #expect(read["value"]?.flag == true)
            try await served
            // A child inherits the blocked signals of the thread that started it, so only this one is sure to arrive.
            joint.signal(SIGKILL)
            _ = await joint.ended()
        }
    }

    @Test("aiocoap signs up and in, publishes, discovers, and reads a device's resource over coap+tcp")
    func aiocoap() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("aiocoap-user")
            let light = try await owner.device("a-light")
            _ = try await light.publish("/light")
            let code = try await owner.deviceCode("aiocoap-device")
            async let served = light.peer.serveOnce(as: .json) { request in
                #expect(request.options.path == ["light"])
                return ["value": true]
            }
            let ended = try await Subprocess.run([
                "\(Subprocess.root)/.build/peers/bin/python",
                "\(Subprocess.root)/Tests/GatewayTests/Peers/aiocoap_peer.py",
                "coap+tcp://127.0.0.1:\(gateway.ports.coap)", "aiocoap-device", code, "a-light",
            ])
            try #require(ended.status == 0, "\(ended.errors)")
            try await served
            #expect(ended.output.contains("\"expiresin\": 6000") || ended.output.contains("\"expiresin\": 5999"))
            #expect(ended.output.contains("/aiocoap-device/clock"))
            #expect(ended.output.contains("/a-light/light"))
            #expect(ended.output.contains("\"read\": {\"value\": true}"))
        }
    }
}

extension Owner {
    func deviceCode(_ di: String) async throws -> String {
        try await self.cloud.deviceCode(di, mediator: self.mediator)
    }
}

extension Subprocess {
    /// The first line it wrote.
    var firstLine: String { self.outputSoFar.split(separator: "\n").first.map(String.init) ?? "" }
}

extension ScriptedPeer {
    /// Waits for one request and answers it with 2.05.
    func serveOnce(
        as format: ContentFormat = .ocfCBOR, _ answer: @Sendable (Request) throws -> DataItem
    ) async throws {
        let message = try await self.receivePastCSM()
        guard message.code.kind == .request else { throw PeerError("\(message.code) where a request was expected") }
        let request = Request(message.code, options: message.options, payload: message.payload)
        var options = Options()
        options.contentFormat = format
        let item = try answer(request)
        let payload = format == .json ? JSONCoding.encode(item) : item.encoded()
        try await self.send(Message(code: .content, token: message.token, options: options, payload: payload))
    }
}

/// libcoap's command line client: one process a request.
struct LibcoapClient: Sendable {
    var program = "coap-client-notls"
    let base: String
    /// What it shows and trusts.
    var tls: [String] = []

    /// - Parameter blocks: the size of the blocks it asks for.
    func get(_ path: String, blocks: Int? = nil) async throws -> DataItem {
        try await self.run(["-m", "get"] + Self.size(blocks), path)
    }

    private static func size(_ blocks: Int?) -> [String] { blocks.map { ["-b", "\($0)"] } ?? [] }

    func post(_ path: String, _ payload: DataItem, blocks: Int? = nil) async throws -> DataItem {
        let file = "\(NSTemporaryDirectory())payload-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data(payload.encoded().readableBytesView).write(to: URL(fileURLWithPath: file))
        return try await self.run(["-m", "post", "-t", "10000", "-f", file] + Self.size(blocks), path)
    }

    private func run(_ arguments: [String], _ path: String) async throws -> DataItem {
        let file = "\(NSTemporaryDirectory())answer-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let ended = try await Subprocess.run(
            ["/usr/bin/\(self.program)", "-B", "20", "-A", "10000", "-o", file] + self.tls + arguments
                + ["\(self.base)\(path)"])
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: file)), !data.isEmpty,
            let item = try? DataItem(decoding: ByteBuffer(bytes: data))
        else { throw PeerError("coap-client \(path): status \(ended.status) \(ended.output) \(ended.errors)") }
        return item
    }
}
