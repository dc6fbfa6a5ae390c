import Cloud
import Testing

@Suite("Sign-in and refresh")
struct IdentityTokenTests {
    @Test(
        "C-42: a wrong token, uid or di each is refused and does not count as first use",
        arguments: StoreKind.allCases,
    )
    func wrongClaims(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            let credentials = try await identity.signUp(di: world.di, code: code, authProvider: nil)
            let token = credentials.accessToken
            await expectError(.unauthorized) {
                try await identity.signIn(uid: try UserID("other"), di: world.di, accessToken: token)
            }
            await expectError(.unauthorized) {
                try await identity.signIn(uid: world.uid, di: try DeviceID("other"), accessToken: token)
            }
            for wrong in [credentials.refreshToken, code, mediator, Secret(random: SystemRandomSource())] {
                await expectError(.unauthorized) {
                    try await identity.signIn(uid: world.uid, di: world.di, accessToken: wrong)
                }
            }
            // Still unused: the code gives the same answer.
            #expect(try await identity.signUp(di: world.di, code: code, authProvider: nil) == credentials)
        }
    }

    @Test("C-43: an expired token is refused, after a refresh the new one is not", arguments: StoreKind.allCases)
    func expiry(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let old = try await world.signedUp()
            world.clock.advance(.seconds(6000))
            await expectError(.unauthorized) {
                try await identity.signIn(uid: world.uid, di: world.di, accessToken: old.accessToken)
            }
            #expect(try await identity.principal(for: old.accessToken) == nil)
            let new = try await identity.refresh(uid: world.uid, di: world.di, refreshToken: old.refreshToken)
            let signedIn = try await identity.signIn(
                uid: world.uid, di: world.di, accessToken: new.accessToken)
            #expect(signedIn.expiresIn == 6000)
        }
    }

    @Test("Only access tokens stand for somebody; the first use of one confirms it", arguments: StoreKind.allCases)
    func principal(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let client = try DeviceID("app")
            let code = try await identity.provisionCode(kind: .client, di: client, mediatorToken: mediator)
            let credentials = try await identity.signUp(di: client, code: code, authProvider: nil)
            #expect(try await identity.principal(for: code) == nil)
            #expect(try await identity.principal(for: credentials.refreshToken) == nil)
            let principal = try #require(try await identity.principal(for: credentials.accessToken))
            #expect(principal.kind == .client)
            #expect(principal.uid == world.uid)
            #expect(principal.di == client)
            #expect(principal.expiresAt == world.clock.now() + .seconds(6000))
            await expectError(.unauthorized) {
                try await identity.signUp(di: client, code: code, authProvider: nil)
            }
        }
    }

    @Test("A token in use is read, not written: a store that cannot write admits it", arguments: StoreKind.allCases)
    func readPath(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let credentials = try await world.signedUp()
            world.store.fail(true)
            await expectError(.unavailable) {
                try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            }
            world.store.fail(false)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            world.store.fail(true)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            // Nor does the hourly note of its use matter.
            world.clock.advance(.seconds(3601))
            #expect(try await identity.principal(for: credentials.accessToken) != nil)
        }
    }

    @Test(
        "BI-43: a store that is down is unavailable, never a refusal, and nothing is lost",
        arguments: StoreKind.allCases,
    )
    func down(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            let credentials = try await identity.signUp(di: world.di, code: code, authProvider: nil)
            world.store.takeDown(true)
            await expectError(.unavailable) { try await identity.signUp(di: world.di, code: code, authProvider: nil) }
            await expectError(.unavailable) {
                try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            }
            await expectError(.unavailable) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: credentials.refreshToken)
            }
            await expectError(.unavailable) { try await identity.principal(for: credentials.accessToken) }
            await expectError(.unavailable) { try await identity.sweep() }
            world.store.takeDown(false)
            #expect(try await identity.signUp(di: world.di, code: code, authProvider: nil) == credentials)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
        }
    }

    @Test("C-51: after the new pair's first use the old one is dead", arguments: StoreKind.allCases)
    func rotation(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let first = try await world.signedUp()
            let second = try await identity.refresh(
                uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            #expect(try await identity.principal(for: first.accessToken) != nil)
            #expect(try await identity.principal(for: second.accessToken) != nil)
            #expect(try await identity.principal(for: first.accessToken) == nil)
        }
    }

    @Test("The rows of old pairs go with every fourth refresh, however many there were", arguments: StoreKind.allCases)
    func oldRows(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            var last = try await world.signedUp()
            var rows: [[String: Int]] = []
            for _ in 2...21 {
                last = try await identity.refresh(uid: world.uid, di: world.di, refreshToken: last.refreshToken)
                let census = try await world.census()
                rows.append(["access": census["access"] ?? 0, "refresh": census["refresh"] ?? 0])
            }
            // Of the second to the fifth pair.
            #expect(rows.prefix(4).map { $0["access"] } == [2, 3, 2, 3])
            #expect(rows.prefix(4).map { $0["refresh"] } == [2, 3, 4, 5])
            // Of the 18th to the 21st: no more than ever before.
            #expect(rows.suffix(4).map { $0["access"] } == [4, 5, 2, 3])
            #expect(rows.suffix(4).map { $0["refresh"] } == [11, 12, 9, 10])
        }
    }

    @Test("BI-38: refreshed 50 times at once, one token gives one pair", arguments: StoreKind.allCases)
    func parallel(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let first = try await world.signedUp()
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: first.accessToken)
            let answers = try await withThrowingTaskGroup(of: Credentials.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        try await identity.refresh(
                            uid: world.uid, di: world.di, refreshToken: first.refreshToken)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count == 50)
            #expect(answers.allSatisfy { $0 == answers[0] })
            #expect(try await world.census()["refresh"] == 2)
        }
    }

    @Test(
        "BI-38: a used refresh token: repeated for 60 s, then the family is revoked and told",
        arguments: StoreKind.allCases,
    )
    func theft(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let first = try await world.signedUp()
            let second = try await identity.refresh(
                uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            let signedIn = try await identity.signIn(
                uid: world.uid, di: world.di, accessToken: second.accessToken)
            world.clock.advance(.seconds(60))
            let again = try await identity.refresh(
                uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            #expect(again.refreshToken == second.refreshToken)
            #expect(again.expiresIn == 5940)
            world.clock.advance(.milliseconds(1))
            await expectError(.unauthorized) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            }
            #expect(try await identity.principal(for: second.accessToken) == nil)
            await expectError(.unauthorized) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: second.refreshToken)
            }
            #expect(
                world.events.all == [
                    .tokenReuse(uid: world.uid, di: world.di, family: signedIn.family, sessionEnds: true)
                ])
            #expect(try await world.changes().map(\.subject) == [signedIn.family.text])
        }
    }

    @Test(
        "BI-38: with a matching certificate or recovery the device goes on",
        arguments: StoreKind.allCases, [true, false],
    )
    func forgiven(_ kind: StoreKind, _ certificate: Bool) async throws {
        let configuration = IdentityConfiguration(refreshReuse: certificate ? .revoke : .recover)
        try await withWorld(kind, configuration: configuration) { world in
            let identity = try world.identity()
            let first = try await world.signedUp()
            let second = try await identity.refresh(
                uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: second.accessToken)
            world.clock.advance(.seconds(3600))
            let third = try await identity.refresh(
                uid: world.uid, di: world.di, refreshToken: first.refreshToken, certificateMatches: certificate)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: third.accessToken)
            guard case .tokenReuse(_, _, _, sessionEnds: false) = world.events.all.first else {
                Issue.record("nobody was told: \(world.events.all)")
                return
            }
            #expect(try await world.changes().isEmpty)
        }
    }

    @Test("BI-38: a refresh token of another uid or di is refused and harms nobody", arguments: StoreKind.allCases)
    func foreign(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let first = try await world.signedUp()
            let second = try await identity.refresh(
                uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: second.accessToken)
            world.clock.advance(.seconds(3600))
            for token in [first.refreshToken, second.refreshToken, second.accessToken] {
                await expectError(.unauthorized) {
                    try await identity.refresh(
                        uid: world.uid, di: try DeviceID("other"), refreshToken: token, certificateMatches: true)
                }
                await expectError(.unauthorized) {
                    try await identity.refresh(uid: try UserID("other"), di: world.di, refreshToken: token)
                }
            }
            _ = try await identity.refresh(uid: world.uid, di: world.di, refreshToken: second.refreshToken)
            #expect(world.events.all.isEmpty)
        }
    }

    @Test(
        "BI-38: eight generations back a token is recognised, the ninth is unknown and harms nobody",
        arguments: StoreKind.allCases,
    )
    func remembered(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            var all = [try await world.signedUp()]
            for _ in 0..<9 {
                let last = try #require(all.last)
                all.append(
                    try await identity.refresh(uid: world.uid, di: world.di, refreshToken: last.refreshToken))
            }
            let newest = try #require(all.last)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: newest.accessToken)
            // The row of the ninth is still there.
            #expect(try await world.census()["refresh"] == 10)
            world.clock.advance(.seconds(120))
            await expectError(.unauthorized) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: all[0].refreshToken)
            }
            #expect(world.events.all.isEmpty)
            await expectError(.unauthorized) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: all[1].refreshToken)
            }
            #expect(world.events.all.count == 1)
        }
    }

    @Test("A refresh that failed at the commit changed nothing", arguments: StoreKind.allCases)
    func failure(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let first = try await world.signedUp()
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: first.accessToken)
            let before = try await world.census()
            world.store.fail(true)
            await expectError(.unavailable) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: first.refreshToken)
            }
            #expect(try await world.census() == before)
            world.store.fail(false)
            #expect(try await identity.principal(for: first.accessToken) != nil)
            _ = try await identity.refresh(uid: world.uid, di: world.di, refreshToken: first.refreshToken)
        }
    }
}
