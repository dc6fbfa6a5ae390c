import CBOR
import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Bad input and bad timing around identity, on a real socket")
struct BadInputIdentityTests {
    @Test("BI-32: a sign-up whose answer was lost is repeated on another connection with the same result")
    func lostReply() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let code = try await gateway.deviceCode("lamp", mediator: owner.mediator)
            let lost = try await gateway.connect()
            try await lost.start(.signUp(di: "lamp", code: code))
            await lost.close()
            let first = try await owner.signUp("lamp", code: code)
            let second = try await owner.signUp("lamp", code: code)
            #expect(first.accessToken == second.accessToken)
            _ = try await second.signIn()
        }
    }

    @Test("BI-33: another owner's id, ids that break the rule, and the case of a UUID")
    func ids() async throws {
        try await RunningGateway.with { gateway in
            let alice = try await gateway.owner("alice")
            let bob = try await gateway.owner("bob")
            _ = try await alice.signedUp("lamp")
            // A code that is bound to nobody cannot take another owner's device.
            let free = try await gateway.http.post("/provision/device", token: bob.mediator, "{}")
            let peer = try await gateway.connect()
            if free.status == 200, let code = free.member("accesstoken") {
                IssuedSecrets.shared.note(code)
                #expect(try await peer.ask(.signUp(di: "lamp", code: code)).code == .unauthorized)
            }
            for di in ["", "a/b", "a b", "a#b", "a+b", "..", "oic", String(repeating: "x", count: 129), "a\u{0}"] {
                #expect(try await peer.ask(.signUp(di: di, code: "none")).code == .badRequest)
            }
            // UUIDs are compared without case.
            let upper = "B9107766-B045-49D1-66E5-E1BA7712A72C"
            let code = try await gateway.deviceCode(upper, mediator: alice.mediator)
            let login = try await alice.signUp(upper.lowercased(), code: code)
            let signIn = Request.signIn(uid: "alice", di: upper, accessToken: login.accessToken)
            #expect(try await login.peer.ask(signIn).code == .changed)
            #expect(try await gateway.status(of: upper.lowercased(), token: alice.token) == "online")
        }
    }

    @Test("BI-34: a sign-in before any sign-up is 4.01")
    func signInFirst() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            let request = Request.signIn(uid: "alice", di: "lamp", accessToken: "nothing")
            #expect(try await peer.ask(request).code == .unauthorized)
            #expect(try await peer.ask(.ocf(.get, "oic/res")).code == .unauthorized)
            try await peer.expectSilence()
        }
    }

    @Test("BI-34: a connection that is refused again and again is closed, with the reason")
    func tooManyRefusals() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            for _ in 0..<10 {
                try await peer.start(.signIn(uid: "alice", di: "lamp", accessToken: "\(Int.random(in: 0...Int.max))"))
            }
            let messages = try await peer.receiveUntilClose()
            #expect(messages.filter { $0.code == .unauthorized }.count == 10)
            #expect(messages.last?.code == .abort)
        }
    }

    @Test("BI-37: a device deleted while it is asked answers nobody any more, and who asked is told")
    func deletedWhileAsked() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            async let answer = gateway.http.request("POST", "/lamp/light", token: owner.token, body: "{}")
            _ = try await device.peer.receiveRequest(.post, "light")
            #expect(try await gateway.http.request("DELETE", "/devices/lamp", token: owner.token).status == 204)
            try await device.peer.receiveAbort()
            let lost = try await answer
            #expect(lost.status == 502)
            #expect(lost.text.contains("outcome-unknown"))
        }
    }

    @Test("BI-37: a device that takes itself off while it is asked still gives its answer")
    func signOffWhileAsked() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            async let answer = gateway.http.get("/lamp/light", token: owner.token)
            let request = try await device.peer.receiveRequest(.get, "light")
            #expect(try await device.peer.ask(.ocf(.delete, "oic/sec/account")).code == .deleted)
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "goodbye")))
            #expect(try await answer.text == "goodbye")
            #expect(try await gateway.http.get("/lamp/light", token: owner.token).status == 404)
        }
    }

    @Test("BI-38: an old refresh token ends the whole login, its living session included")
    func stolenRefresh() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("lamp")
            var last = login
            for _ in 0..<3 {
                last = try await login.peer.refresh("lamp", of: "alice", with: last.refreshToken)
            }
            let session = try await last.signIn()
            let thief = try await gateway.connect()
            #expect(
                try await thief.ask(.refresh(uid: "alice", di: "lamp", refreshToken: login.refreshToken)).code
                    == .unauthorized)
            try await session.peer.receiveAbort()
            #expect(
                try await thief.ask(.refresh(uid: "alice", di: "lamp", refreshToken: last.refreshToken)).code
                    == .unauthorized)
            #expect(
                try await thief.ask(.signIn(uid: "alice", di: "lamp", accessToken: last.accessToken)).code
                    == .unauthorized)
        }
    }

    @Test("BI-38: the same refresh at once from four connections gives one pair; another device's token none")
    func parallelRefresh() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("lamp")
            let fan = try await owner.signedUp("fan")
            let tokens = try await withThrowingTaskGroup(of: String.self) { tasks in
                for _ in 0..<4 {
                    tasks.addTask {
                        try await gateway.connect().refresh("lamp", of: "alice", with: login.refreshToken).accessToken
                    }
                }
                return try await tasks.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(tokens.count == 1)
            #expect(
                try await fan.peer.ask(.refresh(uid: "alice", di: "fan", refreshToken: login.refreshToken)).code
                    == .unauthorized)
            _ = try await fan.signIn()
        }
    }

    @Test("A device that signs up anew has its older session ended")
    func signUpAnew() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let login = try await owner.signedUp("lamp")
            try await device.peer.receiveAbort()
            _ = try await login.signIn()
        }
    }

    // MARK: Timing over HTTP

    @Test("BI-65: an HTTP client that goes before the device answers leaves nothing behind")
    func clientGone() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            for _ in 0..<3 {
                let client = try await ScriptedPeer.connect(port: gateway.httpPort)
                try await client.send(
                    bytes: Array(
                        "GET /lamp/light HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(owner.token)\r\n\r\n".utf8))
                let request = try await device.peer.receiveRequest(.get, "light")
                await client.close()
                try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "to nobody")))
            }
            async let answer = gateway.http.get("/lamp/other", token: owner.token)
            let request = try await device.peer.receiveRequest(.get, "other")
            try await device.peer.answer(request, Response(.content, payload: ByteBuffer(string: "to somebody")))
            #expect(try await answer.text == "to somebody")
        }
    }

    @Test("BI-65: two clients that write at once each get the answer to their own request")
    func twoWriters() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            async let first = gateway.http.post("/lamp/light", token: owner.token, "{\"value\": 1}")
            async let second = gateway.http.post("/lamp/light", token: owner.token, "{\"value\": 2}")
            let requests = [
                try await device.peer.receiveRequest(.post, "light"),
                try await device.peer.receiveRequest(.post, "light"),
            ]
            for request in requests.reversed() {
                var response = Response(.changed, payload: request.payload)
                response.options.contentFormat = .ocfCBOR
                try await device.peer.answer(request, response)
            }
            #expect(try await first.member("value") == "1")
            #expect(try await second.member("value") == "2")
        }
    }

    @Test("BI-66: an answer after the HTTP timeout reaches no other request")
    func lateAnswer() async throws {
        try await RunningGateway.with(["REQUEST_TIMEOUT": "1"]) { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            async let slow = gateway.http.get("/lamp/slow", token: owner.token)
            let slowRequest = try await device.peer.receiveRequest(.get, "slow")
            let late = try await slow
            #expect(late.status == 504)
            #expect(late.text.contains("no-answer"))
            async let fast = gateway.http.get("/lamp/fast", token: owner.token)
            let fastRequest = try await device.peer.receiveRequest(.get, "fast")
            try await device.peer.answer(slowRequest, Response(.content, payload: ByteBuffer(string: "late")))
            try await device.peer.answer(fastRequest, Response(.content, payload: ByteBuffer(string: "in time")))
            #expect(try await fast.text == "in time")
        }
    }
}
