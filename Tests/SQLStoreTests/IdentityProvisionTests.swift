import Cloud
import Testing

@Suite("Registration and provisioning")
struct IdentityProvisionTests {
    @Test("A user's and a mediator's token say who they are and never expire", arguments: StoreKind.allCases)
    func permanent(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let user = try await identity.registerUser(world.uid, authProvider: "p")
            let mediator = try await identity.provisionMediator(uid: world.uid, userToken: user)
            world.clock.advance(.seconds(10 * 365 * 86_400))
            #expect(
                try await identity.principal(for: user)
                    == Principal(kind: .user, uid: world.uid, di: nil, expiresAt: nil))
            #expect(
                try await identity.principal(for: mediator)
                    == Principal(kind: .mediator, uid: world.uid, di: nil, expiresAt: nil))
            #expect(try await identity.principal(for: Secret(random: SystemRandomSource())) == nil)
        }
    }

    @Test(
        "A user registered twice is a conflict that tells how to go on; the first stays",
        arguments: StoreKind.allCases,
    )
    func duplicate(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let token = try await identity.registerUser(world.uid, authProvider: "p")
            let error = await expectError(.conflict) {
                try await identity.registerUser(world.uid, authProvider: "q")
            }
            #expect(error?.field == "uid")
            #expect(error?.message.contains("go on with the access token") == true)
            #expect(try await world.census() == ["users": 1, "user": 1])
            #expect(try await identity.principal(for: token)?.uid == world.uid)
        }
    }

    @Test("A mediator needs the user's own token, a code the mediator's", arguments: StoreKind.allCases)
    func wrongTokens(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let user = try await identity.registerUser(world.uid, authProvider: "")
            let other = try await identity.registerUser(try UserID("other"), authProvider: "")
            let mediator = try await identity.provisionMediator(uid: world.uid, userToken: user)
            let unknown = Secret(random: SystemRandomSource())
            for token in [other, mediator, unknown] {
                await expectError(.unauthorized) {
                    try await identity.provisionMediator(uid: world.uid, userToken: token)
                }
            }
            for token in [user, other, unknown] {
                await expectError(.unauthorized) {
                    try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: token)
                }
            }
            #expect(try await world.census() == ["users": 1, "user": 1, "mediator": 1])
        }
    }

    @Test("BI-33: a di of another owner, or of the other kind, cannot be provisioned", arguments: StoreKind.allCases)
    func conflicts(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let stranger = try await world.mediator(try UserID("stranger"))
            _ = try await world.signedUp(mediator: mediator)
            let foreign = await expectError(.conflict) {
                try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: stranger)
            }
            #expect(foreign?.field == "di")
            await expectError(.conflict) {
                try await identity.provisionCode(kind: .client, di: world.di, mediatorToken: mediator)
            }
            _ = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
        }
    }

    @Test("BI-54: mediators and outstanding codes of one user are bounded", arguments: StoreKind.allCases)
    func bounded(_ kind: StoreKind) async throws {
        let configuration = IdentityConfiguration(maximumMediators: 2, maximumCodes: 3)
        try await withWorld(kind, configuration: configuration) { world in
            let identity = try world.identity()
            let user = try await identity.registerUser(world.uid, authProvider: "")
            let mediator = try await identity.provisionMediator(uid: world.uid, userToken: user)
            _ = try await identity.provisionMediator(uid: world.uid, userToken: user)
            await expectError(.tooMany) { try await identity.provisionMediator(uid: world.uid, userToken: user) }
            for _ in 0..<3 {
                _ = try await identity.provisionCode(kind: .client, di: nil, mediatorToken: mediator)
            }
            await expectError(.tooMany) {
                try await identity.provisionCode(kind: .client, di: nil, mediatorToken: mediator)
            }
            world.clock.advance(.seconds(900))
            #expect(try await identity.sweep() == 3)
            _ = try await identity.provisionCode(kind: .client, di: nil, mediatorToken: mediator)
        }
    }

    @Test("BI-54: codes are not counted each time, and yet the limit holds", arguments: StoreKind.allCases)
    func boundedAllowance(_ kind: StoreKind) async throws {
        try await withWorld(kind, configuration: IdentityConfiguration(maximumCodes: 40)) { world in
            let mediator = try await world.mediator()
            let identity = try world.identity()
            for _ in 0..<40 { _ = try await identity.provisionCode(kind: .device, di: nil, mediatorToken: mediator) }
            await expectError(.tooMany) {
                try await identity.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            }
            // What another process would say.
            let other = try world.identity()
            await expectError(.tooMany) {
                try await other.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            }
            world.clock.advance(.seconds(900))
            #expect(try await identity.sweep() == 40)
            for one in [identity, other] {
                _ = try await one.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            }
        }
    }

    @Test("An authorization provider's name is bounded and printable")
    func authProvider() async throws {
        try await withWorld(.memory) { world in
            for name in [String(repeating: "x", count: 129), "a\u{0}b", "a\r\n"] {
                let error = await expectError(.badRequest) {
                    try await world.identity().registerUser(world.uid, authProvider: name)
                }
                #expect(error?.field == "authprovider")
            }
            let rows = try await world.census()
            #expect(rows.isEmpty)
        }
    }
}
