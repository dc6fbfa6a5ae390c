import CBOR
import Cloud
import CoAP
import OCF
import Registry
import ServiceShell
import Testing

@Suite("The registry as our own programs see it")
struct ProgramTests {
    private func refusal<Value>(_ body: () async throws(RegistryError) -> Value) async -> RegistryError? {
        do throws(RegistryError) {
            _ = try await body()
            return nil
        } catch {
            return error
        }
    }

    @Test("A user, a mediator and a code make a client, which is somebody", arguments: StoreKind.allCases)
    func wholeWay(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let call = Bench.call
            let (uid, user, mediator) = try await bench.user("u-1")
            let client = try await bench.signedUp("c-1", kind: .client)
            #expect(client.tokens.uid == uid)
            #expect(
                try await bench.client.principal(for: user, call: call)
                    == Principal(kind: .user, uid: uid, di: nil, expiresAt: nil))
            #expect(try await bench.client.principal(for: mediator, call: call)?.kind == .mediator)
            let principal = try await bench.client.principal(for: client.tokens.accessToken, call: call)
            #expect(principal?.kind == .client)
            #expect(principal?.di == client.di)
            #expect(principal?.expiresAt == bench.clock.now() + .seconds(6000))
            #expect(principal?.family != nil)
            for bad in [client.tokens.refreshToken, try #require(Secret("unknown"))] {
                #expect(try await bench.client.principal(for: bad, call: call) == nil)
            }
            let device = try #require(try await bench.client.device(client.di, call: call))
            #expect(device == Device(di: client.di, uid: uid, kind: .client, createdAt: bench.clock.now()))
            #expect(try await bench.client.device(DeviceID("nobody"), call: call) == nil)
            let refreshed = try await bench.client.refresh(
                uid: uid, di: client.di, refreshToken: client.tokens.refreshToken, call: call)
            #expect(refreshed.accessToken != client.tokens.accessToken)
            #expect(refreshed.expiresIn == 6000)
        }
    }

    @Test("Errors keep their code, field and hint on the way", arguments: StoreKind.allCases)
    func errors(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let call = Bench.call
            let (uid, user, mediator) = try await bench.user("u-1")
            let twice = await self.refusal { () async throws(RegistryError) in
                try await bench.client.registerUser(uid, authProvider: "", call: call)
            }
            #expect(twice?.code == .conflict)
            #expect(twice?.field == "uid")
            #expect(twice?.message.isEmpty == false)
            let wrong = await self.refusal { () async throws(RegistryError) in
                try await bench.client.provisionMediator(uid: uid, userToken: mediator, call: call)
            }
            #expect(wrong?.code == .unauthorized)
            let code = await self.refusal { () async throws(RegistryError) in
                try await bench.client.provisionCode(kind: .device, di: nil, mediatorToken: user, call: call)
            }
            #expect(code?.code == .unauthorized)
            bench.store.fail(true)
            let down = await self.refusal { () async throws(RegistryError) in
                try await bench.client.principal(for: user, call: call)
            }
            #expect(down?.code == .serviceUnavailable)
            #expect(down?.retryAfter == .seconds(5))
        }
    }

    @Test("Devices come in pages that survive insertions and deletions", arguments: StoreKind.allCases)
    func pages(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let call = Bench.call
            for di in ["b", "d", "f"] { _ = try await bench.signedUp(di) }
            _ = try await bench.signedUp("client-1", kind: .client)
            _ = try await bench.signedUp("a;b=c&d=e", of: "u-1")
            _ = try await bench.signedUp("foreign", of: "u-2")
            let uid = try UserID("u-1")
            let all = try await bench.client.devices(of: uid, call: call)
            #expect(all.map(\.di.text) == ["a;b=c&d=e", "b", "client-1", "d", "f"])
            #expect(try await bench.client.devices(of: uid, kind: .client, call: call).map(\.di.text) == ["client-1"])
            let first = try await bench.client.devices(of: uid, kind: .device, limit: 2, call: call)
            #expect(first.map(\.di.text) == ["a;b=c&d=e", "b"])
            _ = try await bench.client.deleteDevice(DeviceID("b"), of: uid, call: call)
            _ = try await bench.signedUp("c")
            let second = try await bench.client.devices(
                of: uid, kind: .device, after: first.last?.di, limit: 2, call: call)
            #expect(second.map(\.di.text) == ["c", "d"])
            let odd = try await bench.client.devices(of: uid, after: DeviceID("a;b=c&d=e"), limit: 1, call: call)
            #expect(odd.map(\.di.text) == ["c"])
            for limit in [0, -1, 1001, 1_000_000_000] {
                let error = await self.refusal { () async throws(RegistryError) in
                    try await bench.client.devices(of: uid, limit: limit, call: call)
                }
                #expect(error?.code == .badRequest)
                #expect(error?.field == "limit")
            }
        }
    }

    @Test("Links come for a user without a session, with the address asked for or none")
    func links() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            _ = try await bench.publish(["/a", "/b"], of: device)
            let links = try await bench.client.links(of: device.uid, call: Bench.call)
            #expect(links.elements?.map { $0["href"] } == ["/d-1/a", "/d-1/b"])
            #expect(links.elements?.first?["eps"] == nil)
            let batch = try await bench.client.links(
                of: device.uid, request: DiscoveryRequest(devices: ["d-1"], resourceTypes: ["x"], interface: .batch),
                endpoint: "coap+tcp://h:1", call: Bench.call)
            #expect(batch == [])
            let long = await self.refusal { () async throws(RegistryError) in
                try await bench.client.links(
                    of: device.uid, request: DiscoveryRequest(resourceTypes: [String(repeating: "a", count: 300)]),
                    call: Bench.call)
            }
            #expect(long?.code == .badRequest)
        }
    }

    @Test("C-40: a deletion answers who is gone and ends their sessions", arguments: StoreKind.allCases)
    func deletion(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let call = Bench.call
            let device = try await bench.signedUp("d-1")
            let client = try await bench.signedUp("c-1", kind: .client)
            let foreign = try await bench.signedUp("d-3", of: "u-2")
            let uid = device.uid
            for (error, code) in [
                (
                    await self.refusal { () async throws(RegistryError) in
                        try await bench.client.deleteDevice(client.di, of: uid, call: call)
                    }, Code.notFound
                ),
                (
                    await self.refusal { () async throws(RegistryError) in
                        try await bench.client.deleteClient(device.di, of: uid, call: call)
                    }, .notFound
                ),
                (
                    await self.refusal { () async throws(RegistryError) in
                        try await bench.client.deleteDevice(foreign.di, of: uid, call: call)
                    }, .forbidden
                ),
            ] {
                #expect(error?.code == code)
            }
            #expect(bench.endedSessions == [])
            #expect(try await bench.client.deleteDevice(device.di, of: uid, call: call) == [device.di])
            #expect(bench.endedSessions == [device.di])
            await bench.signIn(device).expectError(.unauthorized)
            #expect(try await bench.client.deleteUser(uid, call: call) == [client.di])
            #expect(bench.endedSessions == [device.di, client.di])
            #expect(try await bench.client.principal(for: client.tokens.accessToken, call: call) == nil)
            let gone = await self.refusal { () async throws(RegistryError) in
                try await bench.client.deleteUser(uid, call: call)
            }
            #expect(gone?.code == .notFound)
            await bench.signIn(foreign).expect(.changed)
        }
    }

    @Test("BI-64: nothing that comes over a connection reaches the registry's own resources")
    func unreachable() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            let token: DataItem = ["accesstoken": .text(device.tokens.accessToken.reveal())]
            for pattern in bench.responder.patterns where pattern.hasPrefix(RegistryProtocol.root) {
                let path = pattern.split(separator: "/").map { $0.hasPrefix("{") ? "d-1" : String($0) }
                for method in [Code.get, .post, .delete, .put] {
                    await bench.send(method, path, token, as: device).expectError(.notFound)
                    await bench.send(method, path, token).expectError(.unauthorized)
                    // Even if a connection let the option in.
                    await bench.send(method, path, token, as: device) { $0.caller = "northbound" }
                        .expectError(.notFound)
                }
            }
            await bench.signIn(device).expect(.changed)
        }
    }

    @Test("A mediator is listed by an id and deleted by it, by its user only", arguments: StoreKind.allCases)
    func mediators(_ kind: StoreKind) async throws {
        try await Bench.run(kind) { bench in
            let call = Bench.call
            let (uid, _, mediator) = try await bench.user("u-1")
            let (stranger, _, _) = try await bench.user("u-2")
            let listed = try await bench.client.mediators(of: uid, call: call)
            #expect(listed.map(\.id) == [Mediator.id(mediator.hash)])
            #expect(listed.first?.createdAt == bench.clock.now())
            let id = try #require(listed.first?.id)
            let refused = await self.refusal { () async throws(RegistryError) in
                try await bench.client.deleteMediator(id, of: stranger, call: call)
            }
            #expect(refused?.code == .notFound)
            #expect(try await bench.client.principal(for: mediator, call: call)?.kind == .mediator)
            try await bench.client.deleteMediator(id, of: uid, call: call)
            #expect(try await bench.client.principal(for: mediator, call: call) == nil)
            #expect(try await bench.client.mediators(of: uid, call: call) == [])
        }
    }

    @Test("Every request leaves one access line and no token in the log")
    func accessLines() async throws {
        try await Bench.run(.memory) { bench in
            let device = try await bench.signedUp()
            _ = await bench.signIn(device)
            _ = await bench.signIn(device, with: Secret("some-wrong-token"))
            _ = try await bench.publish(["/a"], of: device)
            _ = try await bench.client.device(device.di, call: Bench.call)
            _ = await bench.send(.get, ["made", "up"], as: device)
            let lines = bench.sink.lines.filter { $0.contains("coap.path") }
            // Registration, mediator, code and sign-up come before those.
            #expect(lines.count == 9)
            let signIn = try #require(lines.first { $0.contains("oic/sec/session") })
            for part in ["request-0.02", "2.04", "d-1", "user:", "duration.ms"] {
                #expect(signIn.contains(part), "\(signIn)")
            }
            #expect(lines.contains { $0.contains("registry/devices/{di}") && $0.contains("test-1") })
            #expect(lines.contains { $0.contains("4.04") && $0.contains("other") && !$0.contains("made") })
            let (_, user, mediator) = try await bench.user("u-1")
            for secret in [device.tokens.accessToken, device.tokens.refreshToken, user, mediator] {
                #expect(!bench.sink.lines.contains { $0.contains(secret.reveal()) })
            }
            #expect(!bench.sink.lines.contains { $0.contains("some-wrong-token") })
        }
    }
}
