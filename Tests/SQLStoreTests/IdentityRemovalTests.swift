import Cloud
import Testing

@Suite("Sign-off, deletion, sweeping")
struct IdentityRemovalTests {
    private func publish(_ world: World, _ di: DeviceID? = nil) async throws {
        let link = LinkDraft(href: "/a", resourceTypes: ["x"], interfaces: ["oic.if.a"])
        _ = try await world.directory.publish(di: di ?? world.di, links: [link], ttl: nil)
    }

    @Test(
        "C-38: signing off in a session takes everything of the device away; twice is not found",
        arguments: StoreKind.allCases,
    )
    func session(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let credentials = try await world.signedUp()
            try await self.publish(world)
            let session = (uid: world.uid, di: world.di)
            #expect(
                try await identity.signOff(di: nil, uid: nil, accessToken: nil, session: session) == [world.di])
            #expect(try await world.census() == ["users": 1, "user": 1, "mediator": 1, "changes": 1])
            let change = try #require(try await world.changes().first)
            #expect(change.kind == .device)
            #expect(change.subject == world.di.text)
            await expectError(.unauthorized) {
                try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            }
            await expectError(.notFound) {
                try await identity.signOff(di: nil, uid: nil, accessToken: nil, session: session)
            }
        }
    }

    @Test("C-39: without a session the token and its di or uid sign off", arguments: StoreKind.allCases, [true, false])
    func token(_ kind: StoreKind, _ byDevice: Bool) async throws {
        try await withWorld(kind) { world in
            let credentials = try await world.signedUp()
            let ended = try await world.identity().signOff(
                di: byDevice ? world.di : nil, uid: byDevice ? nil : world.uid,
                accessToken: credentials.accessToken, session: nil)
            #expect(ended == [world.di])
            #expect(try await world.directory.device(world.di) == nil)
        }
    }

    @Test(
        "C-39: what is missing is a bad request, what does not belong together is refused",
        arguments: StoreKind.allCases,
    )
    func refused(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let credentials = try await world.signedUp(mediator: mediator)
            let other = try DeviceID("other")
            let others = try await world.signedUp(other, mediator: mediator)
            let stranger = try UserID("stranger")
            let session = (uid: world.uid, di: world.di)
            await expectError(.badRequest) {
                try await identity.signOff(di: world.di, uid: world.uid, accessToken: nil, session: nil)
            }
            await expectError(.badRequest) {
                try await identity.signOff(di: nil, uid: nil, accessToken: credentials.accessToken, session: nil)
            }
            for (di, uid, token) in [
                (world.di, nil, Secret(random: SystemRandomSource())), (world.di, nil, others.accessToken),
                (world.di, nil, credentials.refreshToken), (world.di, nil, mediator),
                (nil, stranger, credentials.accessToken), (other, world.uid, credentials.accessToken),
            ] as [(DeviceID?, UserID?, Secret)] {
                await expectError(.unauthorized) {
                    try await identity.signOff(di: di, uid: uid, accessToken: token, session: nil)
                }
            }
            for (di, uid, token) in [
                (other, nil, nil), (nil, stranger, nil), (nil, nil, others.accessToken),
                (other, nil, others.accessToken),
            ] as [(DeviceID?, UserID?, Secret?)] {
                await expectError(.unauthorized) {
                    try await identity.signOff(di: di, uid: uid, accessToken: token, session: session)
                }
            }
            #expect(try await world.directory.devices(of: world.uid, after: nil, limit: 9).count == 2)
            #expect(try await world.changes().isEmpty)
        }
    }

    @Test("BI-36: what comes late from an older login does not touch the newer one", arguments: StoreKind.allCases)
    func lateFromOlderLogin(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let old = try await world.signedUp(mediator: mediator)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: old.accessToken)
            let new = try await world.signedUp(mediator: mediator)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: new.accessToken)
            await expectError(.unauthorized) {
                try await identity.signOff(di: world.di, uid: world.uid, accessToken: old.accessToken, session: nil)
            }
            world.clock.advance(.seconds(3600))
            await expectError(.unauthorized) {
                try await identity.refresh(uid: world.uid, di: world.di, refreshToken: old.refreshToken)
            }
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: new.accessToken)
            #expect(try await world.changes().map(\.kind) == [.family])
        }
    }

    @Test(
        "A mediator that is deleted provisions no more, nor does a code nobody has used; others and logins stay",
        arguments: StoreKind.allCases)
    func mediator(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let user = try await identity.registerUser(world.uid, authProvider: "")
            let stolen = try await identity.provisionMediator(uid: world.uid, userToken: user)
            let kept = try await identity.provisionMediator(uid: world.uid, userToken: user)
            let strangers = try await world.mediator(try UserID("stranger"))
            let credentials = try await world.signedUp(mediator: stolen)
            let code = try await identity.provisionCode(kind: .client, di: nil, mediatorToken: stolen)
            let strangersCode = try await identity.provisionCode(kind: .client, di: nil, mediatorToken: strangers)
            let listed = try await identity.mediators(of: world.uid)
            #expect(listed.map(\.id) == [Mediator.id(stolen.hash), Mediator.id(kept.hash)].sorted())
            #expect(listed.allSatisfy { $0.createdAt == world.clock.now() && $0.id.count == 16 })

            for (id, uid) in [
                (Mediator.id(strangers.hash), world.uid), (Mediator.id(stolen.hash), try UserID("stranger")),
                ("", world.uid), (Mediator.id(stolen.hash).uppercased() + "x", world.uid),
            ] {
                await expectError(.notFound) { try await identity.deleteMediator(id, of: uid) }
            }
            #expect(try await world.changes().isEmpty)

            try await identity.deleteMediator(Mediator.id(stolen.hash), of: world.uid)
            #expect(try await world.changes().map(\.kind) == [.mediator])
            #expect(try await world.changes().map(\.subject) == [world.uid.text])
            #expect(try await identity.mediators(of: world.uid).map(\.id) == [Mediator.id(kept.hash)])
            #expect(try await identity.principal(for: stolen) == nil)
            #expect(try await identity.principal(for: kept)?.kind == .mediator)
            await expectError(.unauthorized) {
                try await identity.provisionCode(kind: .device, di: nil, mediatorToken: stolen)
            }
            await expectError(.unauthorized) {
                try await identity.signUp(di: try DeviceID("phone"), code: code, authProvider: nil)
            }
            _ = try await identity.signUp(di: try DeviceID("tablet"), code: strangersCode, authProvider: nil)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            await expectError(.notFound) {
                try await identity.deleteMediator(Mediator.id(stolen.hash), of: world.uid)
            }
        }
    }

    @Test("Every deletion is told once, after its commit, and none that failed", arguments: StoreKind.allCases)
    func told(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let second = try DeviceID("second")
            _ = try await world.signedUp(mediator: mediator)
            _ = try await world.signedUp(second, mediator: mediator)
            world.store.fail(true)
            await expectError(.unavailable) { try await identity.deleteDevice(world.di, of: world.uid) }
            await expectError(.unavailable) { try await identity.deleteUser(world.uid) }
            world.store.fail(false)
            #expect(world.events.all.isEmpty)
            _ = try await identity.deleteDevice(world.di, of: world.uid)
            _ = try await identity.signOff(
                di: nil, uid: nil, accessToken: nil, session: (uid: world.uid, di: second))
            _ = try await identity.deleteUser(world.uid)
            #expect(
                world.events.all == [
                    .deviceDeleted(uid: world.uid, di: world.di, kind: .device),
                    .deviceDeleted(uid: world.uid, di: second, kind: .device), .userDeleted(uid: world.uid),
                ])
        }
    }

    @Test("Deleting a user deletes everything of his and nothing of others", arguments: StoreKind.allCases)
    func user(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let stranger = try UserID("stranger")
            let strangers = try await world.mediator(stranger)
            let kept = try await world.signedUp(try DeviceID("kept"), mediator: strangers)
            var devices: [DeviceID] = []
            for number in 0..<5 {
                let di = try DeviceID("device-\(number)")
                devices.append(di)
                _ = try await world.signedUp(di, mediator: mediator)
                try await self.publish(world, di)
            }
            _ = try await identity.provisionCode(kind: .client, di: nil, mediatorToken: mediator)
            #expect(try await identity.deleteUser(world.uid) == devices)
            for di in devices { #expect(try await world.census(world.uid, di) == ["changes": 1]) }
            #expect(try await world.changes().map(\.kind) == [.user])
            #expect(try await identity.principal(for: mediator) == nil)
            _ = try await identity.signIn(
                uid: stranger, di: try DeviceID("kept"), accessToken: kept.accessToken)
            await expectError(.notFound) { try await identity.deleteUser(world.uid) }
            _ = try await identity.registerUser(world.uid, authProvider: "again")
            #expect(try await world.census()["mediator"] == nil)
        }
    }

    @Test("A deletion that failed at the commit deleted nothing", arguments: StoreKind.allCases)
    func failure(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let credentials = try await world.signedUp()
            try await self.publish(world)
            let before = try await world.census()
            world.store.fail(true)
            await expectError(.unavailable) { try await identity.deleteUser(world.uid) }
            await expectError(.unavailable) { try await identity.deleteDevice(world.di, of: world.uid) }
            #expect(try await world.census() == before)
            world.store.fail(false)
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
        }
    }

    @Test("BI-64: devices and clients are deleted by their owner, as what they are", arguments: StoreKind.allCases)
    func ownership(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            _ = try await world.signedUp()
            await expectError(.forbidden) { try await identity.deleteDevice(world.di, of: try UserID("stranger")) }
            await expectError(.notFound) { try await identity.deleteClient(world.di, of: world.uid) }
            await expectError(.notFound) { try await identity.deleteDevice(try DeviceID("other"), of: world.uid) }
            #expect(try await identity.deleteDevice(world.di, of: world.uid) == [world.di])
            await expectError(.notFound) { try await identity.deleteDevice(world.di, of: world.uid) }
        }
    }

    @Test("A code outstanding for a device goes with it", arguments: StoreKind.allCases)
    func outstandingCode(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            _ = try await world.signedUp(mediator: mediator)
            let code = try await identity.provisionCode(kind: .device, di: world.di, mediatorToken: mediator)
            _ = try await identity.deleteDevice(world.di, of: world.uid)
            await expectError(.unauthorized) {
                try await identity.signUp(di: world.di, code: code, authProvider: nil)
            }
        }
    }

    @Test(
        "The sequence of changes grows without gaps, failed transactions take no number",
        arguments: StoreKind.allCases,
    )
    func sequence(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        let di = try DeviceID("device-\(number)")
                        _ = try await world.signedUp(di, mediator: mediator)
                        _ = try await identity.deleteDevice(di, of: world.uid)
                    }
                }
                try await group.waitForAll()
            }
            world.store.fail(true)
            await expectError(.unavailable) { try await identity.deleteUser(world.uid) }
            world.store.fail(false)
            _ = try await identity.deleteUser(world.uid)
            #expect(try await world.changes().map(\.sequence) == Array(1...21))
        }
    }

    @Test("A sweep takes what nobody can ask for, and nothing else", arguments: StoreKind.allCases)
    func sweep(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let mediator = try await world.mediator()
            let credentials = try await world.signedUp(mediator: mediator)
            _ = try await identity.provisionCode(kind: .device, di: nil, mediatorToken: mediator)
            #expect(try await identity.sweep() == 0)
            // The first use spends the code; its sealed reply goes 60 s later.
            _ = try await identity.signIn(uid: world.uid, di: world.di, accessToken: credentials.accessToken)
            #expect(try await identity.sweep() == 1)
            world.clock.advance(.seconds(60))
            #expect(try await identity.sweep() == 0)
            world.clock.advance(.milliseconds(1))
            #expect(try await identity.sweep() == 1)
            // The code that nobody used.
            world.clock.advance(.seconds(900))
            #expect(try await identity.sweep() == 1)
            _ = try await identity.deleteDevice(world.di, of: world.uid)
            world.clock.advance(.seconds(86_400))
            #expect(try await identity.sweep() == 0)
            world.clock.advance(.milliseconds(1))
            #expect(try await identity.sweep() == 1)
            #expect(try await world.census() == ["users": 1, "user": 1, "mediator": 1])
        }
    }

    @Test("A sweep of more than one batch takes all of it", arguments: StoreKind.allCases)
    func batches(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let count = Identity.sweepBatch * 2 + 7
            let (uid, now) = (world.uid, world.clock.now())
            _ = try await world.mediator()
            try await world.store.write { transaction throws(CloudError) in
                for _ in 0..<count {
                    try transaction.insert(
                        Credential(
                            hash: Secret(random: SystemRandomSource()).hash, kind: .code, uid: uid,
                            deviceKind: .device, notBefore: now, notAfter: now))
                }
            }
            #expect(try await world.identity().sweep() == count)
        }
    }
}
