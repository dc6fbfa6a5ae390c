import Cloud
import Testing

@Suite("The directory")
struct DirectoryTests {
    private func draft(_ href: String, _ type: String = "oic.r.switch.binary") -> LinkDraft {
        LinkDraft(href: href, resourceTypes: [type], interfaces: ["oic.if.a"], policy: [.discoverable, .observable])
    }

    private func hrefs(_ world: World) async throws -> [String] {
        try await world.directory.links(of: world.uid).flatMap { $0.1.map(\.href) }
    }

    @Test("C-54: links get numbers in the order they came, and come back whole", arguments: StoreKind.allCases)
    func publish(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let full = LinkDraft(
                href: "/light", resourceTypes: ["a", "b", ""], interfaces: ["oic.if.a", "oic.if.baseline"],
                policy: LinkPolicy(rawValue: 7), attributes: [0xA1, 0x61, 0x6E, 0x00])
            let numbers = try await world.directory.publish(
                di: world.di, links: [full, self.draft("/oic/d")], ttl: .seconds(60), name: "Lamp")
            #expect(numbers == [1, 2])
            let listed = try await world.directory.links(of: world.uid)
            #expect(listed.map(\.0) == [world.di])
            #expect(
                listed.first?.1.first
                    == Link(
                        href: "/light", resourceTypes: ["a", "b", ""],
                        interfaces: ["oic.if.a", "oic.if.baseline"], policy: LinkPolicy(rawValue: 7), ins: 1,
                        expiresAt: world.clock.now() + .seconds(60), attributes: [0xA1, 0x61, 0x6E, 0x00]))
            #expect(try await world.directory.device(world.di)?.name == "Lamp")
        }
    }

    @Test("BI-40: the same href again keeps its number and its one row; others stay", arguments: StoreKind.allCases)
    func republish(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let directory = world.directory
            #expect(
                try await directory.publish(
                    di: world.di, links: [self.draft("/a"), self.draft("/b")], ttl: nil) == [1, 2])
            #expect(try await directory.publish(di: world.di, links: [self.draft("/b")], ttl: nil) == [2])
            #expect(
                try await directory.publish(
                    di: world.di, links: [self.draft("/c"), self.draft("//b/"), self.draft("/a", "new")], ttl: nil)
                    == [3, 2, 1])
            let links = try await directory.links(of: world.uid).first?.1 ?? []
            #expect(links.map(\.href) == ["/a", "/b", "/c"])
            #expect(links.first?.resourceTypes == ["new"])
        }
    }

    @Test("A publication is told only if somebody would find something else than before", arguments: StoreKind.allCases)
    func told(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let told = Moved<[DirectoryEvent]>([])
            let directory = Directory(store: world.store, clock: world.clock) { event in
                told.change { $0.append(event) }
            }
            func publish(_ drafts: LinkDraft...) async throws -> [DirectoryEvent] {
                told.value = []
                _ = try await directory.publish(di: world.di, links: drafts, ttl: .seconds(60))
                return told.value
            }
            func published(_ hrefs: String...) -> [DirectoryEvent] {
                [.published(uid: world.uid, di: world.di, hrefs: hrefs)]
            }
            #expect(try await publish(self.draft("/a"), self.draft("/b")) == published("/a", "/b"))
            world.clock.advance(.seconds(1))
            #expect(try await publish(self.draft("/a"), self.draft("/b")) == [])
            #expect(
                try await publish(self.draft("/a"), self.draft("/b", "other"))
                    == [.changed(uid: world.uid, di: world.di, hrefs: ["/b"])])
            #expect(
                try await publish(self.draft("/b"), self.draft("/c")) == published("/c") + [
                    .changed(uid: world.uid, di: world.di, hrefs: ["/b"])
                ])
            // What has expired was not to be found, swept or not.
            world.clock.advance(.seconds(61))
            #expect(try await publish(self.draft("/a")) == published("/a"))
            world.store.fail(true)
            told.value = []
            await expectError(.unavailable) {
                try await directory.publish(di: world.di, links: [self.draft("/c")], ttl: nil)
            }
            await expectError(.unavailable) { try await directory.unpublish(di: world.di, ins: []) }
            #expect(told.value == [])
            world.store.fail(false)
            _ = try await directory.unpublish(di: world.di, ins: [1])
            #expect(told.value == [.unpublished(uid: world.uid, di: world.di, hrefs: ["/a"])])
            await expectError(.notFound) { try await directory.unpublish(di: world.di, ins: [1]) }
            #expect(told.value.count == 1)
        }
    }

    @Test(
        "BI-40: the same href twice in one publication: the last counts, both get one number",
        arguments: StoreKind.allCases,
    )
    func twice(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            #expect(
                try await world.directory.publish(
                    di: world.di, links: [self.draft("/a", "first"), self.draft("/b"), self.draft("/a", "last")],
                    ttl: nil) == [1, 2, 1])
            let links = try await world.directory.links(of: world.uid).first?.1 ?? []
            #expect(links.map(\.resourceTypes) == [["last"], ["oic.r.switch.binary"]])
        }
    }

    @Test(
        "BI-40: taken back and published again, an equal link is there once, with a fresh number",
        arguments: StoreKind.allCases,
    )
    func recreate(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let directory = world.directory
            _ = try await directory.publish(di: world.di, links: [self.draft("/a"), self.draft("/b")], ttl: nil)
            #expect(try await directory.unpublish(di: world.di, ins: [2]) == 1)
            #expect(try await directory.publish(di: world.di, links: [self.draft("/b")], ttl: nil) == [3])
            await expectError(.notFound) { try await directory.unpublish(di: world.di, ins: [2]) }
            #expect(try await self.hrefs(world) == ["/a", "/b"])
        }
    }

    @Test("BI-40: after the greatest number comes the lowest that is free", arguments: StoreKind.allCases)
    func wrap(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let (directory, di) = (world.directory, world.di)
            _ = try await directory.publish(di: di, links: [self.draft("/a")], ttl: nil)
            try await world.store.write { transaction throws(CloudError) in
                guard var device = try transaction.lockDevice(di) else { return }
                device.lastIns = Directory.maximumIns - 1
                try transaction.update(device)
            }
            #expect(
                try await directory.publish(
                    di: di, links: [self.draft("/b"), self.draft("/c"), self.draft("/d")], ttl: nil)
                    == [Directory.maximumIns, 2, 3])
        }
    }

    @Test("C-56, BI-40: ttl counts, ends, is renewed; a huge one is merely long", arguments: StoreKind.allCases)
    func ttl(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let (directory, di) = (world.directory, world.di)
            _ = try await directory.publish(di: di, links: [self.draft("/a")], ttl: .seconds(2))
            _ = try await directory.publish(di: di, links: [self.draft("/b")], ttl: nil)
            _ = try await directory.publish(di: di, links: [self.draft("/c")], ttl: .seconds(Int64.max))
            _ = try await directory.publish(di: di, links: [self.draft("/d")], ttl: .seconds(2))
            world.clock.advance(.milliseconds(1999))
            _ = try await directory.publish(di: di, links: [self.draft("/d")], ttl: .seconds(2))
            #expect(try await self.hrefs(world) == ["/a", "/b", "/c", "/d"])
            world.clock.advance(.milliseconds(1))
            #expect(try await self.hrefs(world) == ["/b", "/c", "/d"])
            // Expired and not yet swept: the number is still that href's.
            #expect(try await directory.publish(di: di, links: [self.draft("/a")], ttl: .seconds(2)) == [1])
            world.clock.advance(.seconds(86_400 * 365))
            #expect(try await world.identity().sweep() >= 2)
            #expect(try await self.hrefs(world) == ["/b", "/c"])
            for ttl in [Duration.zero, .seconds(-1)] {
                let error = await expectError(.badRequest) {
                    try await directory.publish(di: di, links: [self.draft("/e")], ttl: ttl)
                }
                #expect(error?.field == "ttl")
            }
        }
    }

    @Test(
        "BI-40: 1000 links are a device's limit, in one publication and in all; nothing is half-written",
        arguments: StoreKind.allCases,
    )
    func limit(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let (directory, di) = (world.directory, world.di)
            let many = (0..<10_000).map { self.draft("/\($0)") }
            await expectError(.tooLarge) { try await directory.publish(di: di, links: many, ttl: nil) }
            #expect(try await self.hrefs(world).isEmpty)
            let numbers = try await directory.publish(di: di, links: Array(many.prefix(999)), ttl: nil)
            #expect(numbers == Array(1...999))
            await expectError(.tooLarge) {
                try await directory.publish(di: di, links: Array(many[999...1000]), ttl: nil)
            }
            #expect(try await self.hrefs(world).count == 999)
            _ = try await directory.publish(di: di, links: [many[999]], ttl: nil)
            _ = try await directory.publish(di: di, links: Array(many.prefix(1000)), ttl: nil)
            #expect(try await self.hrefs(world).count == 1000)
        }
    }

    @Test("C-57: what breaks a rule is refused by name, and nothing is written", arguments: StoreKind.allCases)
    func refused(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            let long = String(repeating: "x", count: 65)
            for (link, field) in [
                (self.draft(""), "href"), (self.draft("a"), "href"), (self.draft("/a\u{0}"), "href"),
                (self.draft("/" + String(repeating: "x", count: 256)), "href"), (self.draft("/a", long), "rt"),
                (LinkDraft(href: "/a", resourceTypes: [], interfaces: [long]), "if"),
                (LinkDraft(href: "/a", resourceTypes: Array(repeating: "x", count: 65), interfaces: []), "rt"),
                (
                    LinkDraft(href: "/a", resourceTypes: [], interfaces: [], policy: LinkPolicy(rawValue: -1)),
                    "p"
                ),
            ] {
                let error = await expectError(.badRequest) {
                    try await world.directory.publish(di: world.di, links: [self.draft("/good"), link], ttl: nil)
                }
                #expect(error?.field == field)
            }
            let empty = await expectError(.badRequest) {
                try await world.directory.publish(di: world.di, links: [], ttl: nil)
            }
            #expect(empty?.field == "links")
            let fat = LinkDraft(
                href: "/a", resourceTypes: [], interfaces: [], attributes: Array(repeating: 0, count: 4097))
            await expectError(.tooLarge) {
                try await world.directory.publish(di: world.di, links: [fat], ttl: nil)
            }
            #expect(try await self.hrefs(world).isEmpty)
            await expectError(.notFound) {
                try await world.directory.publish(di: try DeviceID("unknown"), links: [self.draft("/a")], ttl: nil)
            }
        }
    }

    @Test("A publication that failed at the commit left no row", arguments: StoreKind.allCases)
    func failure(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            _ = try await world.signedUp()
            world.store.fail(true)
            await expectError(.unavailable) {
                try await world.directory.publish(
                    di: world.di, links: [self.draft("/a"), self.draft("/b")], ttl: nil, name: "x")
            }
            #expect(try await self.hrefs(world).isEmpty)
            #expect(try await world.directory.device(world.di)?.name == nil)
            world.store.fail(false)
            #expect(try await world.directory.publish(di: world.di, links: [self.draft("/z")], ttl: nil) == [1])
        }
    }

    @Test(
        "BI-41: taking back: by number, all at once, unknown and other devices' numbers",
        arguments: StoreKind.allCases,
    )
    func unpublish(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let mediator = try await world.mediator()
            let other = try DeviceID("other")
            _ = try await world.signedUp(mediator: mediator)
            _ = try await world.signedUp(other, mediator: mediator)
            let directory = world.directory
            let links = ["/a", "/b", "/c"].map { self.draft($0) }
            _ = try await directory.publish(di: world.di, links: links, ttl: nil)
            _ = try await directory.publish(di: other, links: links + [self.draft("/d")], ttl: nil)
            #expect(try await directory.unpublish(di: world.di, ins: [2, 99]) == 1)
            // 4 is a number of the other device.
            for numbers in [[4], [99], [-1], [Int.max]] {
                await expectError(.notFound) { try await directory.unpublish(di: world.di, ins: numbers) }
            }
            #expect(try await directory.unpublish(di: world.di, ins: []) == 2)
            await expectError(.notFound) { try await directory.unpublish(di: world.di, ins: []) }
            await expectError(.notFound) { try await directory.unpublish(di: try DeviceID("none"), ins: []) }
            #expect(try await self.hrefs(world) == ["/a", "/b", "/c", "/d"])
        }
    }

    @Test("C-63: links are listed by owner, narrowed to devices, in byte order of di", arguments: StoreKind.allCases)
    func listing(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let mediator = try await world.mediator()
            let stranger = try UserID("stranger")
            let strangers = try await world.mediator(stranger)
            let names = ["b", "Z", "a", "é"]
            for name in names {
                let di = try DeviceID(name)
                _ = try await world.signedUp(di, mediator: mediator)
                _ = try await world.directory.publish(di: di, links: [self.draft("/x")], ttl: nil)
            }
            let foreign = try DeviceID("foreign")
            _ = try await world.signedUp(foreign, mediator: strangers)
            _ = try await world.directory.publish(di: foreign, links: [self.draft("/x")], ttl: nil)
            func listed(_ devices: Set<DeviceID>) async throws -> [String] {
                try await world.directory.links(of: world.uid, devices: devices).map(\.0.text)
            }
            #expect(try await listed([]) == ["Z", "a", "b", "é"])
            #expect(try await listed([try DeviceID("b"), try DeviceID("Z"), foreign]) == ["Z", "b"])
            #expect(try await listed([foreign]).isEmpty)
            #expect(try await world.directory.links(of: stranger).map(\.0) == [foreign])
        }
    }

    @Test("BI-63: pages are stable while devices come and go; limits are 1 to 1000", arguments: StoreKind.allCases)
    func paging(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let mediator = try await world.mediator()
            let directory = world.directory
            for number in 10..<40 {
                _ = try await world.signedUp(try DeviceID("device-\(number)"), mediator: mediator)
            }
            let first = try await directory.devices(of: world.uid, after: nil, limit: 10).map(\.di.text)
            #expect(first == (10..<20).map { "device-\($0)" })
            // The cursor itself goes, one before it comes, one behind it goes.
            let cursor = try DeviceID("device-19")
            _ = try await world.identity().deleteDevice(cursor, of: world.uid)
            _ = try await world.identity().deleteDevice(try DeviceID("device-25"), of: world.uid)
            _ = try await world.signedUp(try DeviceID("device-105"), mediator: mediator)
            let second = try await directory.devices(of: world.uid, after: cursor, limit: 10).map(\.di.text)
            #expect(second == [20, 21, 22, 23, 24, 26, 27, 28, 29, 30].map { "device-\($0)" })
            for limit in [0, -1, 1001, 1_000_000_000, Int.max] {
                let error = await expectError(.badRequest) {
                    try await directory.devices(of: world.uid, after: nil, limit: limit)
                }
                #expect(error?.field == "limit")
            }
            #expect(try await directory.devices(of: world.uid, kind: .client, after: nil, limit: 1000).isEmpty)
            #expect(try await directory.devices(of: world.uid, kind: .device, after: nil, limit: 1000).count == 29)
            #expect(try await directory.devices(of: try UserID("nobody"), after: nil, limit: 10).isEmpty)
        }
    }

    @Test("BI-67: SQL in every text field is text", arguments: StoreKind.allCases)
    func metacharacters(_ kind: StoreKind) async throws {
        try await withWorld(kind) { world in
            let identity = try world.identity()
            let uid = try UserID("');DROP'TABLE\"users;--\\`_*")
            let di = try DeviceID("'OR'1'='1';--\\\"`{}")
            let evil = "'); DROP TABLE links; -- %_\\\"`\u{0}?:@$1"
            let user = try await identity.registerUser(uid, authProvider: "' OR ''='")
            let mediator = try await identity.provisionMediator(uid: uid, userToken: user)
            let code = try await identity.provisionCode(kind: .device, di: di, mediatorToken: mediator)
            await expectError(.unauthorized) {
                try await identity.signUp(di: di, code: try #require(Secret(evil)), authProvider: nil)
            }
            let credentials = try await identity.signUp(di: di, code: code, authProvider: "' OR ''='")
            _ = try await identity.signIn(uid: uid, di: di, accessToken: credentials.accessToken)
            let href = "/'); DROP TABLE links; --%_?a=b&c"
            _ = try await world.directory.publish(
                di: di, links: [LinkDraft(href: href, resourceTypes: [evil], interfaces: [evil])], ttl: nil,
                name: evil)
            let link = try #require(try await world.directory.links(of: uid, devices: [di]).first?.1.first)
            #expect(link.href == href)
            #expect(link.resourceTypes == [evil])
            #expect(link.interfaces == [evil])
            #expect(try await world.directory.device(di)?.name == evil)
            #expect(try await world.directory.devices(of: uid, after: nil, limit: 10).map(\.di) == [di])
            #expect(try await world.directory.devices(of: uid, after: di, limit: 10).isEmpty)
            #expect(try await identity.deleteUser(uid) == [di])
            #expect(try await world.census(uid, di) == ["changes": 1])
        }
    }
}
