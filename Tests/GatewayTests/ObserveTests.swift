import CBOR
import CoAP
import Foundation
import Gateway
import NIOCore
import TestServers
import TestSupport
import Testing

@Suite("Observing through a whole gateway", .timeLimit(.minutes(3)))
struct ObserveTests {
    private static let token = Token(eightBytes: 0x1122_3344_5566_7788)

    @Test("C-75, C-76: two clients, one upstream; cancelled by one, told to the other; the sign-out ends it at once")
    func clients() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            let (phone, tablet) = (try await owner.client("phone"), try await owner.client("tablet"))
            try await phone.peer.register("lamp/light", token: Self.token)
            let upstream = try await lamp.peer.receiveGet("light", observe: 0)
            try await lamp.peer.notify(upstream, "on")
            try await phone.peer.receiveNotification("on", token: Self.token)
            try await tablet.peer.register("lamp/light", token: Self.token)
            try await tablet.peer.receiveNotification("on", token: Self.token)
            try await lamp.peer.notify(upstream, "off")
            for client in [phone, tablet] { try await client.peer.receiveNotification("off", token: Self.token) }
            try await phone.peer.start(ScriptedPeer.get("lamp/light", observe: 1), token: Self.token)
            try await lamp.peer.answer(try await lamp.peer.receiveGet("light", observe: nil), Response(.content))
            try await phone.peer.receiveEnd(.content, token: Self.token)
            try await lamp.peer.notify(upstream, "on")
            try await tablet.peer.receiveNotification("on", token: Self.token)
            try await lamp.peer.start(
                .signIn(uid: lamp.uid, di: "lamp", accessToken: lamp.login.accessToken, login: false))
            try await tablet.peer.receiveEnd(.serviceUnavailable, token: Self.token)
            try await phone.peer.expectSilence()
        }
    }

    @Test("C-76: a device that is deleted over HTTP ends the observations of it within 2 s")
    func deleted() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            let phone = try await owner.client("phone")
            try await phone.peer.register("lamp/light", token: Self.token)
            try await lamp.peer.notify(try await lamp.peer.receiveGet("light", observe: 0), "on")
            try await phone.peer.receiveNotification("on", token: Self.token)
            let answer = try await gateway.http.request("DELETE", "/devices/lamp", token: owner.token)
            #expect(answer.status == 204)
            try await phone.peer.receiveEnd(.serviceUnavailable, token: Self.token)
            try await phone.peer.register("lamp/light", token: Self.token)
            try await phone.peer.receiveEnd(.notFound, token: Self.token)
        }
    }

    @Test("/oic/res tells an observer what is published and unpublished, and nothing of other users")
    func links() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let stranger = try await gateway.owner("bob")
            let phone = try await owner.client("phone")
            try await phone.peer.register("oic/res", token: Self.token)
            #expect(try await phone.peer.receiveLinks(Self.token) == [])
            let lamp = try await owner.device("lamp")
            try await lamp.publish("/light")
            #expect(try await phone.peer.receiveLinks(Self.token) == ["/lamp/light"])
            let other = try await stranger.device("safe")
            try await other.publish("/door")
            try await lamp.publish("/clock")
            #expect(try await phone.peer.receiveLinks(Self.token) == ["/lamp/clock", "/lamp/light"])
            let gone = try await lamp.peer.ask(.ocf(.delete, "oic/rd", queries: ["di=lamp"]))
            #expect(gone.code == .deleted)
            #expect(try await phone.peer.receiveLinks(Self.token) == [])
            try await phone.peer.expectSilence()
        }
    }

    @Test(
        "aiocoap observes a device, until its connection ends",
        arguments: ["coap+tcp", "coaps+tcp", "coap+ws", "coaps+ws"])
    func aiocoap(_ scheme: String) async throws {
        try await PeerCertificates.with(devices: []) { certificates in
            try await RunningGateway.with(certificates.settings("optional")) { gateway in
                let port = try #require(
                    scheme == "coap+tcp"
                        ? gateway.coapPort
                        : gateway.ports.more[["coaps+tcp": "coaps", "coap+ws": "ws"][scheme] ?? "wss"])
                let owner = try await gateway.owner("alice")
                let lamp = try await owner.device("lamp")
                let code = try await owner.deviceCode("aiocoap-observer")
                let observer = try Subprocess([
                    "\(Subprocess.root)/.build/peers/bin/python",
                    "\(Subprocess.root)/Tests/GatewayTests/Peers/aiocoap_observer.py",
                    "\(scheme)://127.0.0.1:\(port)", "aiocoap-observer", code, "lamp", "3", certificates.authority,
                ])
                let upstream = try await lamp.peer.receiveGet("light", observe: 0)
                for text in ["on", "off", "dim"] {
                    try await lamp.peer.notify(upstream, text)
                    try await observer.waitFor("\(text)\n")
                }
                // It says nothing of that to us.
                try await observer.waitFor("cancelled")
                observer.closeInput()
                let cancel = try await lamp.peer.receiveGet("light", observe: 1)
                #expect(cancel.token == upstream.token)
                #expect(observer.outputSoFar == "on\noff\ndim\ncancelled\n")
                #expect(await observer.ended().status == 0)
            }
        }
    }

    @Test("libcoap's client observes a device over coap+tcp")
    func libcoap() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            let phone = try await owner.deviceCode("libcoap-observer")
            let joint = try Subprocess([
                "/usr/bin/env", "python3", "\(Subprocess.root)/Tests/GatewayTests/Peers/one_connection.py",
                "\(gateway.coapPort)",
            ])
            try await joint.waitFor("\n")
            let client = LibcoapClient(base: "coap+tcp://127.0.0.1:\(joint.firstLine)")
            let account = try await client.post(
                "/oic/sec/account", ["di": "libcoap-observer", "accesstoken": .text(phone)])
            let login = try IssuedLogin(account, di: "libcoap-observer", peer: lamp.peer)
            _ = try await client.post(
                "/oic/sec/session",
                [
                    "di": "libcoap-observer", "uid": .text(login.uid), "accesstoken": .text(login.accessToken),
                    "login": true,
                ])
            let observer = try Subprocess([
                "/usr/bin/coap-client-notls", "-w", "-B", "60", "-s", "60",
                "coap+tcp://127.0.0.1:\(joint.firstLine)/lamp/light",
            ])
            let upstream = try await lamp.peer.receiveGet("light", observe: 0)
            for text in ["on", "off", "dim"] {
                try await lamp.peer.notify(upstream, text)
                try await observer.waitFor(text)
            }
            observer.signal(SIGKILL)
            _ = await observer.ended()
            joint.signal(SIGKILL)
            _ = await joint.ended()
            // With its connection goes what it observed.
            let cancel = try await lamp.peer.receiveGet("light", observe: 1)
            #expect(cancel.token == upstream.token)
        }
    }
}

extension ScriptedPeer {
    /// The next message is a notification with links: their hrefs, in order.
    fileprivate func receiveLinks(_ token: Token) async throws -> [String] {
        let message = try await self.receivePastCSM()
        guard message.code == .content, message.token == token, message.options.contains(.observe),
            let links = message.item?.elements
        else { throw PeerError("\(message.code) \(message.text) where links were expected") }
        return links.compactMap { $0["href"]?.string }.sorted()
    }
}
