import Cloud
import Testing

@Suite("Sign-up")
struct IdentitySignUpTests {
    @Test("C-28: a code becomes tokens that sign in", arguments: StoreKind.allCases)
    func exchange(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let credentials = try await world.signedUp()
            #expect(credentials.uid == world.uid)
            #expect(credentials.expiresIn == 6000)
            #expect(
                try await world.census() == [
                    "users": 1, "user": 1, "mediator": 1, "code": 1, "device": 1, "families": 1, "access": 1,
                    "refresh": 1,
                ])
            world.clock.advance(.seconds(100))
            let signedIn = try await world.identity().signIn(
                uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            #expect(signedIn.expiresIn == 5900)
            #expect(signedIn.kind == .device)
            #expect(signedIn.expiresAt == world.clock.now() + .seconds(5900))
        }
    }

    @Test("A permanent token has expiresin -1", arguments: StoreKind.allCases)
    func permanent(_ kind: StoreKind) async throws {
        try await withWorld(kind, configuration: IdentityConfiguration(deviceTokenLifetime: nil)) { world in
            let credentials = try await world.signedUp()
            #expect(credentials.expiresIn == -1)
            world.clock.advance(.seconds(1_000_000_000))
            let signedIn = try await world.identity().signIn(
                uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            #expect(signedIn.expiresIn == -1)
            #expect(signedIn.expiresAt == nil)
        }
    }

    @Test(
        "BI-32: the same code and di get the same answer until first use, expiresin counted on",
        arguments: StoreKind.allCases,
    )
    func repeated(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            let first = try await identity.signUp(di: world.di, code: code, authProvider: "provider")
            world.clock.advance(.seconds(240))
            var second = try await identity.signUp(di: world.di, code: code, authProvider: "provider")
            #expect(second.expiresIn == 5760)
            second.expiresIn = first.expiresIn
            #expect(second == first)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: first.accessToken)
            await expectError(.unauthorized) {
                try await identity.signUp(di: world.di, code: code, authProvider: "provider")
            }
        }
    }

    @Test("BI-32: a code is good for 15 minutes, repeats included", arguments: StoreKind.allCases)
    func expired(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let used = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            let unused = try await identity.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            _ = try await identity.signUp(di: world.di, code: used, authProvider: nil)
            world.clock.advance(.seconds(900) - .milliseconds(1))
            _ = try await identity.signUp(di: world.di, code: used, authProvider: nil)
            world.clock.advance(.milliseconds(1))
            for code in [used, unused] {
                await expectError(.unauthorized) {
                    try await identity.signUp(di: world.di, code: code, authProvider: nil)
                }
            }
        }
    }

    @Test("BI-32: 200 sign-ups at once with one code make one family and one answer", arguments: StoreKind.allCases)
    func parallel(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            let answers = try await withThrowingTaskGroup(of: Credentials.self) { group in
                for _ in 0..<200 {
                    group.addTask { try await identity.signUp(di: world.di, code: code, authProvider: nil) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count == 200)
            #expect(answers.allSatisfy { $0 == answers[0] })
            let rows = try await world.census()
            #expect(rows["families"] == 1)
            #expect(rows["access"] == 1)
            #expect(rows["refresh"] == 1)
        }
    }

    @Test("BI-32: a code without a di binds to the first of many that use it at once", arguments: StoreKind.allCases)
    func unbound(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            let winners = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        do {
                            let di = try DeviceID("device-\(number)")
                            _ = try await identity.signUp(di: di, code: code, authProvider: nil)
                            return 1
                        } catch let error as CloudError where error.code == .unauthorized {
                            return 0
                        }
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(winners == 1)
            #expect(try await world.directory.devices(of: world.uid, after: nil, limit: 100).count == 1)
        }
    }

    @Test("C-32: a code for one di is refused for another, and still good for its own", arguments: StoreKind.allCases)
    func otherDevice(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            await expectError(.unauthorized) {
                try await identity.signUp(di: try DeviceID("other"), code: code, authProvider: nil)
            }
            #expect(try await world.directory.device(try DeviceID("other")) == nil)
            _ = try await identity.signUp(di: world.di, code: code, authProvider: nil)
            await expectError(.unauthorized) {
                try await identity.signUp(di: try DeviceID("other"), code: code, authProvider: nil)
            }
        }
    }

    @Test("BI-33: a di of another owner cannot be signed up, and its login stays", arguments: StoreKind.allCases)
    func foreign(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let stranger = try await world.mediator(try UserID("stranger"))
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: stranger)
            let credentials = try await world.signedUp()
            await expectError(.unauthorized) {
                try await identity.signUp(di: world.di, code: code, authProvider: nil)
            }
            #expect(try await world.directory.device(world.di)?.uid == world.uid)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
        }
    }

    @Test(
        "C-29: an authorization provider other than the user's is refused; none and an empty one pass",
        arguments: StoreKind.allCases,
    )
    func authProvider(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            await expectError(.unauthorized) {
                try await identity.signUp(di: world.di, code: code, authProvider: "another")
            }
            for name in ["provider", "", nil] {
                _ = try await identity.signUp(di: world.di, code: code, authProvider: name)
            }
        }
    }

    @Test("A new code for the same di replaces the login and keeps the links", arguments: StoreKind.allCases)
    func replaced(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let old = try await world.signedUp(mediator: mediator)
            let signedIn = try await identity.signIn(
                uid: world.uid, di: world.di, accessToken: old.accessToken)
            let link = LinkDraft(href: "/a", resourceTypes: ["x"], interfaces: [])
            _ = try await world.directory.publish(di: world.di, links: [link], ttl: nil)
            let new = try await world.signedUp(mediator: mediator)
            await expectError(.unauthorized) {
                try await identity.signIn(uid: world.uid, di: world.di, accessToken: old.accessToken)
            }
            await expectError(.unauthorized) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: old.refreshToken)
            }
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: new.accessToken)
            let rows = try await world.census()
            #expect(rows["families"] == 1)
            #expect(rows["links"] == 1)
            #expect(try await world.changes().map(\.kind) == [.family])
            #expect(try await world.changes().map(\.subject) == [signedIn.family.text])
            #expect(
                world.events.all == [
                    .registrationReplaced(uid: world.uid, di: world.di, families: [signedIn.family])
                ])
        }
    }

    @Test(
        "C-36: a sign-up that failed at the commit left no row, and the same code works afterwards",
        arguments: StoreKind.allCases,
    )
    func failure(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            let before = try await world.census()
            world.store.fail(true)
            await expectError(.unavailable) {
                try await identity.signUp(di: world.di, code: code, authProvider: nil)
            }
            #expect(try await world.census() == before)
            world.store.fail(false)
            _ = try await identity.signUp(di: world.di, code: code, authProvider: nil)
        }
    }

    @Test(
        "Sealed answers survive the rotation of their key; when it is lost, a fresh pair takes its place",
        arguments: StoreKind.allCases,
    )
    func rotation(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let mediator = try await world.mediator()
            let code = try await world.identity().provisionCode(
                kind: .device, di: world.di, mediatorToken: mediator)
            let first = try await world.identity(keys: ["a"]).signUp(di: world.di, code: code, authProvider: nil)
            let rotated = try await world.identity(keys: ["b", "a"]).signUp(
                di: world.di, code: code, authProvider: nil)
            #expect(rotated == first)
            let lost = try await world.identity(keys: ["c"]).signUp(di: world.di, code: code, authProvider: nil)
            #expect(lost.accessToken != first.accessToken)
            #expect(try await world.identity().principal(for: first.accessToken) == nil)
            #expect(try await world.identity().principal(for: lost.accessToken)?.di == world.di)
        }
    }
}
