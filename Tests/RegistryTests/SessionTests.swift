import CBOR
import Cloud
import CoAP
import OCF
import Registry
import Testing

@Suite("Sign-in, sign-out and refresh (OCF CNC, session and tokenrefresh)")
struct SessionTests {
    @Test("C-41: a valid token signs in and says how long it lives", arguments: StoreKind.allCases)
    func signIn(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            bench.clock.advance(.milliseconds(1500))
            let response = await bench.signIn(device)
            #expect(try response.expectItem(.changed) == ["expiresin": 5998])
            #expect(response.options.sessionUser == "u-1")
            #expect(response.options.sessionDevice == "d-1")
            #expect(response.options.sessionKind == "device")
            #expect(response.options.sessionFamily?.utf8.count == 32)
            #expect(response.options.sequence == 0)
            #expect(response.options.sessionExpiryMilliseconds == 5_998_000)
            #expect(!response.outward.options.hasInternal)
        }
    }

    @Test("C-41: a permanent token has expiresin -1, and a session without end")
    func permanent() async throws {
        let identity = IdentityConfiguration(deviceTokenLifetime: nil)
        try await Bench.run(.memory, identity: identity) { bench in
            let device = try await bench.signedUp()
            #expect(device.tokens.expiresIn == -1)
            let response = await bench.signIn(device)
            #expect(try response.expectItem(.changed) == ["expiresin": -1])
            #expect(response.options.sessionExpiryMilliseconds == nil)
            let client = try await bench.signedUp("c-1", kind: .client)
            #expect(await bench.signIn(client).options.sessionKind == "client")
        }
    }

    @Test("C-42: a wrong token, uid or di is 4.01", arguments: StoreKind.allCases)
    func wrong(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("d-2")
            let token = device.tokens.accessToken
            for (uid, di, token) in [
                ("u-1", "d-1", "wrong"), ("u-2", "d-1", token.reveal()), ("u-1", "d-2", token.reveal()),
                ("u-1", "d-1", other.tokens.accessToken.reveal()), ("u-1", "d-1", device.tokens.refreshToken.reveal()),
                ("u-1", "nobody", token.reveal()), ("u-1", "d-1", String(repeating: "x", count: 600)),
            ] {
                await bench.send(
                    .post, OCFPath.session,
                    ["uid": .text(uid), "di": .text(di), "accesstoken": .text(token), "login": true]
                ).expectError(.unauthorized)
            }
            await bench.signIn(device).expect(.changed)
        }
    }

    @Test("C-42, BI-30: each field missing or of a wrong type is 4.00, login as text too")
    func malformed() async throws {
        try await Bench.run(.memory) { bench in
            let whole: [DataItem.Pair] = [
                .init("uid", "u-1"), .init("di", "d-1"), .init("accesstoken", "t"), .init("login", true),
            ]
            for index in whole.indices {
                var pairs = whole
                let removed = pairs.remove(at: index)
                await bench.send(.post, OCFPath.session, .map(pairs))
                    .expectError(.badRequest, field: removed.key.string)
                for wrong in [.unsigned(1), "", "true", [], .null, .bytes([1])] as [DataItem] {
                    // A text is only wrong where a boolean must be, an empty one everywhere.
                    if wrong == "true", removed.key != "login" { continue }
                    pairs = whole
                    pairs[index].value = wrong
                    await bench.send(.post, OCFPath.session, .map(pairs))
                        .expectError(.badRequest, field: removed.key.string)
                }
            }
            await bench.send(.post, OCFPath.session).expectError(.badRequest)
        }
    }

    @Test("BI-34: a sign-in before the sign-up is 4.01")
    func beforeSignUp() async throws {
        try await Bench.run(.memory) { bench in
            let code = try await bench.code("d-1")
            // A one-time code is no access token.
            await bench.send(
                .post, OCFPath.session,
                ["uid": "u-1", "di": "d-1", "accesstoken": .text(code.reveal()), "login": true]
            ).expectError(.unauthorized)
        }
    }

    @Test("C-43: an expired token is 4.01, after a refresh 2.04", arguments: StoreKind.allCases)
    func expired(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            var device = try await bench.signedUp()
            await bench.signIn(device).expect(.changed)
            bench.clock.advance(.seconds(6001))
            await bench.signIn(device).expectError(.unauthorized)
            device.tokens = try await bench.client.refresh(
                uid: device.uid, di: device.di, refreshToken: device.tokens.refreshToken, call: Bench.call)
            await bench.signIn(device).expect(.changed)
        }
    }

    @Test(
        "C-46, C-47: login=false is 2.04 with an empty map, with or without fields; links stay",
        arguments: StoreKind.allCases)
    func signOut(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            let client = try await bench.signedUp("c-1", kind: .client)
            _ = try await bench.publish(["/light"], of: device)
            let token = DataItem.text(device.tokens.accessToken.reveal())
            for item in [
                ["login": false], ["uid": "u-1", "di": "d-1", "accesstoken": token, "login": false],
                ["di": "d-1", "login": false],
            ] as [DataItem] {
                let response = await bench.send(.post, OCFPath.session, item, as: device)
                #expect(try response.expectItem(.changed) == [:])
                // How the connection tells a sign-out from a sign-in.
                #expect(!response.options.hasInternal)
            }
            #expect(try await bench.discovered(by: client) == ["/d-1/light"])
        }
    }

    @Test("C-47: login=false without a session is 4.00 unless it names itself, and 4.01 for somebody else's")
    func signOutWithoutSession() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let token = DataItem.text(device.tokens.accessToken.reveal())
            for (item, field) in [
                (["login": false], "uid"), (["uid": "u-1", "login": false], "di"),
                (["uid": "u-1", "di": "d-1", "login": false], "accesstoken"),
            ] as [(DataItem, String)] {
                await bench.send(.post, OCFPath.session, item).expectError(.badRequest, field: field)
            }
            await bench.send(
                .post, OCFPath.session, ["uid": "u-1", "di": "d-1", "accesstoken": "wrong", "login": false]
            ).expectError(.unauthorized)
            await bench.send(
                .post, OCFPath.session, ["uid": "u-1", "di": "d-1", "accesstoken": token, "login": false]
            ).expect(.changed)
            await bench.send(.post, OCFPath.session, ["di": "d-2", "login": false], as: device)
                .expectError(.unauthorized)
            await bench.send(.post, OCFPath.session, ["uid": "u-2", "login": false], as: device)
                .expectError(.unauthorized)
        }
    }

    @Test(
        "C-51: a refresh gives three members; the new token signs in, then the old one is refused",
        arguments: StoreKind.allCases)
    func refresh(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            var device = try await bench.signedUp()
            await bench.signIn(device).expect(.changed)
            let old = device.tokens
            let item = try await bench.send(
                .post, OCFPath.tokenRefresh,
                [
                    "uid": "u-1", "di": "d-1", "authprovider": "plgd", "granttype": "refresh_token",
                    "refreshtoken": .text(old.refreshToken.reveal()),
                ]
            ).expectItem(.changed)
            #expect(item.pairs?.map(\.key) == ["accesstoken", "refreshtoken", "expiresin"])
            #expect(item["expiresin"]?.integer == 6000)
            // Until the new pair is used the answer may have been lost.
            await bench.signIn(device, with: old.accessToken).expect(.changed)
            device.tokens.accessToken = try RefreshResponse(item).accessToken
            await bench.signIn(device).expect(.changed)
            await bench.signIn(device, with: old.accessToken).expectError(.unauthorized)
        }
    }

    @Test(
        "C-52: an old refresh token works again until the new pair is used, and long afterwards is theft",
        arguments: StoreKind.allCases)
    func repeatedRefresh(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            var device = try await bench.signedUp()
            await bench.signIn(device).expect(.changed)
            let old = device.tokens
            let body = RefreshRequest(uid: device.uid, di: device.di, refreshToken: old.refreshToken).item
            let first = try await bench.send(.post, OCFPath.tokenRefresh, body).expectItem(.changed)
            #expect(try await bench.send(.post, OCFPath.tokenRefresh, body).expectItem(.changed) == first)
            device.tokens.accessToken = try RefreshResponse(first).accessToken
            await bench.signIn(device).expect(.changed)
            bench.clock.advance(.seconds(61))
            await bench.send(.post, OCFPath.tokenRefresh, body).expectError(.unauthorized)
            // BI-38: whoever has the newer pair may be the thief, so nobody keeps his.
            await bench.signIn(device).expectError(.unauthorized)
        }
    }

    @Test("BI-38: the same refresh token in parallel gives one pair", arguments: StoreKind.allCases)
    func parallelRefresh(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let device = try await bench.signedUp()
            let body = RefreshRequest(uid: device.uid, di: device.di, refreshToken: device.tokens.refreshToken).item
            let answers = try await withThrowingTaskGroup(of: DataItem?.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        let response = await bench.send(.post, OCFPath.tokenRefresh, body)
                        #expect(response.code == .changed, "\(response.diagnostic ?? "")")
                        return try response.item()
                    }
                }
                return try await group.reduce(into: Set<DataItem?>()) { $0.insert($1) }
            }
            #expect(answers.count == 1)
        }
    }

    @Test("C-53, BI-38: a refresh with a missing field is 4.00, wrong or of another device 4.01, store down 5.03")
    func wrongRefresh() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp("d-1")
            let other = try await bench.signedUp("d-2")
            let whole: [DataItem.Pair] = [
                .init("uid", "u-1"), .init("di", "d-1"),
                .init("refreshtoken", .text(device.tokens.refreshToken.reveal())),
            ]
            for index in whole.indices {
                var pairs = whole
                let removed = pairs.remove(at: index)
                await bench.send(.post, OCFPath.tokenRefresh, .map(pairs))
                    .expectError(.badRequest, field: removed.key.string)
                pairs = whole
                pairs[index].value = 1
                await bench.send(.post, OCFPath.tokenRefresh, .map(pairs))
                    .expectError(.badRequest, field: removed.key.string)
                for wrong in [
                    "wrong", .text(other.tokens.refreshToken.reveal()), .text(device.tokens.accessToken.reveal()),
                ] as [DataItem] {
                    pairs[index].value = wrong
                    await bench.send(.post, OCFPath.tokenRefresh, .map(pairs)).expectError(.unauthorized)
                }
            }
            bench.store.fail(true)
            let refused = await bench.send(.post, OCFPath.tokenRefresh, .map(whole))
            refused.expectError(.serviceUnavailable)
            #expect((refused.options.maxAge ?? 0) > 0)
            await bench.signIn(device).expectError(.serviceUnavailable)
            bench.store.fail(false)
            try await bench.send(.post, OCFPath.tokenRefresh, .map(whole)).expectItem(.changed)
        }
    }

    @Test("RFC 7252 §5.9.2: before sign-in everything but account, session and tokenrefresh is 4.01")
    func beforeSignIn() async throws {
        try await Bench.run(.memory) { bench in
            for path in [
                ["oic", "rd"], ["oic", "res"], ["oic", "d"], ["oic", "sec"], [], ["d-1", "light"],
                ["oic", "sec", "account", ""],
                RegistryProtocol.tokens, RegistryProtocol.devices, RegistryProtocol.users + ["u-1"],
            ] {
                for method in [Code.get, .post, .put, .delete] {
                    await bench.send(method, path).expectError(.unauthorized)
                }
            }
        }
    }
}
