import Cloud
import Testing

/// What every store must do, asked of the store itself.
@Suite("Stores")
struct CloudStoreTests {
    private let uid: UserID
    private let di: DeviceID
    private let now = Timestamp(milliseconds: 1_700_000_000_000)

    init() throws {
        self.uid = try UserID("somebody")
        self.di = try DeviceID("lamp")
    }

    private func fill(_ store: any CloudStore) async throws {
        let (uid, di, now) = (self.uid, self.di, self.now)
        try await store.write { transaction throws(CloudError) in
            try transaction.insert(User(uid: uid, authProvider: "p", createdAt: now))
            try transaction.insert(Device(di: di, uid: uid, kind: .device, createdAt: now))
        }
    }

    @Test("A transaction that throws leaves nothing, and the next one works", arguments: StoreKind.allCases)
    func rollback(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let (uid, di, now) = (self.uid, self.di, self.now)
            let thrown = CloudError(.forbidden, "for a reason")
            let error = await expectError(.forbidden) {
                try await store.write { transaction throws(CloudError) in
                    try transaction.insert(User(uid: uid, authProvider: "p", createdAt: now))
                    try transaction.insert(Device(di: di, uid: uid, kind: .client, createdAt: now))
                    try transaction.record(.user, subject: "x", at: now)
                    throw thrown
                }
            }
            #expect(error == thrown)
            try await store.read { transaction throws(CloudError) in
                #expect(try transaction.user(uid) == nil)
                #expect(try transaction.device(di) == nil)
                #expect(try transaction.lastSequence() == 0)
            }
            try await self.fill(store)
        }
    }

    @Test("Every row comes back as it went in", arguments: StoreKind.allCases)
    func roundTrip(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            try await self.fill(store)
            let (uid, di, now) = (self.uid, self.di, self.now)
            var family = TokenFamily(
                id: FamilyID(stored: "f1"), uid: uid, di: di, kind: .device, codeExpiresAt: now + .seconds(9))
            family.sealedReply = [0, 1, 2, 255]
            let access = Credential(
                hash: Secret(random: SystemRandomSource()).hash, kind: .access, uid: uid, di: di,
                deviceKind: .device, notBefore: now, notAfter: now + .seconds(60), family: family.id, generation: 7,
                lastUsed: now)
            let plain = Credential(
                hash: Secret(random: SystemRandomSource()).hash, kind: .user, uid: uid, notBefore: now)
            let link = Link(
                href: "/a b?c", resourceTypes: [], interfaces: ["", "x"], policy: [], ins: 5, expiresAt: nil,
                attributes: [])
            let stored = family
            let device = Device(di: di, uid: uid, kind: .device, name: "a name", lastIns: 41, createdAt: now)
            try await store.write { transaction throws(CloudError) in
                try transaction.insert(stored)
                try transaction.insert(access)
                try transaction.insert(plain)
                try transaction.insert(link, of: di)
                try transaction.update(device)
            }
            try await store.read { transaction throws(CloudError) in
                #expect(try transaction.user(uid) == User(uid: uid, authProvider: "p", createdAt: now))
                #expect(try transaction.device(di) == device)
                #expect(try transaction.lockFamily(stored.id) == stored)
                #expect(try transaction.credential(access.hash) == access)
                #expect(try transaction.lockCredential(plain.hash) == plain)
                #expect(try transaction.grant(access.hash) == Grant(credential: access, family: stored, sequence: 0))
                #expect(try transaction.grant(plain.hash) == Grant(credential: plain, family: nil, sequence: 0))
                #expect(
                    try transaction.lockGrant(access.hash, of: stored.id)
                        == Grant(credential: access, family: stored, sequence: 0))
                #expect(try transaction.lockGrant(plain.hash, of: stored.id) == nil)
                #expect(try transaction.links(of: di) == [link])
            }
            family.state = .revoked
            family.generation = 12
            family.confirmedAt = now
            family.sealedReply = nil
            family.sealedUntil = nil
            let changed = family
            var moved = link
            moved.href = "/other"
            moved.expiresAt = now
            moved.policy = [.discoverable]
            let replaced = moved
            try await store.write { transaction throws(CloudError) in
                try transaction.update(changed)
                try transaction.update(replaced, of: di)
                try transaction.touch(plain.hash, at: now + .seconds(1))
            }
            try await store.read { transaction throws(CloudError) in
                #expect(try transaction.lockFamily(stored.id) == changed)
                #expect(try transaction.links(of: di) == [replaced])
                #expect(try transaction.credential(plain.hash)?.lastUsed == now + .seconds(1))
            }
        }
    }

    private enum Twice: CaseIterable {
        case user
        case device
        case credential
        case link
    }

    @Test(
        "A key that is there already is a conflict, and takes the whole transaction back",
        arguments: StoreKind.allCases,
    )
    func duplicates(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            try await self.fill(store)
            let (uid, di, now) = (self.uid, self.di, self.now)
            let other = try UserID("other")
            let link = Link(href: "/a", resourceTypes: [], interfaces: [], ins: 1)
            var twin = link
            twin.ins = 2
            let sameHref = twin
            let hash = Secret(random: SystemRandomSource()).hash
            for twice in Twice.allCases {
                await expectError(.conflict) {
                    try await store.write { transaction throws(CloudError) in
                        try transaction.insert(User(uid: other, authProvider: "", createdAt: now))
                        switch twice {
                        case .user:
                            try transaction.insert(User(uid: uid, authProvider: "", createdAt: now))
                        case .device:
                            try transaction.insert(Device(di: di, uid: uid, kind: .client, createdAt: now))
                        case .credential:
                            for _ in 0..<2 {
                                try transaction.insert(Credential(hash: hash, kind: .user, uid: uid, notBefore: now))
                            }
                        case .link:
                            try transaction.insert(link, of: di)
                            try transaction.insert(sameHref, of: di)
                        }
                    }
                }
            }
            try await store.read { transaction throws(CloudError) in
                #expect(try transaction.user(other) == nil)
                #expect(try transaction.links(of: di).isEmpty)
            }
        }
    }

    @Test("Ids that look alike and are not the same bytes are two", arguments: StoreKind.allCases)
    func exactness(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let now = self.now
            let ids = try ["caf\u{E9}", "cafe\u{301}", "Cafe", "cafe"].map { try UserID($0) }
            try await store.write { transaction throws(CloudError) in
                for id in ids { try transaction.insert(User(uid: id, authProvider: id.text, createdAt: now)) }
            }
            try await store.read { transaction throws(CloudError) in
                for id in ids { #expect(try transaction.user(id)?.authProvider.exact == id.text.exact) }
            }
        }
    }

    @Test("Transactions do not lose each other's writes", arguments: StoreKind.allCases)
    func isolation(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            try await self.fill(store)
            let di = self.di
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        try await store.write { transaction throws(CloudError) in
                            guard var device = try transaction.lockDevice(di) else { return }
                            device.lastIns += 1
                            try transaction.update(device)
                        }
                    }
                }
                try await group.waitForAll()
            }
            let device = try await store.ask { transaction throws(CloudError) in try transaction.device(di) }
            #expect(device?.lastIns == 100)
        }
    }

    @Test("Counting stops at its limit", arguments: StoreKind.allCases)
    func counting(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            try await self.fill(store)
            let (uid, now) = (self.uid, self.now)
            try await store.write { transaction throws(CloudError) in
                for _ in 0..<5 {
                    let hash = Secret(random: SystemRandomSource()).hash
                    try transaction.insert(Credential(hash: hash, kind: .mediator, uid: uid, notBefore: now))
                }
            }
            try await store.read { transaction throws(CloudError) in
                #expect(try transaction.countCredentials(.mediator, of: uid, limit: 3) == 3)
                #expect(try transaction.countCredentials(.mediator, of: uid, limit: 30) == 5)
                #expect(try transaction.countCredentials(.user, of: uid, limit: 30) == 0)
            }
        }
    }

    @Test("Who asks more than one question without a transaction is told so", arguments: [StoreKind.sqlite, .mariadb])
    func oneQuestion(_ kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let one = try await store.ask { transaction throws(CloudError) in try transaction.lastSequence() }
            #expect(one == 0)
            await expectError(.unavailable) {
                try await store.ask { transaction throws(CloudError) in
                    _ = try transaction.lastSequence()
                    _ = try transaction.lastSequence()
                }
            }
        }
    }
}
