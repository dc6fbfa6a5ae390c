import CBOR
import CoAP
import NIOCore
import ServiceShell
import TestSupport
import Testing

@Suite("Sign-in, sign-out and refresh on a real socket, conformance ideas 41–53")
struct ConformanceSessionTests {
    private static func session(_ item: DataItem) -> Request { .ocf(.post, "oic/sec/session", item) }

    @Test("C-41: a sign-in says how long the token lives, -1 for ever")
    func expiresIn() async throws {
        try await RunningGateway.with { gateway in
            let login = try await gateway.owner("alice").signedUp("lamp")
            let answer = try await login.peer.ask(
                .signIn(uid: "alice", di: "lamp", accessToken: login.accessToken))
            #expect(answer.code == .changed)
            #expect(answer.options.contentFormat == .ocfCBOR)
            #expect((1...login.expiresIn).contains(answer.item?["expiresin"]?.integer ?? 0))
            #expect(answer.item?.pairs?.count == 1)
        }
        try await RunningGateway.with(["DEVICE_TOKEN_LIFETIME": "permanent"]) { gateway in
            let login = try await gateway.owner("alice").signedUp("lamp")
            #expect(login.expiresIn == -1)
            let answer = try await login.peer.ask(
                .signIn(uid: "alice", di: "lamp", accessToken: login.accessToken))
            #expect(answer.item?["expiresin"] == -1)
        }
    }

    @Test("C-42: each wrong field of a sign-in is 4.01, each missing one 4.00, and the connection lives")
    func wrongFields() async throws {
        try await RunningGateway.with { gateway in
            let login = try await gateway.owner("alice").signedUp("lamp")
            let right: [(String, DataItem)] = [
                ("uid", "alice"), ("di", "lamp"), ("accesstoken", .text(login.accessToken)), ("login", true),
            ]
            for index in right.indices {
                var missing = right
                missing.remove(at: index)
                let answer = try await login.peer.ask(
                    Self.session(.map(missing.map { DataItem.Pair(.text($0.0), $0.1) })))
                #expect(answer.code == .badRequest)
                #expect(answer.text.contains(right[index].0))
                guard right[index].0 != "login" else { continue }
                var wrong = right
                wrong[index].1 = "other"
                #expect(
                    try await login.peer.ask(Self.session(.map(wrong.map { DataItem.Pair(.text($0.0), $0.1) }))).code
                        == .unauthorized)
            }
            var text = right
            text[3].1 = "true"
            #expect(
                try await login.peer.ask(Self.session(.map(text.map { DataItem.Pair(.text($0.0), $0.1) }))).code
                    == .badRequest)
            _ = try await login.signIn()
        }
    }

    @Test("C-43, C-49: when the token runs out the connection stays without a session, until a refresh and a sign-in")
    func expiry() async throws {
        try await RunningGateway.with(["DEVICE_TOKEN_LIFETIME": "1"]) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            try await gateway.eventually("the end of the session") {
                try await device.peer.ask(.ocf(.get, "oic/res")).code == .unauthorized
            }
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "offline")
            // What a device is told are whole seconds: the token itself may live a little longer.
            try await gateway.eventually("the end of the token") {
                try await device.peer.ask(
                    .signIn(uid: "alice", di: "lamp", accessToken: device.login.accessToken)
                ).code == .unauthorized
            }
            _ = try await device.peer.refresh("lamp", of: "alice", with: device.login.refreshToken).signIn()
            try await device.peer.expectSilence()
        }
    }

    @Test("C-43: a refresh on a living session lengthens it")
    func refreshLengthens() async throws {
        try await RunningGateway.with(["DEVICE_TOKEN_LIFETIME": "5"]) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let start = ContinuousClock.now
            var token = device.login.refreshToken
            // Beyond the life of the first token, by refreshes alone, each with time to spare.
            for seconds in [2, 4, 6] {
                try await gateway.eventually("second \(seconds)") { start.duration(to: .now) >= .seconds(seconds) }
                token = try await device.peer.refresh("lamp", of: "alice", with: token).refreshToken
                #expect(try await device.peer.ask(.ocf(.get, "oic/res")).code == .content)
            }
        }
    }

    @Test("C-44: online after sign-in, offline at once after sign-out, offline since when after a lost connection")
    func presence() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("lamp")
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "offline")
            let device = try await login.signIn()
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "online")
            let out = Request.signIn(uid: "alice", di: "lamp", accessToken: login.accessToken, login: false)
            #expect(try await device.peer.ask(out).code == .changed)
            let gone = try await gateway.http.get("/devices/lamp", token: owner.token)
            #expect(gone.member("status") == "offline")
            #expect(gone.member("since") == nil)
            _ = try await login.signIn()
            await device.peer.close()
            try await gateway.eventually("offline, since") {
                let answer = try await gateway.http.get("/devices/lamp", token: owner.token)
                return answer.member("status") == "offline" && answer.member("since") != nil
            }
        }
    }

    @Test("C-45, BI-36: the newest sign-in wins; the end of the older connection changes nothing")
    func takeover() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let first = try await owner.device("lamp")
            let second = try await first.login.signIn(on: gateway.connect())
            let abort = try await first.peer.receiveAbort()
            #expect(abort.text.contains("superseded"))
            async let answer = gateway.http.get("/lamp/light", token: owner.token)
            let request = try await second.peer.receiveRequest(.get, "light")
            try await second.peer.answer(request, Response(.content, payload: ByteBuffer(string: "second")))
            #expect(try await answer.text == "second")
            await first.peer.close()
            try await second.peer.expectSilence()
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "online")
            #expect(try await gateway.sessions() == 1)
        }
    }

    @Test("BI-36: a device that comes back from the very same address and port has its new session alone")
    func sameAddress() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("lamp")
            // All of 127/8 is loopback: no other test takes a port of this address in between.
            let host = "127.36.36.36"
            var device = try await login.signIn(
                on: ScriptedPeer.connect(port: gateway.coapPort, from: 0, localHost: host))
            for _ in 0..<5 {
                let port = device.peer.localPort
                try await device.peer.reset()
                let again = try await ScriptedPeer.connect(port: gateway.coapPort, from: port, localHost: host)
                #expect(again.localPort == port)
                device = try await login.signIn(on: again)
            }
            async let answer = gateway.http.get("/lamp/light", token: owner.token)
            let request = try await device.peer.receiveRequest(.get, "light")
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "here")))
            #expect(try await answer.text == "here")
            try await gateway.eventually("one session") { try await gateway.sessions() == 1 }
            await device.peer.close()
        }
    }

    @Test("A sign-in has one request id in the logs of every part it passes")
    func requestID() async throws {
        try await RunningGateway.with { gateway in
            // The line is written behind the answer; the Pong behind both.
            try await gateway.owner("alice").device("lamp").peer.expectSilence()
            func ids(_ part: String) -> [String] {
                gateway.log.lines.filter { $0.contains("access.\(part)") && $0.contains("oic/sec/session") }
                    .compactMap { line in line.split(separator: " ").first { $0.hasPrefix("request.id=") } }
                    .map(String.init)
            }
            #expect(ids("coap-interface").count == 1)
            #expect(ids("coap-interface") == ids("registry"))
        }
    }

    @Test("C-46, BI-37: after login=false the links stay, but nothing is answered and nothing delivered")
    func signOut() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let other = try await owner.device("fan")
            try await device.publish("/light")
            let login = device.login
            let out = Request.signIn(uid: "alice", di: "lamp", accessToken: login.accessToken, login: false)
            let answer = try await device.peer.ask(out)
            #expect(answer.code == .changed)
            #expect(answer.item?.pairs?.isEmpty == true)
            #expect(try await device.peer.ask(.ocf(.get, "oic/res")).code == .unauthorized)
            #expect(try await other.discover() == ["/lamp/light"])
            let http = try await gateway.http.get("/lamp/light", token: owner.token)
            #expect(http.status == 503)
            #expect(http["retry-after"] != nil)
            // Twice is as good as once.
            #expect(try await device.peer.ask(out).code == .changed)
            try await device.peer.expectSilence()
        }
    }

    @Test("C-47: login=false needs no fields on a living session, and all of them without one")
    func signOutFields() async throws {
        try await RunningGateway.with { gateway in
            let device = try await gateway.owner("alice").device("lamp")
            let out = Self.session(.map(["login": false]))
            #expect(try await device.peer.ask(Self.session(.map(["login": false, "di": "fan"]))).code == .unauthorized)
            #expect(try await device.peer.ask(out).code == .changed)
            #expect(try await device.peer.ask(out).code == .badRequest)
        }
    }

    @Test("C-48, BI-34: a second sign-in is one session; another device's takes its place")
    func signInTwice() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let lamp = try await owner.device("lamp")
            let fan = try await owner.signedUp("fan")
            _ = try await lamp.login.signIn()
            #expect(try await gateway.sessions() == 1)
            let both = try await fan.signIn(on: lamp.peer)
            #expect(try await gateway.sessions() == 1)
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "offline")
            #expect(try await gateway.status(of: "fan", token: owner.token) == "online")
            #expect(try await both.publish("/speed").code == .changed)
            #expect(try await both.peer.ask(.publish(di: "lamp", hrefs: ["/light"])).code == .forbidden)
        }
    }

    @Test("A sign-in and what needs it may be sent in one go")
    func pipelined() async throws {
        try await RunningGateway.with { gateway in
            let login = try await gateway.owner("alice").signedUp("lamp")
            let requests = [
                Request.signIn(uid: "alice", di: "lamp", accessToken: login.accessToken),
                .publish(di: "lamp", hrefs: ["/light"]), .ocf(.get, "oic/res"),
            ]
            for (index, request) in requests.enumerated() {
                try await login.peer.start(request, token: Token([UInt8(index)]))
            }
            let answers = [
                try await login.peer.receivePastCSM(), try await login.peer.receive(), try await login.peer.receive(),
            ]
            #expect(Set(answers.map(\.code)) == [.changed, .content])
            #expect(answers.first?.token == Token([0]))
        }
    }

    // MARK: Refresh

    @Test("C-51, C-52: a refresh gives a new pair; the old one is repeated until the new one is used, then refused")
    func refresh() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let old = device.login
            let peer = try await gateway.connect()
            let new = try await peer.refresh("lamp", of: "alice", with: old.refreshToken)
            #expect(new.accessToken != old.accessToken && new.refreshToken != old.refreshToken)
            let repeated = try await peer.refresh("lamp", of: "alice", with: old.refreshToken)
            #expect(repeated.accessToken == new.accessToken && repeated.refreshToken == new.refreshToken)
            _ = try await new.signIn()
            let stale = Request.signIn(uid: "alice", di: "lamp", accessToken: old.accessToken)
            #expect(try await gateway.connect().ask(stale).code == .unauthorized)
        }
    }

    @Test("C-53: each missing field of a refresh is 4.00, each wrong one 4.01 and harmless")
    func refreshFields() async throws {
        try await RunningGateway.with { gateway in
            let login = try await gateway.owner("alice").signedUp("lamp")
            let right: [(String, DataItem)] = [
                ("uid", "alice"), ("di", "lamp"), ("refreshtoken", .text(login.refreshToken)),
            ]
            func ask(_ fields: [(String, DataItem)]) async throws -> Message {
                try await login.peer.ask(
                    .ocf(.post, "oic/sec/tokenrefresh", .map(fields.map { DataItem.Pair(.text($0.0), $0.1) })))
            }
            for index in right.indices {
                var fields = right
                fields[index].1 = "other"
                #expect(try await ask(fields).code == .unauthorized)
                fields.remove(at: index)
                #expect(try await ask(fields).code == .badRequest)
            }
            let answer = try await ask(right)
            #expect(answer.code == .changed)
            _ = try IssuedLogin(#require(answer.item), di: "lamp", uid: "alice", peer: login.peer)
        }
    }
}
