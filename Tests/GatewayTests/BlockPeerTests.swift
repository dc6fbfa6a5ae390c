import CBOR
import CoAP
import Foundation
import Gateway
import NIOCore
import OCF
import TestServers
import TestSupport
import Testing

/// Block-wise transfers through a whole gateway (RFC 7959): by peers that others wrote, and byte by byte.
@Suite("Block-wise transfers through the gateway")
struct BlockPeerTests {
    /// What a device announces that takes this much, with or without blocks.
    static func csm(_ maximum: UInt64, blockWise: Bool) -> Message {
        var options = Options()
        options.append(OptionNumber(rawValue: 2), uint: maximum)
        if blockWise { options.append(OptionNumber(rawValue: 4)) }
        return Message(code: .capabilitiesAndSettings, token: .unique(), options: options)
    }

    /// `count` letters as a JSON or CBOR text.
    static func letters(_ count: Int) -> DataItem { .text(String(repeating: "x", count: count)) }

    /// Uploads a body block by block; the answer to the last.
    static func upload(
        _ all: ByteBuffer, to path: [String], by peer: ScriptedPeer, leavingOut missing: Int? = nil
    ) async throws -> Message {
        let last = (all.readableBytes - 1) / 1024
        for number in 0...last where number != missing {
            let length = min(1024, all.readableBytes - number * 1024)
            var request = Request(.post, path: path, payload: all.getSlice(at: number * 1024, length: length))
            request.options.contentFormat = .ocfCBOR
            request.options.block1 = BlockOption(number: number, more: number < last, sizeExponent: 6)
            let answer = try await peer.ask(request)
            if number == last || answer.code != .continue { return answer }
        }
        throw PeerError("no last block")
    }

    @Test("C-80: 10 KB uploaded in blocks through the gateway reach a device that takes one message whole")
    func uploadToLargeDevice() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let light = try await owner.device("a-light")
            let client = try await owner.client("phone")
            try await light.peer.send(Self.csm(64 << 10, blockWise: false))
            try await light.peer.expectSilence()
            let all = Self.letters(10_000).encoded()
            async let served: Void = light.peer.serveOnce { request in
                #expect(request.payload == all)
                #expect(!request.options.contains { [.block1, .size1, .requestTag].contains($0.number) })
                return Self.letters(3)
            }
            let answer = try await Self.upload(all, to: ["a-light", "light"], by: client.peer)
            #expect(answer.code == .content)
            #expect(answer.options.block1 == BlockOption(number: 9, more: false, sizeExponent: 6))
            try await served
            // One missing is 4.08, and the device hears nothing of it.
            let refused = try await Self.upload(all, to: ["a-light", "light"], by: client.peer, leavingOut: 4)
            #expect(refused.code == .requestEntityIncomplete)
            try await light.peer.expectSilence()
        }
    }

    @Test(
        "C-80: a device of 1152 bytes that takes blocks gets 10 KB in blocks, and answers in blocks, over HTTP as well")
    func smallDevice() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let light = try await owner.device("a-light")
            try await light.peer.send(Self.csm(1152, blockWise: true))
            try await light.peer.expectSilence()
            let all = Self.letters(10_000).encoded()
            async let served: Void = Self.serveInBlocks(light.peer, expecting: all)
            let answer = try await gateway.http.post(
                "/a-light/light", token: owner.token, "\"" + String(repeating: "x", count: 10_000) + "\"")
            #expect(answer.status == 200)
            #expect(answer.text == "\"" + String(repeating: "x", count: 10_000) + "\"")
            try await served
        }
    }

    /// A device that puts an upload together and gives it back in blocks of 256 bytes.
    private static func serveInBlocks(_ peer: ScriptedPeer, expecting all: ByteBuffer) async throws {
        var body = ByteBuffer()
        while true {
            let message = try await peer.receivePastCSM()
            #expect(message.frameLength <= 1152)
            var response = Response(.changed)
            response.options.block1 = message.options.block1
            if let block = message.options.block1 {
                #expect(block.offset == body.readableBytes)
                body.writeImmutableBuffer(try #require(message.payload))
                guard !block.more else {
                    response.code = .continue
                    try await peer.answer(message, response)
                    continue
                }
                #expect(body == all)
            }
            let offset = message.options.block2?.offset ?? 0
            let length = min(256, body.readableBytes - offset)
            response.options.contentFormat = .ocfCBOR
            let isLast = offset + length == body.readableBytes
            response.options.block2 = BlockOption(offset: offset, more: !isLast, sizeExponent: 4)
            response.payload = body.getSlice(at: offset, length: length)
            try await peer.answer(message, response)
            if isLast { return }
        }
    }

    @Test("C-19: what is larger than a peer's Max-Message-Size comes in blocks if it announced them, else it is 5.00")
    func largeDiscovery() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let light = try await owner.device("a-light")
            for index in 0..<60 { _ = try await light.publish("/resource/number/\(index)") }
            let client = try await owner.client("phone")
            try await client.peer.send(Self.csm(1152, blockWise: false))
            #expect(try await client.peer.ask(Request(.get, path: ["oic", "res"])).code == .internalServerError)
            try await client.peer.send(Self.csm(1152, blockWise: true))
            var all = ByteBuffer()
            var block = BlockOption(number: 0, more: true, sizeExponent: 6)
            var tags: Set<[UInt8]> = []
            while block.more {
                var request = Request(.get, path: ["oic", "res"])
                if all.readableBytes > 0 {
                    request.options.block2 = BlockOption(
                        offset: all.readableBytes, more: false, sizeExponent: block.sizeExponent)
                }
                let answer = try await client.peer.ask(request)
                #expect(answer.code == .content)
                #expect(answer.frameLength <= 1152)
                tags.insert(try #require(answer.options.first(.eTag)).bytes)
                block = try #require(answer.options.block2)
                all.writeImmutableBuffer(try #require(answer.payload))
            }
            #expect(tags.count == 1)
            #expect(try DataItem(decoding: all).elements?.count == 60)
        }
    }

    @Test(
        "aiocoap uploads 10 KB to a device and downloads its answer in blocks, with and without BERT",
        arguments: [(1152, 2), (5000, 6)])
    func aiocoap(maximum: Int, exponent: Int) async throws {
        try await RunningGateway.with(["MAX_MESSAGE_SIZE": "\(maximum)"]) { gateway in
            let owner = try await gateway.owner("aiocoap-user")
            let light = try await owner.device("a-light")
            for index in 0..<20 { _ = try await light.publish("/resource/\(index)") }
            let code = try await owner.clientCode("aiocoap-client")
            try await light.peer.send(Self.csm(64 << 10, blockWise: false))
            try await light.peer.expectSilence()
            async let served: Void = Self.serveTwice(light.peer, as: .json)
            let ended = try await Subprocess.run([
                "\(Subprocess.root)/.build/peers/bin/python",
                "\(Subprocess.root)/Tests/GatewayTests/Peers/aiocoap_blocks.py",
                "\(gateway.ports.coap)", "aiocoap-client", code, "a-light", "10000", "\(exponent)",
            ])
            try #require(ended.status == 0, "\(ended.errors)")
            try await served
            #expect(ended.output.contains("{\"posted\": 3, \"read\": 1000, \"found\": 20}"), "\(ended.output)")
        }
    }

    /// A device that takes 10 KB, and then gives 1000 bytes, which the gateway cuts: of its own it takes no blocks.
    private static func serveTwice(_ peer: ScriptedPeer, as format: ContentFormat) async throws {
        try await peer.serveOnce(as: format) { request in
            #expect(request.payload?.readableBytes ?? 0 >= 10_000)
            return Self.letters(3)
        }
        try await peer.serveOnce(as: format) { _ in Self.letters(1000) }
    }

    @Test(
        "libcoap's client uploads 10 KB to a device in blocks and downloads its answer in blocks",
        arguments: [64, 1024])
    func libcoap(size: Int) async throws {
        // So that no message of ours or theirs could hold the body.
        try await RunningGateway.with(["MAX_MESSAGE_SIZE": "1152"]) { gateway in
            let owner = try await gateway.owner("libcoap-user")
            let light = try await owner.device("a-light")
            try await light.peer.send(Self.csm(64 << 10, blockWise: false))
            try await light.peer.expectSilence()
            let code = try await owner.clientCode("libcoap-client")
            let joint = try Subprocess([
                "/usr/bin/env", "python3", "\(Subprocess.root)/Tests/GatewayTests/Peers/one_connection.py",
                "\(gateway.ports.coap)",
            ])
            try await joint.waitFor("\n")
            let client = LibcoapClient(base: "coap+tcp://127.0.0.1:\(joint.firstLine)")
            let account = try await client.post(
                "/oic/sec/account", ["di": "libcoap-client", "accesstoken": .text(code)])
            let login = try IssuedLogin(account, di: "libcoap-client", peer: light.peer)
            _ = try await client.post(
                "/oic/sec/session",
                [
                    "di": "libcoap-client", "uid": .text(login.uid), "accesstoken": .text(login.accessToken),
                    "login": true,
                ])
            async let served: Void = Self.serveTwice(light.peer, as: .ocfCBOR)
            #expect(try await client.post("/a-light/light", Self.letters(10_000), blocks: size) == Self.letters(3))
            #expect(try await client.get("/a-light/light", blocks: size) == Self.letters(1000))
            try await served
            // A child inherits the blocked signals of the thread that started it, so only this one is sure to arrive.
            joint.signal(SIGKILL)
            _ = await joint.ended()
        }
    }
}

extension Owner {
    func clientCode(_ di: String) async throws -> String {
        try await self.cloud.clientCode(di, mediator: self.mediator)
    }
}
