import CBOR
import Cloud
import CoAP
import NIOCore
import OCF
import Registry
import Testing

@Suite("Sign-up and sign-off (OCF CNC, account)")
struct AccountTests {
    @Test("C-28: an unused code gives tokens, uid and expiresin as 2.04 in format 10000", arguments: StoreKind.allCases)
    func signUp(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let code = try await bench.code("d-1")
            let response = await bench.send(
                .post, OCFPath.account, ["di": "d-1", "accesstoken": .text(code.reveal()), "authprovider": "plgd"])
            let item = try response.expectItem(.changed)
            #expect(item["accesstoken"]?.string?.utf8.count == 44)
            #expect(item["refreshtoken"]?.string?.utf8.count == 44)
            #expect(item["expiresin"]?.integer == 6000)
            #expect(item["uid"]?.string == "u-1")
            #expect(item["redirecturi"] == nil)
            #expect(response.options.ocfVersion == .v1_0_0)
            // A sign-up is no sign-in.
            #expect(response.options.sessionUser == nil)
        }
    }

    @Test("C-29: without authprovider the user's own counts; another one is 4.01", arguments: StoreKind.allCases)
    func authProvider(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let code = try await bench.code("d-1").reveal()
            await bench.send(
                .post, OCFPath.account, ["di": "d-1", "accesstoken": .text(code), "authprovider": "other"]
            ).expectError(.unauthorized, field: "authprovider")
            for provider in [nil, .text("")] as [DataItem?] {
                var pairs: [DataItem.Pair] = [.init("di", "d-1"), .init("accesstoken", .text(code))]
                if let provider { pairs.append(.init("authprovider", provider)) }
                try await bench.send(.post, OCFPath.account, .map(pairs)).expectItem(.changed)
            }
        }
    }

    @Test("C-30: a body that is empty, not CBOR, no map, or lacks a field is 4.00")
    func badBodies() async throws {
        try await Bench.run(.memory) { bench in
            await bench.send(.post, OCFPath.account).expectError(.badRequest)
            for (item, field) in [
                ([], nil), ("text", nil), (["accesstoken": "x"], "di"), (["di": 1, "accesstoken": "x"], "di"),
                (["di": "", "accesstoken": "x"], "di"), (["di": .null, "accesstoken": "x"], "di"),
                (["di": "d-1"], "accesstoken"), (["di": "d-1", "accesstoken": 1], "accesstoken"),
                (["di": "d-1", "accesstoken": ""], "accesstoken"), (["di": "d-1", "authcode": ""], "authcode"),
                (["di": "d-1", "accesstoken": "x", "authprovider": 1], "authprovider"),
                (["di": "d-1", "accesstoken": "x", "uid": 1], "uid"),
            ] as [(DataItem, String?)] {
                await bench.send(.post, OCFPath.account, item).expectError(.badRequest, field: field)
            }
            for payload in ["ff", "bf", "a1626469", "a26264696164626469", "0000", "68656c6c6f"] {
                var request = Request(ocf: .post, path: OCFPath.account, item: .null)
                request.payload = ByteBuffer(bytes: bytes(payload))
                await bench.responder.respond(to: request).expectError(.badRequest)
            }
        }
    }

    @Test("BI-33: a di that breaks the id rule is 4.00; an upper-case UUID is the lower-case one")
    func idRule() async throws {
        try await Bench.run(.memory) { bench in
            for di in [
                "a/b", "a b", "..", ".", "a#", "a?", "a+b", "a$", "a%41", "a\u{0}", "oic", "registry", "\u{202e}x",
            ] {
                await bench.send(.post, OCFPath.account, ["di": .text(di), "accesstoken": "x"])
                    .expectError(.badRequest, field: "di")
            }
            await bench.send(
                .post, OCFPath.account, ["di": .text(String(repeating: "d", count: 129)), "accesstoken": "x"]
            )
            .expectError(.badRequest, field: "di")
            let uuid = "B9107766-b045-49D1-66e5-E1ba7712a72c"
            let code = try await bench.code(uuid)
            let item = try await bench.send(
                .post, OCFPath.account, ["di": .text(uuid), "accesstoken": .text(code.reveal())]
            ).expectItem(.changed)
            await bench.send(
                .post, OCFPath.session,
                [
                    "uid": "u-1", "di": .text(uuid.lowercased()), "accesstoken": item["accesstoken"] ?? .null,
                    "login": true,
                ]
            ).expect(.changed)
        }
    }

    @Test("BI-33: the di of another owner is 4.01, and nothing of it changes", arguments: StoreKind.allCases)
    func foreignOwner(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp("d-1", of: "u-1")
            let code = try await bench.code(nil, of: "u-2")
            await bench.send(.post, OCFPath.account, ["di": "d-1", "accesstoken": .text(code.reveal())])
                .expectError(.unauthorized)
            await bench.signIn(device).expect(.changed)
            #expect(try await bench.client.device(device.di, call: Bench.call)?.uid == device.uid)
        }
    }

    @Test(
        "C-31: a code repeated before first use gives the same tokens, afterwards 4.01", arguments: StoreKind.allCases)
    func repeated(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let code = try await bench.code("d-1")
            let body: DataItem = ["di": "d-1", "accesstoken": .text(code.reveal())]
            let first = try await bench.send(.post, OCFPath.account, body).expectItem(.changed)
            #expect(try await bench.send(.post, OCFPath.account, body).expectItem(.changed) == first)
            await bench.send(.post, OCFPath.account, ["di": "d-2", "accesstoken": .text(code.reveal())])
                .expectError(.unauthorized)
            let tokens = try SignUpResponse(first).credentials
            await bench.signIn(Signed(uid: tokens.uid, di: try DeviceID("d-1"), tokens: tokens)).expect(.changed)
            await bench.send(.post, OCFPath.account, body).expectError(.unauthorized)
        }
    }

    @Test(
        "BI-32: the same code many times in parallel is one registration with one answer", arguments: StoreKind.allCases
    )
    func parallel(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let code = try await bench.code("d-1")
            let body: DataItem = ["di": "d-1", "accesstoken": .text(code.reveal())]
            let answers = try await withThrowingTaskGroup(of: DataItem?.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        let response = await bench.send(.post, OCFPath.account, body)
                        #expect(response.code == .changed, "\(response.diagnostic ?? "")")
                        return try response.item()
                    }
                }
                return try await group.reduce(into: Set<DataItem?>()) { $0.insert($1) }
            }
            #expect(answers.count == 1)
            #expect(try await bench.client.devices(of: UserID("u-1"), call: Bench.call).count == 1)
        }
    }

    @Test("C-32: a code for one di is 4.01 with another; unknown, expired and overlong ones too")
    func wrongCode() async throws {
        try await Bench.run(.memory) { bench in
            let code = try await bench.code("d-1").reveal()
            await bench.send(.post, OCFPath.account, ["di": "d-2", "accesstoken": .text(code)])
                .expectError(.unauthorized)
            await bench.send(.post, OCFPath.account, ["di": "d-1", "accesstoken": "unknown"])
                .expectError(.unauthorized)
            await bench.send(
                .post, OCFPath.account, ["di": "d-1", "accesstoken": .text(String(repeating: "a", count: 2000))]
            ).expectError(.unauthorized)
            bench.clock.advance(.seconds(15 * 60 + 1))
            await bench.send(.post, OCFPath.account, ["di": "d-1", "accesstoken": .text(code)])
                .expectError(.unauthorized)
        }
    }

    @Test("C-33, C-34: indefinite lengths, extra keys and an empty uid change nothing")
    func tolerated() async throws {
        try await Bench.run(.memory) { bench in
            let code = try await bench.code("d-1").reveal()
            var payload = ByteBuffer(bytes: [0xBF])
            for (key, value) in [
                ("di", "d-1"), ("uid", ""), ("devicetype", "device"), ("accesstoken", code), ("x.org", "y"),
            ] {
                DataItem.text(key).encode(into: &payload)
                DataItem.text(value).encode(into: &payload)
            }
            payload.writeInteger(0xFF as UInt8)
            var request = Request(ocf: .post, path: OCFPath.account, item: .null)
            request.payload = payload
            let indefinite = try await bench.responder.respond(to: request).expectItem(.changed)
            let definite = try await bench.send(.post, OCFPath.account, ["di": "d-1", "authcode": .text(code)])
                .expectItem(.changed)
            #expect(indefinite == definite)
        }
    }

    @Test("C-35: other methods on account, session and tokenrefresh are 4.05")
    func methods() async throws {
        try await Bench.run(.memory) { bench in
            for path in [OCFPath.account, OCFPath.session, OCFPath.tokenRefresh] {
                for method in [Code.get, .put, .fetch, .patch, .iPatch, Code(0, 8)] {
                    await bench.send(method, path).expectError(.methodNotAllowed)
                }
            }
            await bench.send(.delete, OCFPath.session).expectError(.methodNotAllowed)
            await bench.send(.delete, OCFPath.tokenRefresh).expectError(.methodNotAllowed)
        }
    }

    @Test("C-36: a store that is down is 5.03 with Max-Age; the same code works afterwards")
    func storeDown() async throws {
        try await Bench.run(.memory) { bench in
            let code = try await bench.code("d-1")
            let body: DataItem = ["di": "d-1", "accesstoken": .text(code.reveal())]
            bench.store.fail(true)
            let refused = await bench.send(.post, OCFPath.account, body)
            refused.expectError(.serviceUnavailable)
            #expect((refused.options.maxAge ?? 0) > 0)
            bench.store.fail(false)
            try await bench.send(.post, OCFPath.account, body).expectItem(.changed)
        }
    }

    @Test("C-37: a redirect URI that is configured is in the answer")
    func redirect() async throws {
        let configuration = RegistryConfiguration(redirectURI: "coaps+tcp://other:5684")
        try await Bench.run(.memory, configuration: configuration) { bench in
            let code = try await bench.code("d-1")
            let item = try await bench.send(
                .post, OCFPath.account, ["di": "d-1", "accesstoken": .text(code.reveal())]
            ).expectItem(.changed)
            #expect(item["redirecturi"] == "coaps+tcp://other:5684")
        }
    }

    @Test("C-38: a signed-in device signs off without a query; then it is nobody", arguments: StoreKind.allCases)
    func signOff(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("c-1", kind: .client)
            _ = try await bench.publish(["/light"], of: device)
            let response = await bench.send(.delete, OCFPath.account, as: device)
            #expect(response.outward == Response(.deleted))
            #expect(response.options.sessionDevice == "d-1")
            // Its own connection is among them: a newer session of the device must not outlive it.
            #expect(bench.endedSessions == [device.di])
            await bench.signIn(device).expectError(.unauthorized)
            #expect(try await bench.discovered(by: other) == [])
            #expect(try await bench.client.device(device.di, call: Bench.call) == nil)
            await bench.send(.delete, OCFPath.account, as: device).expectError(.notFound)
            await bench.send(.post, OCFPath.directory, publication("d-1", ["/x"]), as: device)
                .expectError(.unauthorized)
        }
    }

    @Test(
        "C-39: not signed in, di and token sign off; without token 4.00, with a wrong one 4.01",
        arguments: StoreKind.allCases)
    func signOffByToken(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("d-2", of: "u-2")
            let token = device.tokens.accessToken.reveal()
            for (queries, code) in [
                ([], .badRequest), (["uid=u-1", "di=d-1"], .badRequest), (["accesstoken=\(token)"], .badRequest),
                (["di=d-1", "accesstoken=wrong"], .unauthorized),
                (["di=d-1", "accesstoken=\(other.tokens.accessToken.reveal())"], .unauthorized),
                (["di=d-2", "accesstoken=\(token)"], .unauthorized),
                (["di=d-1", "uid=u-2", "accesstoken=\(token)"], .unauthorized),
                (["di=%", "accesstoken=\(token)"], .badRequest), (["di=", "accesstoken=\(token)"], .badRequest),
                (["di=d-1", "di=d-1", "accesstoken=\(token)"], .badRequest),
            ] as [([String], Code)] {
                await bench.send(.delete, OCFPath.account, queries: queries).expectError(code)
            }
            // One option for all, as some older stacks send it.
            let response = await bench.send(
                .delete, OCFPath.account, queries: ["uid=u-1&di=d-1;accesstoken=\(token)"])
            #expect(response.outward == Response(.deleted))
            #expect(bench.endedSessions == [device.di])
            await bench.signIn(device).expectError(.unauthorized)
            await bench.signIn(other).expect(.changed)
        }
    }

    @Test("C-39: a signed-in device cannot sign another one off without its token")
    func signOffOther() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("d-2")
            await bench.send(.delete, OCFPath.account, queries: ["di=d-2"], as: device).expectError(.unauthorized)
            await bench.signIn(other).expect(.changed)
        }
    }

    @Test("OCF before 2.0: oic/account and what is below it are the same resources")
    func aliases() async throws {
        try await Bench.run(.memory) { bench in
            let code = try await bench.code("d-1")
            let item = try await bench.send(
                .post, OCFPath.legacyAccount, ["di": "d-1", "accesstoken": .text(code.reveal())]
            ).expectItem(.changed)
            let tokens = try SignUpResponse(item).credentials
            let di = try DeviceID("d-1")
            let refreshed = try await bench.send(
                .post, OCFPath.legacyTokenRefresh,
                RefreshRequest(uid: tokens.uid, di: di, refreshToken: tokens.refreshToken).item
            ).expectItem(.changed)
            let access = try RefreshResponse(refreshed).accessToken
            let session = SessionRequest.signIn(uid: tokens.uid, di: di, accessToken: access)
            await bench.send(.post, OCFPath.legacySession, session.item).expect(.changed)
            await bench.send(
                .delete, OCFPath.legacyAccount, as: Signed(uid: tokens.uid, di: di, tokens: tokens)
            ).expect(.deleted)
        }
    }
}

extension Response {
    func expect(_ code: Code, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(self.code == code, "\(self.diagnostic ?? "")", sourceLocation: sourceLocation)
    }
}
