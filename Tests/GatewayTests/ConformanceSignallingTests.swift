import CBOR
import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Signalling on a real socket, conformance ideas 16–27")
struct ConformanceSignallingTests {
    private static func csm(_ options: (UInt16, [UInt8])...) -> Message {
        var message = Message(code: .capabilitiesAndSettings, token: .unique())
        for (number, value) in options {
            message.options.append(OptionNumber(rawValue: number), bytes: value)
        }
        return message
    }

    @Test("C-16: our CSM comes first, before any input, and is longer than six bytes")
    func ourCSMFirst() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            let csm = try await peer.receive()
            #expect(csm.code == .capabilitiesAndSettings)
            #expect(csm.token.count == 8)
            #expect(csm.frameLength > 6)
            #expect(csm.options.first(OptionNumber(rawValue: 2))?.uint == 262_144)
        }
    }

    @Test("C-17, BI-8: a peer that never sends a CSM is served; in strict mode its first request is refused")
    func missingCSM() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            // ScriptedPeer sends none.
            #expect(try await owner.device("lamp").publish("/light").code == .changed)
        }
        try await RunningGateway.with(["CSM_STRICT": "true"]) { gateway in
            let peer = try await gateway.connect()
            try await peer.start(.ocf(.get, "oic/res"))
            #expect(try await peer.receiveAbort().text.contains("CSM"))
            let correct = try await gateway.connect()
            try await correct.send(Self.csm())
            #expect(try await correct.ask(.ocf(.get, "oic/res")).code == .unauthorized)
        }
    }

    @Test("C-18, BI-9: an unknown elective option of a CSM is ignored, a critical one is named in the Abort")
    func unknownCSMOption() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            try await peer.send(Self.csm((8, [1])))
            try await peer.expectSilence()
            try await peer.send(Self.csm((9, [1])))
            let abort = try await peer.receiveAbort()
            #expect(abort.options.first(OptionNumber(rawValue: 2))?.uint == 9)
        }
    }

    @Test("C-19, C-20: no answer exceeds the peer's Max-Message-Size, and its latest CSM rules")
    func peerLimit() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            _ = try await device.peer.ask(.publish(di: "lamp", hrefs: (0..<20).map { "/resource/\($0)" }))
            try await device.peer.send(Self.csm((2, [0x10, 0x00])))
            let whole = try await device.peer.ask(.ocf(.get, "oic/res"))
            #expect(whole.code == .content)
            #expect((1153...4096).contains(whole.frameLength))
            try await device.peer.send(Self.csm((2, [0x04, 0x80])))
            let small = try await device.peer.ask(.ocf(.get, "oic/res"))
            #expect(small.code == .internalServerError)
            #expect(small.text.contains("Max-Message-Size 1152"))
            #expect(small.frameLength < 1152)
            try await device.peer.expectSilence()
        }
    }

    @Test("C-21, C-23: before sign-in a Ping brings a Pong with its token, also an empty one")
    func ping() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            for token in [Token([1, 2, 3, 4, 5, 6, 7, 8]), .empty] {
                try await peer.send(Message(code: .ping, token: token))
                let pong = try await peer.receivePastCSM()
                #expect(pong.code == .pong)
                #expect(pong.token == token)
                #expect(pong.options.isEmpty)
            }
        }
    }

    @Test("C-22, BI-12: a Ping with Custody is answered behind what came before it; a Pong to no Ping is ignored")
    func custody() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            let slow = Token.unique()
            try await client.peer.start(Request(.get, path: ["lamp", "light"]), token: slow)
            var ping = Message(code: .ping, token: Token([1]))
            ping.options.append(OptionNumber(rawValue: 2))
            try await client.peer.send(ping)
            // One without Custody overtakes it.
            try await client.peer.expectSilence()
            let request = try await device.peer.receiveRequest(.get, "light")
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            #expect(try await client.peer.receive().token == slow)
            let pong = try await client.peer.receive()
            #expect(pong.code == .pong)
            #expect(pong.token == Token([1]))
            #expect(pong.options.contains(OptionNumber(rawValue: 2)))
            try await client.peer.send(Message(code: .pong, token: Token([99])))
            try await client.peer.expectSilence()
        }
    }

    @Test("C-24, BI-13: after the peer's Release what was asked is answered, what comes later is not, then the end")
    func releaseByPeer() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            let before = Token.unique()
            try await client.peer.start(Request(.get, path: ["lamp", "light"]), token: before)
            let request = try await device.peer.receiveRequest(.get, "light")
            var release = Message(code: .release, token: .unique())
            release.options.append(OptionNumber(rawValue: 2), string: "elsewhere.example:5683")
            try await client.peer.send(release)
            let late = try await client.peer.ask(.ocf(.get, "oic/res"))
            #expect(late.code == .serviceUnavailable)
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            let answer = try await client.peer.receive()
            #expect(answer.token == before)
            #expect(answer.code == .content)
            try await client.peer.receiveClose()
        }
    }

    @Test("C-24: a large last answer is delivered whole before the connection closes")
    func releaseBehindLargeAnswer() async throws {
        try await RunningGateway.with(["MAX_MESSAGE_SIZE": "16777216"]) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            try await client.peer.send(Self.csm((2, [0x01, 0x00, 0x00, 0x00])))
            try await client.peer.start(Request(.get, path: ["lamp", "film"]))
            try await client.peer.send(Message(code: .release, token: .unique()))
            try await client.peer.setReading(false)
            let request = try await device.peer.receiveRequest(.get, "film")
            try await device.peer.answer(
                request, Response(.content, payload: ByteBuffer(repeating: 0x61, count: 15_000_000)))
            // The client reads only after all that the system would take for it was written.
            try await device.peer.expectSilence()
            try await client.peer.setReading(true)
            let answer = try await client.peer.receivePastCSM()
            #expect(answer.payload?.readableBytes == 15_000_000)
            try await client.peer.receiveClose()
        }
    }

    @Test("C-25: a stop sends every session a Release with Hold-Off, answers what is under way, then closes")
    func drain() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let client = try await owner.client("phone")
            let silent = try await owner.device("fan")
            let asked = Token.unique()
            try await client.peer.start(Request(.get, path: ["lamp", "light"]), token: asked)
            let request = try await device.peer.receiveRequest(.get, "light")
            await gateway.stop()
            for peer in [device.peer, client.peer, silent.peer] {
                let release = try await peer.receivePastCSM()
                #expect(release.code == .release)
                #expect(release.token.count == 8)
                #expect((1...10).contains(release.options.first(OptionNumber(rawValue: 4))?.uint ?? 0))
            }
            // No new request is sent to a device that was asked to go.
            let refused = try await client.peer.ask(Request(.get, path: ["fan", "speed"]))
            #expect(refused.code == .serviceUnavailable)
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "on")))
            let answer = try await client.peer.receive()
            #expect(answer.token == asked)
            #expect(answer.text == "on")
            await device.peer.close()
            await client.peer.close()
            // It does not go: it is closed when its time is over.
            try await silent.peer.receiveClose()
        }
    }

    @Test("C-26: after the peer's Abort we close without a word, and the device is offline")
    func abortByPeer() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "online")
            try await device.peer.send(
                Message(code: .abort, token: .unique(), payload: ByteBuffer(string: "I give up")))
            try await device.peer.receiveClose()
            try await gateway.eventually("offline") {
                try await gateway.status(of: "lamp", token: owner.token) == "offline"
            }
        }
    }

    @Test("C-27: a silent peer is pinged, then closed, and the device is offline")
    func keepalive() async throws {
        try await RunningGateway.with(
            ["KEEPALIVE_TIME": "1", "KEEPALIVE_INTERVAL": "3", "KEEPALIVE_RETRY": "2"]
        ) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let ping = try await device.peer.receivePastCSM()
            #expect(ping.code == .ping)
            #expect(ping.token.count == 8)
            try await device.peer.send(Message(code: .pong, token: ping.token))
            // The Pong began a new count: two more before the end.
            #expect(try await device.peer.receiveUntilClose().map(\.code) == [.ping, .ping])
            try await gateway.eventually("offline") {
                try await gateway.status(of: "lamp", token: owner.token) == "offline"
            }
        }
    }
}
