import CBOR
import CoAP
import NIOCore
import TestSupport
import Testing

@Suite("Sign-up and sign-off on a real socket, conformance ideas 28–40")
struct ConformanceSignUpTests {
    private static func account(_ item: DataItem?) -> Request { .ocf(.post, "oic/sec/account", item) }

    @Test("C-28, C-29: a code is exchanged with and without its provider; an unknown provider is refused")
    func signUp() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let peer = try await gateway.connect()
            let code = try await gateway.deviceCode("lamp", mediator: owner.mediator)
            let wrong = try await peer.ask(
                Self.account(.map(["di": "lamp", "accesstoken": .text(code), "authprovider": "nobody"])))
            #expect(wrong.code == .unauthorized)
            let answer = try await peer.ask(
                Self.account(.map(["di": "lamp", "accesstoken": .text(code), "authprovider": "github"])))
            #expect(answer.code == .changed)
            #expect(answer.options.contentFormat == .ocfCBOR)
            #expect(answer.options.ocfVersion == .v1_0_0)
            #expect(answer.options.count == 2)
            let login = try IssuedLogin(#require(answer.item), di: "lamp", peer: peer)
            #expect(!login.accessToken.isEmpty && !login.refreshToken.isEmpty)
            #expect(login.uid == "alice")
            #expect(login.expiresIn == 6000)
            let second = try await owner.signedUp("fan")
            #expect(second.uid == "alice")
        }
    }

    @Test("C-30: a body that is no sign-up is refused, and the connection lives")
    func badBodies() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            let bodies: [DataItem?] = [
                nil, .array([.text("lamp")]), .map(["accesstoken": "x"]), .map(["di": 1, "accesstoken": "x"]),
                .map(["di": "lamp"]), .map(["di": "lamp", "accesstoken": 1]), .map(["di": "", "accesstoken": "x"]),
                .map(["di": "lamp", "accesstoken": ""]),
            ]
            for body in bodies {
                #expect(try await peer.ask(Self.account(body)).code == .badRequest)
            }
            for bytes in [[0xFF], [0xA1], [0xA1, 0x62, 0x64], [0x00, 0x00]] as [[UInt8]] {
                var request = Self.account(.map([]))
                request.payload = ByteBuffer(bytes: bytes)
                #expect(try await peer.ask(request).code == .badRequest)
            }
            try await peer.expectSilence()
        }
    }

    @Test("C-31, C-32, BI-32: a code gives its device the same tokens, on any connection, until they are used")
    func repeats() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let code = try await gateway.deviceCode("lamp", mediator: owner.mediator)
            let peers = [try await gateway.connect(), try await gateway.connect(), try await gateway.connect()]
            // All at once, then once more on the first.
            let answers = try await withThrowingTaskGroup(of: Message.self) { tasks in
                for peer in peers {
                    tasks.addTask { try await peer.ask(.signUp(di: "lamp", code: code)) }
                }
                return try await tasks.reduce(into: [Message]()) { $0.append($1) }
            }
            let again = try await peers[0].ask(.signUp(di: "lamp", code: code))
            let logins = try (answers + [again]).map { try IssuedLogin(#require($0.item), di: "lamp", peer: peers[0]) }
            #expect(Set(logins.map(\.accessToken)).count == 1)
            #expect(Set(logins.map(\.refreshToken)).count == 1)

            #expect(try await peers[1].ask(.signUp(di: "fan", code: code)).code == .unauthorized)
            _ = try await logins[0].signIn()
            #expect(try await peers[1].ask(.signUp(di: "lamp", code: code)).code == .unauthorized)
        }
    }

    @Test("C-33, C-34: an indefinite-length body with keys nobody knows is as good as any")
    func indefinite() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let code = try await gateway.deviceCode("lamp", mediator: owner.mediator)
            var body = ByteBuffer(bytes: [0xBF])
            for (key, value) in [("di", "lamp"), ("devicetype", "device"), ("uid", ""), ("accesstoken", code)] {
                body.writeImmutableBuffer(DataItem.text(key).encoded())
                body.writeImmutableBuffer(DataItem.text(value).encoded())
            }
            body.writeInteger(0xFF as UInt8)
            var request = Self.account(.map([]))
            request.payload = body
            let peer = try await gateway.connect()
            let answer = try await peer.ask(request)
            #expect(answer.code == .changed)
            _ = try IssuedLogin(#require(answer.item), di: "lamp", peer: peer)
        }
    }

    @Test("C-35: other methods on account, session and tokenrefresh are 4.05")
    func otherMethods() async throws {
        try await RunningGateway.with { gateway in
            let peer = try await gateway.connect()
            for path in ["oic/sec/account", "oic/sec/session", "oic/sec/tokenrefresh"] {
                for method in [Code.get, .put, .fetch, Code(0, 31)] {
                    #expect(try await peer.ask(.ocf(method, path)).code == .methodNotAllowed)
                }
            }
            #expect(try await peer.ask(.ocf(.delete, "oic/sec/session")).code == .methodNotAllowed)
        }
    }

    @Test("C-36, C-53, BI-43: a store that cannot write is 5.03 with Max-Age, and the same request works after it can")
    func storeDown() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let code = try await gateway.deviceCode("lamp", mediator: owner.mediator)
            // Not used yet: its first sign-in has to be written down.
            let fan = try await owner.signedUp("fan")
            let lamp = try await gateway.connect()
            let radio = try await owner.signedUp("radio")
            let requests: [(ScriptedPeer, Request)] = [
                (lamp, .signUp(di: "lamp", code: code)),
                (fan.peer, .signIn(uid: "alice", di: "fan", accessToken: fan.accessToken)),
                (radio.peer, .refresh(uid: "alice", di: "radio", refreshToken: radio.refreshToken)),
            ]
            let lock = try StoreLock(gateway)
            try await withThrowingTaskGroup(of: Message.self) { tasks in
                for (peer, request) in requests {
                    tasks.addTask { try await peer.ask(request) }
                }
                for try await answer in tasks {
                    #expect(answer.code == .serviceUnavailable)
                    #expect((1...60).contains(answer.options.maxAge ?? 0))
                }
            }
            try lock.release()
            for (peer, request) in requests {
                let answer = try await peer.ask(request)
                #expect(answer.code == .changed)
                if let item = answer.item, item["accesstoken"] != nil {
                    _ = try IssuedLogin(item, di: "any", uid: "alice", peer: peer)
                }
            }
        }
    }

    @Test("C-38: a signed-in device takes itself off: session, links and HTTP know it no more")
    func signOff() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            let other = try await owner.device("fan")
            try await device.publish("/light")
            try await other.publish("/speed")
            #expect(try await other.discover().sorted() == ["/fan/speed", "/lamp/light"])
            let answer = try await device.peer.ask(.ocf(.delete, "oic/sec/account"))
            #expect(answer.code == .deleted)
            #expect(answer.payload == nil)
            #expect(answer.options.isEmpty)
            let login = device.login
            let signIn = Request.signIn(uid: login.uid, di: login.di, accessToken: login.accessToken)
            #expect(try await device.peer.ask(signIn).code == .unauthorized)
            #expect(try await device.peer.ask(.ocf(.get, "oic/res")).code == .unauthorized)
            #expect(try await other.discover() == ["/fan/speed"])
            #expect(try await gateway.http.get("/lamp/light", token: owner.token).status == 404)
            #expect(try await gateway.http.get("/devices/lamp", token: owner.token).status == 404)
        }
    }

    @Test("C-39: without a session the token must come with di or uid, and fit")
    func signOffWithoutSession() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let login = try await owner.signedUp("lamp")
            let peer = try await gateway.connect()
            func delete(_ queries: String...) async throws -> Code {
                try await peer.ask(.ocf(.delete, "oic/sec/account", queries: queries)).code
            }
            #expect(try await delete("uid=alice", "di=lamp") == .badRequest)
            #expect(try await delete() == .badRequest)
            #expect(try await delete("di=lamp", "accesstoken=wrong") == .unauthorized)
            #expect(try await delete("di=fan", "accesstoken=\(login.accessToken)") == .unauthorized)
            #expect(try await delete("di=%", "accesstoken=\(login.accessToken)") == .badRequest)
            #expect(try await delete("di=lamp", "accesstoken=\(login.accessToken)") == .deleted)
            #expect(try await delete("di=lamp", "accesstoken=\(login.accessToken)") == .unauthorized)
        }
    }

    @Test("C-40: a device deleted over HTTP loses its connection and its route")
    func deletedOverHTTP() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.owner("alice")
            let device = try await owner.device("lamp")
            #expect(try await gateway.sessions() == 1)
            #expect(try await gateway.http.request("DELETE", "/devices/lamp", token: owner.token).status == 204)
            try await device.peer.receiveAbort()
            try await gateway.eventually("no session") { try await gateway.sessions() == 0 }
            #expect(try await gateway.http.get("/lamp/light", token: owner.token).status == 404)
            // The id is free again, and begins as one nobody has seen.
            _ = try await owner.device("lamp")
            #expect(try await gateway.status(of: "lamp", token: owner.token) == "online")
        }
    }
}
